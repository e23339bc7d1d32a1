"""A machine with other figures than its own: more threads, more bandwidth."""

from __future__ import annotations

from collections.abc import Mapping

from fhecost.errors import UsageError
from fhecost.hardware.profile import HardwareProfile
from fhecost.provenance import Figure, Source


def with_figures(hardware: HardwareProfile, values: Mapping[str, float]) -> HardwareProfile:
    """``hardware`` with some figures set to ``values``, in their SI units, as exact assumptions.

    Raises:
        UsageError: the machine has no figure of that name.
    """
    for name in values:
        if name not in hardware.figures:
            known = ", ".join(hardware.figures)
            raise UsageError(f"{hardware.name}: has no figure {name}; there is {known}")
    changed = {
        name: Figure(value=value, source=Source.ASSUMED, rationale="set for this estimate")
        for name, value in values.items()
    }
    return hardware.model_copy(update={"figures": {**hardware.figures, **changed}})
