"""How quiet a machine was while it was measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fhecost.measurement.others import AT_WORK
from fhecost.measurement.records import Microbenchmark
from fhecost.units import duration, share

_STEADY = 1.1
"""Times the fastest probe: within it, a machine has one speed."""


@dataclass(frozen=True)
class Noise:
    """The probe before, during and after, seconds, and what others had of the processors.

    ``disturbed`` of the ``steps`` had other programs at work beside them, which had ``most`` of the
    processors, a share, in the worst of them.
    """

    before_s: float
    fastest_s: float
    slowest_s: float
    after_s: float
    steps: int
    disturbed: int
    most: float
    known: bool
    waited_s: float

    @property
    def alone(self) -> bool:
        """Whether no other program was at work, as far as is known."""
        return self.disturbed == 0

    def lines(self) -> Iterator[str]:
        """What is to be said of it, a sentence each."""
        yield (
            f"probe before {duration(self.before_s)}, during {duration(self.fastest_s)} to "
            f"{duration(self.slowest_s)}, after {duration(self.after_s)}"
        )
        if self.slowest_s > _STEADY * self.fastest_s:
            yield (
                f"the machine changed its speed by {share(self.slowest_s / self.fastest_s - 1)}; "
                "times are corrected by the probe"
            )
        if self.waited_s:
            yield f"waited {duration(self.waited_s)} for other programs to end"
        if not self.known:
            yield "whether other programs were at work isn't known on this system"
        elif not self.alone:
            yield self.not_alone()

    def not_alone(self) -> str:
        """That other programs were at work, and how much."""
        return (
            f"not alone: other programs had up to {share(self.most)} of the processors in "
            f"{self.disturbed} of {self.steps} steps"
        )


def noise_of(raw: Microbenchmark) -> Noise | None:
    """How quiet the machine was; None where that wasn't looked at."""
    if len(raw.conditions) < 3:
        return None
    before, *during, after = raw.conditions
    others = [one.others for one in raw.conditions if one.others is not None]
    probes = [one.probe_s for one in during]
    return Noise(
        before_s=before.probe_s,
        fastest_s=min(probes),
        slowest_s=max(probes),
        after_s=after.probe_s,
        steps=len(during),
        disturbed=sum(one.others is not None and one.others > AT_WORK for one in during),
        most=max(others, default=0.0),
        known=bool(others),
        waited_s=raw.waited_s,
    )
