"""What follows from a microbenchmark: the fits and the times of single operations."""

from __future__ import annotations

from dataclasses import dataclass

from fhecost.measurement.cases import Operation
from fhecost.measurement.fit import CpuFit, fit_cpu
from fhecost.measurement.key_fit import KeyFit, fit_keys
from fhecost.measurement.records import Microbenchmark
from fhecost.measurement.single_operations import (
    KeySwitchTime,
    LinearTime,
    key_switch_times,
    linear_times,
)


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
    linear: tuple[LinearTime, ...]


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
        linear=tuple(linear_times(raw)),
    )
