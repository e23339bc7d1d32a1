"""Read and check one hardware profile: a YAML file, whose stem is the machine's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fhecost.errors import UsageError, all_validation_errors, first_of
from fhecost.files import AnyPath
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
    latency_model, figures = content.get("latency_model"), content.get("figures")
    try:
        if isinstance(latency_model, str):
            model = latency_model_named(latency_model)
            fault = model.kind_fault(str(content.get("kind")))
            faults += [] if fault is None else [fault]
            figures_type = model.figures_type
            if isinstance(figures, dict):
                figures_type.model_validate(figures)
    except UsageError as error:
        faults.append(str(error))
    except ValidationError as error:
        faults += [f"figures.{fault}" for fault in all_validation_errors(error.errors())]
    # What both find is one fault.
    return profile, list(dict.fromkeys(faults))


def _read_mapping(path: Path) -> dict[str, Any]:
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise UsageError(f"{path}: not a hardware profile: the top level must be a mapping")
    if "name" in content:
        raise UsageError(f"{path}: name: leave it out, the file's name is the machine's name")
    return content
