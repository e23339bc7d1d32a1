"""What single operations cost, straight from raw times: medians and differences, no fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fhecost.circuits.profile import KeySwitchParameters
from fhecost.measurement.records import LookupSample, Microbenchmark


@dataclass(frozen=True)
class KeySwitchTime:
    """Seconds that each further KS level costs a lookup, on so many threads.

    ``key_switch`` is that of the lookup with fewer levels.
    """

    key_switch: KeySwitchParameters
    threads: int
    level_s: float

    @property
    def key_switch_s(self) -> float:
        """Seconds of a whole key switch with the fewer levels."""
        return self.level_s * self.key_switch.level_count


@dataclass(frozen=True)
class LinearTime:
    """Seconds of a run of so many linear operations, on so many threads, with one lookup behind."""

    lwe_dimension: int
    threads: int
    operations: int
    run_s: float

    @property
    def operation_s(self) -> float:
        """Seconds of one operation at the most: the lookup is in."""
        return self.run_s / self.operations


def key_switch_times(microbenchmark: Microbenchmark) -> list[KeySwitchTime]:
    """The key switch by the difference of lookups that differ in its levels alone.

    The keys are handed over once a run, whatever the lookups; the difference of this small part
    stays in.
    """
    times = []
    for few, many in _pairs(microbenchmark.lookups):
        seconds = [microbenchmark.corrected_median_s(s) / s.elements for s in (few, many)]
        levels = many.key_switch.level_count - few.key_switch.level_count
        level_s = (seconds[1] - seconds[0]) / levels
        times.append(KeySwitchTime(few.key_switch, few.threads, level_s))
    return times


def linear_times(microbenchmark: Microbenchmark) -> list[LinearTime]:
    """Additions and products with clear integers, a sample each."""
    return [
        LinearTime(
            sample.lwe_dimension,
            sample.threads,
            sample.operations,
            microbenchmark.corrected_median_s(sample),
        )
        for sample in microbenchmark.linear
    ]


def _pairs(samples: Sequence[LookupSample]) -> list[tuple[LookupSample, LookupSample]]:
    return [
        (few, many)
        for few in samples
        for many in samples
        if few.pbs == many.pbs
        and few.threads == many.threads
        and few.key_switch.level_count < many.key_switch.level_count
    ]
