"""A machine with other figures than its own: more threads, more bandwidth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from fhecost.errors import FieldError, UsageError
from fhecost.hardware.profile import HardwareProfile
from fhecost.hardware.registry import latency_model_named
from fhecost.provenance import Figure, Source

_ALIASES: Mapping[str, str] = {"cores": "threads"}
"""Other names that architects use for a figure."""


def with_figures(hardware: HardwareProfile, values: Mapping[str, float]) -> HardwareProfile:
    """``hardware`` with some figures set to ``values``, in their SI units, as exact assumptions.

    Args:
        hardware: one machine.
        values: by name of the figure; ``cores`` stands for ``threads``.

    Raises:
        UsageError: the machine's latency model knows no figure of that name.
    """
    known = known_figures(hardware)
    changed = dict(hardware.figures)
    for asked, value in values.items():
        name = _figure_meant(asked, known)
        if name is None:
            raise UsageError(f"{hardware.name}: has no figure {asked}; there is {', '.join(known)}")
        changed[name] = Figure(
            value=value, source=Source.ASSUMED, rationale="set for this estimate"
        )
    return hardware.changed(figures=changed)


def with_figures_where_known(
    hardware: Sequence[HardwareProfile], values: Mapping[str, float]
) -> list[HardwareProfile]:
    """Each machine with those of ``values`` that its latency model knows.

    Raises:
        UsageError: no machine knows one of them, or it isn't positive.
    """
    names = sorted({name for profile in hardware for name in known_figures(profile)})
    for asked, value in values.items():
        if _figure_meant(asked, names) is None:
            raise FieldError("what_if", f"no figure of these machines; {', '.join(names)}", asked)
        if not 0 < value < math.inf:
            raise FieldError("what_if", "must be a positive number", f"{asked}={value:g}")
    changed = []
    for profile in hardware:
        known = known_figures(profile)
        fitting = {n: v for n, v in values.items() if _figure_meant(n, known) is not None}
        changed.append(with_figures(profile, fitting) if fitting else profile)
    return changed


def _figure_meant(asked: str, known: Sequence[str]) -> str | None:
    """The figure that ``asked`` names, by its own name or by another; None when there is none."""
    name = asked if asked in known else _ALIASES.get(asked)
    return name if name in known else None


def known_figures(hardware: HardwareProfile) -> list[str]:
    """The names of all figures that the machine's latency model can use."""
    return list(latency_model_named(hardware.latency_model).figures_type.model_fields)
