"""The figures of a machine that can be dragged: where each can stand, and in which order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fhecost.explore.address import number_text
from fhecost.hardware.plausible import implausible_value, name_and_unit
from fhecost.hardware.profile import HardwareProfile
from fhecost.hardware.registry import latency_model_named
from fhecost.hardware.what_if import known_figures
from fhecost.provenance import Figure

_DECADES = 1
"""A dial goes from a tenth of the machine's own value to ten times it."""
_STEPS = 20
"""Stops a decade: each is an eighth more than the one before."""
_DIGITS = 3
PAID = ("power_w", "price_usd_per_hour")
"""Move energy and price, no latency."""


@dataclass(frozen=True)
class Dial:
    """One figure: its ``own`` value and its stops, from the least on.

    One that the machine's file doesn't say has neither: any value of it is a supposition.
    """

    name: str
    unit: str
    own: float | None
    stops: tuple[float, ...]

    @property
    def title(self) -> str:
        """Its name in words, without the unit, which stands beside it."""
        return name_and_unit(self.name)[0].replace("_", " ")


@dataclass(frozen=True)
class Dials:
    """Of one machine: what moves the numbers shown, what doesn't, and what isn't known of it."""

    moving: tuple[Dial, ...]
    others: tuple[Dial, ...]
    unknown: tuple[Dial, ...]


def dials_of(machine: HardwareProfile, strongest: Sequence[str]) -> Dials:
    """The dials of a machine.

    Args:
        machine: with its own figures.
        strongest: its figures that move the latency, the strongest first.
    """
    known = latency_model_named(machine.latency_model).read_figures(machine)
    figures: dict[str, Figure] = {name: getattr(known, name) for name in machine.figures}
    moving = dict.fromkeys([*strongest, *(name for name in PAID if name in figures)])
    return Dials(
        tuple(_dial(name, figures[name]) for name in moving),
        tuple(_dial(name, figure) for name, figure in figures.items() if name not in moving),
        tuple(_dial(name, None) for name in known_figures(machine) if name not in figures),
    )


def _dial(name: str, figure: Figure | None) -> Dial:
    _, unit = name_and_unit(name)
    if figure is None:
        return Dial(name, unit, None, ())
    return Dial(name, unit, figure.value, tuple(_stops(name, figure)))


def _stops(name: str, figure: Figure) -> Iterable[float]:
    """Values that such a figure can have, with its own among them; of zero, it alone."""
    own = figure.value
    found = {own}
    for step in range(-_DECADES * _STEPS, _DECADES * _STEPS + 1):
        value = figure.nearest(float(f"{own * 10 ** (step / _STEPS):.{_DIGITS}g}"))
        if value > 0 and implausible_value(name, value) is None:
            found.add(value)
    return sorted(found)


def words_of(dial: Dial) -> list[str]:
    """What each stop is called."""
    return [f"{number_text(value)} {dial.unit}".rstrip() for value in dial.stops]
