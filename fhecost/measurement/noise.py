"""How quiet a machine was while it was measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fhecost.measurement.records import Microbenchmark
from fhecost.units import duration, share

_STEADY = 1.1
"""Times the fastest probe: within it, a machine has one speed."""


@dataclass(frozen=True)
class Noise:
    """The probe before, during and after, seconds, and which of the ``steps`` weren't alone.

    ``worst`` says what disturbed the one beside which others had most; ``known`` is whether the
    system tells.
    """

    before_s: float
    fastest_s: float
    slowest_s: float
    after_s: float
    steps: int
    disturbed: int
    worst: tuple[str, ...]
    known: bool
    waited_s: float

    @property
    def alone(self) -> bool:
        """Whether nothing was at work beside any step, as far as is known."""
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
        if not self.alone:
            yield self.not_alone()

    def not_alone(self) -> str:
        """That something was at work beside it, and what."""
        return (
            f"not alone in {self.disturbed} of {self.steps} steps; in the worst, "
            f"{'; '.join(self.worst)}"
        )


def noise_of(raw: Microbenchmark) -> Noise | None:
    """How quiet the machine was; None where that wasn't looked at."""
    if len(raw.conditions) < 3:
        return None
    before, *during, after = raw.conditions
    probes = [one.probe_s for one in during]
    disturbed = [one.cpu for one in during if one.cpu.disturbances]
    worst = max(disturbed, key=lambda use: use.others_share or 0.0, default=None)
    return Noise(
        before_s=before.probe_s,
        fastest_s=min(probes),
        slowest_s=max(probes),
        after_s=after.probe_s,
        steps=len(during),
        disturbed=len(disturbed),
        worst=() if worst is None else worst.disturbances,
        known=any(one.cpu.others_share is not None for one in during),
        waited_s=raw.waited_s,
    )
