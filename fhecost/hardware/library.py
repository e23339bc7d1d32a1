"""Find, read and check hardware profiles: YAML files, one a machine, named by their stem."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from fhecost.data import data_folder
from fhecost.errors import UsageError, all_validation_errors, first_validation_error
from fhecost.files import configuration_folder, read_text
from fhecost.hardware.profile import HardwareProfile
from fhecost.hardware.registry import latency_model_named

ALL = "all"
"""Stands for every known machine where names of machines are asked for."""

DEFAULT = "default"
"""Stands for one machine of each kind, and all that are the user's own."""

_ONE_OF_EACH_KIND = frozenset({"epyc-zen4-2", "h100", "strix"})


def hardware_files(extra: Sequence[Path] = ()) -> dict[str, Path]:
    """All known profile files by machine name.

    Later folders win: the shipped ones, the user's configuration folder, then ``extra``.

    Raises:
        UsageError: a folder of ``extra`` doesn't exist.
    """
    for folder in extra:
        if not folder.is_dir():
            raise UsageError(f"--hardware-path {folder}: not a folder")
    folders = [data_folder("hardware"), configuration_folder() / "hardware", *extra]
    return {
        path.stem: path
        for folder in folders
        if folder.is_dir()
        for path in sorted(folder.glob("*.yaml"))
    }


def read_hardware(path: Path) -> HardwareProfile:
    """Read and check one profile, its figures included.

    Raises:
        UsageError: the file can't be read, or a field is missing, unknown or out of range; the
            field's path is named.
    """
    content = _read_mapping(path)
    try:
        profile = HardwareProfile.model_validate({"name": path.stem, **content})
    except ValidationError as error:
        raise UsageError(f"{path}: {first_validation_error(error.errors())}") from error
    try:
        latency_model_named(profile.latency_model).read_figures(profile)
    except UsageError as error:
        raise UsageError(f"{path}: {str(error).removeprefix(profile.name + ': ')}") from error
    return profile


def find_faults(path: Path) -> list[str]:
    """Every missing, unknown or odd value of a profile's file, by field path; none when it is fine.

    Raises:
        UsageError: the file can't be read at all.
    """
    content = _read_mapping(path)
    faults: list[str] = []
    try:
        HardwareProfile.model_validate({"name": path.stem, **content})
    except ValidationError as error:
        faults += all_validation_errors(error.errors())
    try:
        model = latency_model_named(str(content.get("latency_model")))
    except UsageError as error:
        return [*faults, str(error)] if "latency_model" in content else faults
    figures = content.get("figures")
    if isinstance(figures, dict):
        try:
            model.figures_type.model_validate(figures)
        except ValidationError as error:
            faults += [f"figures.{fault}" for fault in all_validation_errors(error.errors())]
    # What both find is one fault.
    return list(dict.fromkeys(faults))


def _read_mapping(path: Path) -> dict[str, Any]:
    try:
        content: Any = yaml.safe_load(read_text(path))
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


def load_machine(name: str, extra: Sequence[Path] = ()) -> HardwareProfile:
    """The profile of one machine.

    Raises:
        UsageError: the machine is unknown, its file is broken, or ``name`` means several.
    """
    if name in (ALL, DEFAULT) or "," in name:
        known = ", ".join(sorted(hardware_files(extra)))
        raise UsageError(f"{name}: name one machine; there are {known}")
    return load_hardware(name, extra)[0]


def load_hardware(names: str, extra: Sequence[Path] = ()) -> list[HardwareProfile]:
    """The profiles for ``names``: comma-separated machine names, ``all`` or ``default``.

    With these two, a broken file of the user's own is left out with a warning: it has nothing to do
    with the other machines. A name asks for just that file, so there it is an error.

    Raises:
        UsageError: a machine is unknown, its file is broken, or a shipped file is broken.
    """
    known = hardware_files(extra)
    if names in (ALL, DEFAULT):
        own = {name for name, path in known.items() if path.parent != data_folder("hardware")}
        wanted_names = known if names == ALL else _ONE_OF_EACH_KIND | own
        read = [_read_or_leave_out(known[name]) for name in sorted(wanted_names)]
        return [machine for machine in read if machine is not None]
    wanted = [name.strip() for name in names.split(",")]
    for name in wanted:
        if name not in known:
            raise UsageError(f"{name}: unknown machine; there are {', '.join(sorted(known))}")
    return [read_hardware(known[name]) for name in dict.fromkeys(wanted)]


def _read_or_leave_out(path: Path) -> HardwareProfile | None:
    try:
        return read_hardware(path)
    except UsageError as error:
        if path.parent == data_folder("hardware"):
            raise
        warnings.warn(f"{error}; this machine is left out", stacklevel=3)
        return None
