"""What a figure of a machine can be, by the unit that ends its name.

The bounds are orders of magnitude beyond every machine that is built or planned: what is outside is
a slip of the unit or of the exponent, and would make an estimate of nothing. They hold for a
figure's range as for its value, and for the figures of latency models that others write.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from pydantic import ValidationInfo, field_validator

from fhecost.frozen import Frozen
from fhecost.provenance import Figure


class _Bounds(NamedTuple):
    least: float
    most: float
    what: str
    unit: str = ""


_BY_ENDING: tuple[tuple[str, _Bounds], ...] = (
    ("_bytes_per_s", _Bounds(1e3, 1e18, "a bandwidth in bytes per second", "B/s")),
    ("_units_per_s", _Bounds(1e3, 1e21, "a rate of work in units per second", "units/s")),
    ("_per_s", _Bounds(1e-6, 1e21, "a rate per second", "/s")),
    ("_usd_per_hour", _Bounds(1e-6, 1e6, "a price in USD per hour", "USD/h")),
    ("_hz", _Bounds(1e3, 1e12, "a clock in Hz", "Hz")),
    ("_bytes", _Bounds(1.0, 1e18, "a size in bytes", "B")),
    ("_polynomial_size", _Bounds(1.0, 2.0**20, "a polynomial size")),
    ("_w", _Bounds(1e-3, 1e9, "a power in W", "W")),
    ("_mm2", _Bounds(1e-3, 1e7, "an area in mm²", "mm²")),
    ("_s", _Bounds(1e-21, 1e6, "a time in s", "s")),
    ("_share", _Bounds(0.0, 1.0, "a share")),
    ("_per_doubling", _Bounds(1.0, 1e3, "a factor for each doubling")),
    ("threads", _Bounds(1.0, 1e6, "a number of threads")),
    ("_copies", _Bounds(0.0, 1e3, "a number of copies")),
)
_ANY = _Bounds(1e-9, 1e9, "a number of things or a factor")
"""Counts and factors have no unit."""


def implausible(name: str, figure: Figure) -> str | None:
    """What is wrong with a figure's value or range, and what would be right; None where nothing is.

    Args:
        name: of the figure, with its unit at the end.
        figure: its value and range.
    """
    for part, value in (("", figure.value), ("low ", figure.low), ("high ", figure.high)):
        fault = None if value is None else implausible_value(name, value)
        if fault is not None:
            return part + fault
    return None


def implausible_value(name: str, value: float) -> str | None:
    """As :func:`implausible`, of one number.

    Zero is what a figure says that can be it: something that takes no time, or isn't there.
    """
    _, bounds = _ending(name)
    if value == 0 or bounds.least <= value <= bounds.most:
        return None
    return f"{value:g} isn't plausible: {bounds.what} is from {bounds.least:g} to {bounds.most:g}"


def name_and_unit(name: str) -> tuple[str, str]:
    """A figure's ``name`` without the unit at its end, and that unit; "" for one without."""
    ending, bounds = _ending(name)
    return (name.removesuffix(ending), bounds.unit) if bounds.unit else (name, "")


@lru_cache(maxsize=1024)
def _ending(name: str) -> tuple[str, _Bounds]:
    return next((one for one in _BY_ENDING if name.endswith(one[0])), ("", _ANY))


class PlausibleFigures(Frozen):
    """Base of figures by name, each of which must be plausible for its unit."""

    @field_validator("*", mode="after")
    @classmethod
    def _is_plausible(cls, figure: Any, info: ValidationInfo) -> Any:
        fault = implausible(info.field_name or "", figure) if isinstance(figure, Figure) else None
        if fault is not None:
            raise ValueError(fault)
        return figure
