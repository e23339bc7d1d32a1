"""Find, read and check hardware profiles: YAML files, one a machine, named by their stem."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from fhecost.data import data_folder
from fhecost.errors import FieldError, UsageError, all_validation_errors, first_of
from fhecost.files import AnyPath, configuration_folder, read_text
from fhecost.hardware.names import ALL, DEFAULT, MEASURED
from fhecost.hardware.profile import HardwareProfile
from fhecost.hardware.registry import latency_model_named


class _Loader(yaml.SafeLoader):
    """YAML whose numbers are those of YAML 1.2: 1.0e9 is one, without a sign after the e too."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)

HardwareNames = str | Sequence[str | HardwareProfile]
"""The name of a machine, ``all`` or ``default``, or names and hardware profiles one by one."""

_ONE_OF_EACH_KIND = frozenset({MEASURED, "h100", "strix"})


def own_hardware_file(name: str) -> Path:
    """Where the user's own machine ``name`` is kept, to be found again without a folder's name."""
    return configuration_folder() / "hardware" / f"{name}.yaml"


def hardware_files(hardware_path: Iterable[AnyPath] = ()) -> dict[str, Path]:
    """All known profile files by machine name.

    Later folders win: the shipped ones, the user's own, then those of ``hardware_path``.

    Raises:
        UsageError: a folder of ``hardware_path`` doesn't exist.
    """
    extra = [Path(folder) for folder in hardware_path]
    for folder in extra:
        if not folder.is_dir():
            raise FieldError("hardware_path", "not a folder", folder)
    folders = [data_folder("hardware"), own_hardware_file("").parent, *extra]
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}


def read_hardware(path: AnyPath) -> HardwareProfile:
    """Read and check one profile, its figures included.

    Args:
        path: a YAML file; its stem is the machine's name.

    Raises:
        UsageError: the file can't be read, or a field is missing, unknown or out of range; the
            field's path is named.
    """
    profile, faults = _read(Path(path))
    if profile is None or faults:
        raise UsageError(f"{path}: {first_of(faults)}")
    return profile


def hardware_faults(path: AnyPath) -> list[str]:
    """Every missing, unknown or odd value of a profile's file, by field path; none when it is fine.

    Args:
        path: the YAML file of a machine.

    Raises:
        UsageError: the file can't be read at all.
    """
    return _read(Path(path))[1]


def _read(path: Path) -> tuple[HardwareProfile | None, list[str]]:
    content = _read_mapping(path)
    profile, faults = None, []
    try:
        profile = HardwareProfile.model_validate({"name": path.stem, **content})
    except ValidationError as error:
        faults += all_validation_errors(error.errors())
    latency_model, figures = content.get("latency_model"), content.get("figures")
    try:
        if isinstance(latency_model, str):
            figures_type = latency_model_named(latency_model).figures_type
            if isinstance(figures, dict):
                figures_type.model_validate(figures)
    except UsageError as error:
        faults.append(str(error))
    except ValidationError as error:
        faults += [f"figures.{fault}" for fault in all_validation_errors(error.errors())]
    # What both find is one fault.
    return profile, list(dict.fromkeys(faults))


def _read_mapping(path: Path) -> dict[str, Any]:
    try:
        content: Any = yaml.load(read_text(path), _Loader)  # noqa: S506: a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise UsageError(f"{path}: not YAML: {where}{getattr(error, 'problem', error)}") from error
    except (RecursionError, ValueError) as error:
        raise UsageError(f"{path}: not YAML that can be read: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path}: not a hardware profile: the top level must be a mapping")
    if "name" in content:
        raise UsageError(f"{path}: name: leave it out, the file's name is the machine's name")
    return content


def find_hardware(
    name: str | HardwareProfile, hardware_path: Iterable[AnyPath] = ()
) -> HardwareProfile:
    """The hardware profile of one machine.

    Args:
        name: the machine's name; a profile is given back as it is.
        hardware_path: folders of further machines.

    Raises:
        UsageError: the machine is unknown, its file is broken, or ``name`` means several.
    """
    if name in (ALL, DEFAULT):
        known = ", ".join(sorted(hardware_files(hardware_path)))
        raise UsageError(f"{name}: name one machine; there are {known}")
    return load_hardware([name], hardware_path)[0]


def load_hardware(
    hardware: HardwareNames = ALL, hardware_path: Iterable[AnyPath] = ()
) -> list[HardwareProfile]:
    """The hardware profiles of several machines, each once.

    With ``all`` and ``default``, a broken file of the user's own is left out with a warning: it has
    nothing to do with the other machines. A name asks for just that file, so there it is an error.

    Args:
        hardware: names of machines, and profiles, which are taken as they are; or ``all``, or
            ``default``: one machine of each kind, and all that are the user's own.
        hardware_path: folders of further machines.

    Raises:
        UsageError: a machine is unknown, its file is broken, or a shipped file is broken.
    """
    known = hardware_files(hardware_path)
    if hardware in (ALL, DEFAULT):
        own = {name for name, path in known.items() if path.parent != data_folder("hardware")}
        wanted = known if hardware == ALL else _ONE_OF_EACH_KIND | own
        read = []
        for one in sorted(wanted):
            try:
                read.append(read_hardware(known[one]))
            except UsageError as error:
                if one not in own:
                    raise
                warnings.warn(f"{error}; this machine is left out", stacklevel=2)
        return read
    given = [hardware] if isinstance(hardware, str) else list(hardware)
    if not given:
        raise FieldError("hardware", "name at least one machine")
    for name in given:
        if isinstance(name, str) and name not in known:
            raise UsageError(f"{name}: unknown machine; there are {', '.join(sorted(known))}")
    by_name = {one if isinstance(one, str) else one.name: one for one in given}
    return [read_hardware(known[o]) if isinstance(o, str) else o for o in by_name.values()]
