"""What follows from a microbenchmark: the fits, and what single operations cost.

Single operations come straight from raw times, as medians and differences, without a fit.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from fhecost.circuits.profile import KeySwitchParameters
from fhecost.measurement.cases import Operation
from fhecost.measurement.fit import CpuFit, KeyFit, fit_cpu, fit_keys
from fhecost.measurement.records import Microbenchmark


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
class MicrobenchmarkResults:
    """Raw times, and what they say of the ``operation`` that they were made for.

    ``cpu`` and ``keys`` are there where the operation is "pbs", ``keys`` only if keys were timed.
    """

    raw: Microbenchmark
    operation: Operation
    cpu: CpuFit | None
    keys: KeyFit | None
    key_switches: tuple[KeySwitchTime, ...]


def results_of(raw: Microbenchmark, operation: Operation = "pbs") -> MicrobenchmarkResults:
    """Fit what is timed for a calibration, and take single operations from their times.

    Raises:
        UsageError: too few parameter sets for a fit.
    """
    fits = operation == "pbs"
    return MicrobenchmarkResults(
        raw=raw,
        operation=operation,
        cpu=fit_cpu(raw) if fits else None,
        keys=fit_keys(raw.keys) if fits and raw.keys else None,
        key_switches=tuple(key_switch_times(raw)),
    )


def key_switch_times(microbenchmark: Microbenchmark) -> list[KeySwitchTime]:
    """The key switch by the difference of lookups that differ in its levels alone.

    The keys are handed over once a run, whatever the lookups; the difference of this small part
    stays in.
    """
    times = []
    for few, many in itertools.product(microbenchmark.lookups, repeat=2):
        levels = many.key_switch.level_count - few.key_switch.level_count
        if (few.pbs, few.threads) == (many.pbs, many.threads) and levels > 0:
            seconds = [microbenchmark.corrected_median_s(s) / s.elements for s in (few, many)]
            level_s = (seconds[1] - seconds[0]) / levels
            times.append(KeySwitchTime(few.key_switch, few.threads, level_s))
    return times
