"""Latencies in words: one whose range says nothing is called not known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from fhecost.hardware.estimate import WIDEST, LatencyRange, Ranged, is_known
from fhecost.units import duration

if TYPE_CHECKING:
    from fhecost.projection.trend_fit import Band

NOT_KNOWN = "not known"


def latency_words(one: Ranged) -> str:
    """The latency as a duration, if its range lets it be called one."""
    return duration(one.latency_s) if is_known(one.low_s, one.high_s) else NOT_KNOWN


def not_known_lines(machines: Iterable[tuple[str, Ranged]]) -> Iterator[str]:
    """A line for the machines whose latency isn't known; none where there are none."""
    wide = [name for name, one in machines if not is_known(one.low_s, one.high_s)]
    if wide:
        yield (
            f"{NOT_KNOWN}: {', '.join(dict.fromkeys(wide))}: the ends of the range are more than "
            f"a factor of {WIDEST:.0f} apart"
        )


def ranged(band: Band) -> LatencyRange:
    """A band of seconds as a latency with its range."""
    return LatencyRange(latency_s=band.value, low_s=band.low, high_s=band.high)
