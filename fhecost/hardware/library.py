"""Find machines by name: the shipped ones, the user's own, and the one that fhecost runs on."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import get_args

from fhecost.data import data_folder
from fhecost.errors import FieldError, ImpossibleError, UsageError, did_you_mean
from fhecost.files import AnyPath, configuration_folder
from fhecost.hardware.here import profile_here
from fhecost.hardware.names import ALL, DEFAULT, HERE, MEASURED
from fhecost.hardware.profile import NAME_PATTERN, HardwareProfile, Kind
from fhecost.hardware.reading import hardware_faults, read_hardware

HardwareNames = str | Sequence[str | HardwareProfile]
"""A name, ``here``, ``all`` or ``default``, or names and hardware profiles one by one."""

__all__ = [
    "HardwareNames",
    "check_file_name",
    "find_hardware",
    "hardware_faults",
    "hardware_files",
    "load_hardware",
    "of_kinds",
    "own_hardware_file",
    "read_hardware",
]

_ONE_OF_EACH_KIND = frozenset({MEASURED, "h100", "hpu-v80", "strix"})


def check_file_name(path: Path) -> None:
    """Raise a UsageError unless a machine's file of that name would be found."""
    if path.suffix != ".yaml" or not re.fullmatch(NAME_PATTERN, path.stem):
        raise UsageError(
            f"{path}: must be called NAME.yaml, with a name of small letters, digits, dots, dashes "
            "and underscores: a machine is found by its file's name"
        )


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
    folders = [data_folder("hardware"), *_own_folder(), *extra]
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}


def _own_folder() -> list[Path]:
    """The folder of the user's own machines, where the user has a place for them."""
    try:
        return [own_hardware_file("").parent]
    except UsageError:
        return []


def find_hardware(
    name: str | HardwareProfile, hardware_path: Iterable[AnyPath] = ()
) -> HardwareProfile:
    """The hardware profile of one machine.

    Args:
        name: the machine's name, or ``here``; a profile is given back as it is.
        hardware_path: folders of further machines.

    Raises:
        UsageError: the machine is unknown, its file is broken, or ``name`` means several.
    """
    if name in (ALL, DEFAULT):
        known = ", ".join(sorted(hardware_files(hardware_path)))
        raise UsageError(f"{name}: name one machine; there are {known}")
    return load_hardware([name], hardware_path)[0]


def _meant(name: str | HardwareProfile, known: Iterable[str]) -> str | HardwareProfile:
    """A name in small letters where there is a machine of that name."""
    if not isinstance(name, str) or name in (there := {*known, HERE}):
        return name
    return small if (small := name.lower()) in there else name


def of_kinds(machines: Sequence[HardwareProfile], kinds: Iterable[Kind]) -> list[HardwareProfile]:
    """Those of ``machines`` that are of one of ``kinds``; all of them where none is named.

    Raises:
        FieldError: there is no such kind.
        ImpossibleError: no machine is of any of them.
    """
    wanted, known = tuple(kinds), get_args(Kind)
    for kind in wanted:
        if kind not in known:
            raise FieldError("kinds", f"must be among {', '.join(known)}", kind)
    found = [machine for machine in machines if not wanted or machine.kind in wanted]
    if not found:
        # In the order in which they are always named.
        asked = [kind for kind in known if kind in wanted]
        raise ImpossibleError(f"no machine of kind {', '.join(asked)} among those")
    return found


def load_hardware(
    hardware: HardwareNames = ALL, hardware_path: Iterable[AnyPath] = ()
) -> list[HardwareProfile]:
    """The hardware profiles of several machines, each once.

    With ``all`` and ``default``, a broken file of the user's own is left out with a warning: it has
    nothing to do with the other machines. A name asks for just that file, so there it is an error.

    ``here`` is the machine that fhecost runs on: the user's own calibration of it under its own
    name, else the nearest calibrated machine put right by a probe, which takes some seconds where
    none was made within a day. ``default`` begins with it, but starts no probe.

    Args:
        hardware: names of machines, ``here`` among them, and profiles, which are taken as they are;
            or ``all``, or ``default``: this machine, one of each kind, and all that are the user's
            own.
        hardware_path: folders of further machines.

    Raises:
        UsageError: a machine is unknown, its file is broken, or a shipped file is broken.
        ImpossibleError: nothing is known of this kind of machine, where ``here`` is named.
    """
    known = hardware_files(hardware_path)
    if hardware in (ALL, DEFAULT):
        own = {name for name, path in known.items() if path.parent != data_folder("hardware")}
        wanted = known if hardware == ALL else _ONE_OF_EACH_KIND | own
        read: list[HardwareProfile] = []
        # This machine may be carried over from one that is among those wanted: YAML takes its time.
        read_once = cache(read_hardware)
        if hardware == DEFAULT:
            # What is estimated by default runs anywhere; it only lacks a machine where it is odd.
            with suppress(ImpossibleError):
                read.append(profile_here(known.values(), read=read_once))
        for one in sorted(set(wanted) - {profile.name for profile in read}):
            try:
                read.append(read_once(known[one]))
            except UsageError as error:
                if one not in own:
                    raise
                warnings.warn(f"{error}; this machine is left out", stacklevel=2)
        return read
    asked = [hardware] if isinstance(hardware, str) else hardware
    given = [_meant(name, known) for name in asked]
    if not given:
        raise FieldError("hardware", "name at least one machine")
    for name in given:
        if isinstance(name, str) and name not in known and name != HERE:
            there = ", ".join(sorted({*known, HERE}))
            like = did_you_mean(name, [*known, HERE])
            raise UsageError(f"{name}: unknown machine; there are {there}{like}")
    found: dict[str, HardwareProfile] = {}
    for machine in given:
        if isinstance(machine, HardwareProfile):
            profile = machine
        elif machine == HERE:
            profile = profile_here(known.values(), probe=True)
        else:
            profile = found.get(machine) or read_hardware(known[machine])
        found[profile.name] = profile
    return list(found.values())
