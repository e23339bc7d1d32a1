"""Read and check one hardware profile: a YAML file, whose stem is the machine's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from fhecost.errors import UsageError, all_validation_errors, first_of
from fhecost.files import AnyPath
from fhecost.hardware.bootstraps import ALGORITHMS
from fhecost.hardware.profile import HardwareProfile
from fhecost.hardware.registry import latency_model_named
from fhecost.hardware.yaml_text import read_yaml


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
    latency_model = content.get("latency_model")
    try:
        if isinstance(latency_model, str):
            model = latency_model_named(latency_model)
            fault = model.kind_fault(str(content.get("kind")))
            faults += [] if fault is None else [fault]
            faults += _figure_faults(content, model.figures_type)
    except UsageError as error:
        faults.append(str(error))
    # What both find is one fault.
    return profile, list(dict.fromkeys(faults))


def _figure_faults(content: dict[str, Any], of_model: type[BaseModel]) -> list[str]:
    """What is wrong with the machine's figures, then with those of its further kinds of PBS."""
    own = content.get("figures")
    if not isinstance(own, dict):
        return []
    faults = _faults_of_kind(own, content.get("pbs_kind"), of_model, "figures.")
    further = content.get("pbs")
    for kind, stated in further.items() if isinstance(further, dict) else ():
        if kind not in ALGORITHMS or kind == content.get("pbs_kind"):
            continue
        figures = stated.get("figures") if isinstance(stated, dict) else None
        if isinstance(figures, dict):
            # What is wrong with the machine's own figures is told already.
            taken = {**own, **figures}
            found = _faults_of_kind(taken, kind, of_model, f"pbs.{kind}.figures.")
            faults += [one for one in found if one.removeprefix(f"pbs.{kind}.") not in faults]
    return faults


def _faults_of_kind(
    figures: dict[str, Any], kind: object, of_model: type[BaseModel], where: str
) -> list[str]:
    algorithm = next((one for name, one in ALGORITHMS.items() if name == kind), None)
    of_pbs = () if algorithm is None else algorithm.figures_type.model_fields
    parts = [(of_model, {name: one for name, one in figures.items() if name not in of_pbs})]
    if algorithm is not None:
        own = {name: one for name, one in figures.items() if name in of_pbs}
        parts.append((algorithm.figures_type, own))
    faults = []
    for figures_type, content in parts:
        try:
            figures_type.model_validate(content)
        except ValidationError as error:
            faults += [f"{where}{fault}" for fault in all_validation_errors(error.errors())]
    return faults


def _read_mapping(path: Path) -> dict[str, Any]:
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise UsageError(f"{path}: not a hardware profile: the top level must be a mapping")
    if "name" in content:
        raise UsageError(f"{path}: name: leave it out, the file's name is the machine's name")
    return content
