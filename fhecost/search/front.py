"""Which settings nothing beats."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from fhecost.heads.saved_setting import SavedSetting
from fhecost.search.records import Figures


@dataclass(frozen=True)
class Candidate:
    """A setting, judged on a machine that can run it; ``asked`` is without its restriction."""

    asked: SavedSetting
    figures: Figures

    @property
    def setting(self) -> SavedSetting:
        """The setting whose circuit has the figures."""
        rules = replace(self.asked.rules, restriction=self.figures.restriction)
        return self.asked.changed(rules=rules)

    @property
    def latency_s(self) -> float:
        """Its likely latency."""
        assert self.figures.latency is not None
        return self.figures.latency.latency_s


@dataclass(frozen=True)
class Limits:
    """What a setting must keep of the model's top-1 tokens, and how far off its heads may be."""

    min_top1: float | None = None
    max_error: float | None = None

    def allow_error(self, error: float) -> bool:
        """Whether ``error`` is within the limit."""
        return self.max_error is None or error <= self.max_error

    def allow(self, figures: Figures) -> bool:
        """Whether both are within the limits."""
        kept = self.min_top1 is None or figures.top1 >= self.min_top1
        return kept and self.allow_error(figures.error)


def pareto(candidates: Iterable[Candidate], limits: Limits) -> list[Candidate]:
    """The candidates within the limits that no other beats in both top-1 and latency, by latency.

    One that is as good in one and better in the other beats; of equals, the first stays.
    """
    allowed = [one for one in candidates if limits.allow(one.figures)]
    front: list[Candidate] = []
    for one in sorted(allowed, key=lambda one: (one.latency_s, -one.figures.top1)):
        if not front or one.figures.top1 > front[-1].figures.top1:
            front.append(one)
    return front


def spread_evenly(count: int, most: int) -> list[int]:
    """At most ``most`` of ``count`` places in a row, evenly, with both ends where there are two."""
    if count <= most or most < 2:
        return list(range(min(count, most)))
    return [round(index * (count - 1) / (most - 1)) for index in range(most)]
