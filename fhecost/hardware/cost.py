"""Seconds that a latency model adds up, and the three cases of the figures that they are for."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from fhecost.hardware.estimate import Bottleneck, Operation
from fhecost.provenance import Figure, Source

NARROW = 0.5
"""At or below this share of busy lanes, a stage's parallel width bounds it rather than compute."""


class Case(Enum):
    """Which end of the figures' ranges a calculation uses."""

    LIKELY = "likely"
    FAST = "fast"
    SLOW = "slow"

    def rate(self, figure: Figure) -> float:
        """A figure of which more is faster."""
        if self is Case.LIKELY:
            return figure.value
        return figure.highest if self is Case.FAST else figure.lowest

    def cost(self, figure: Figure) -> float:
        """A figure of which more is slower."""
        if self is Case.LIKELY:
            return figure.value
        return figure.lowest if self is Case.FAST else figure.highest


class Cost(NamedTuple):
    """Seconds that one operation of one stage adds to the total, and the number they rest on.

    ``busy_s`` is what the same work would take with all of the machine at work on it; all of
    ``latency_s`` when left out. Of lookups, ``compute_s`` is what their arithmetic alone would take
    then, and ``streamed_bytes`` what they read from memory meanwhile, keys above all, on all
    devices together; a model that leaves them out has no roof.
    """

    stage: str
    operation: Operation
    latency_s: float
    bottleneck: Bottleneck
    source: Source
    busy_s: float | None = None
    compute_s: float | None = None
    streamed_bytes: float | None = None

    @property
    def at_work_s(self) -> float:
        """``busy_s``, at most the latency."""
        return self.latency_s if self.busy_s is None else min(self.busy_s, self.latency_s)


class Lanes(NamedTuple):
    """What batches of PBS run on side by side, and how fast each is when all do."""

    side_by_side: Figure
    together: Figure | None = None
