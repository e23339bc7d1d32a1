"""Run records: what was said of a run before it started, and what happened, one JSON line each."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fhecost.circuits.profile import CircuitProfile
from fhecost.errors import UsageError
from fhecost.fields import Count, FiniteNonNegative, Positive, inconsistent
from fhecost.files import AnyPath, checked, kept_elsewhere
from fhecost.frozen import Frozen
from fhecost.hardware.estimate import Preparation, is_range
from fhecost.hardware.estimator import estimate
from fhecost.hardware.profile import HardwareProfile
from fhecost.hardware.what_if import with_figures
from fhecost.json_lines import append_line, read_json_lines
from fhecost.measurement.cpu_use import CpuUse
from fhecost.measurement.machine import Machine, now

Seconds = Annotated[float, Field(strict=True, gt=0, le=1e9, allow_inf_nan=False)]
"""A time that was measured: below thirty years."""

LARGEST_BYTES = 64 * 2**20
"""Of a file of records, some KiB each."""


class Prediction(Frozen):
    """What a hardware profile said of the run before it started."""

    hardware: str
    hardware_hash: str
    made: str = Field(description="when, ISO 8601 in UTC")
    pace: Seconds = Field(
        default=1.0,
        description="how much slower than at its calibration the machine was taken to be",
    )
    warm_s: FiniteNonNegative
    warm_low_s: FiniteNonNegative
    warm_high_s: FiniteNonNegative
    preparation: Preparation | None = None
    other_machine: str | None = Field(
        default=None,
        description="what tells the machine of the run from that of the calibration, if anything",
    )

    @model_validator(mode="after")
    def _is_ordered(self) -> Self:
        if not is_range(self.warm_low_s, self.warm_s, self.warm_high_s):
            low, high = self.warm_low_s, self.warm_high_s
            raise inconsistent("warm_s", f"{self.warm_s:g} s isn't between {low:g} and {high:g} s")
        return self


def predict(
    profile: CircuitProfile,
    hardware: HardwareProfile,
    threads: int,
    probe_s: float | None = None,
    machine: Machine | None = None,
) -> Prediction:
    """What ``hardware`` with ``threads`` threads says of a run of ``profile``.

    Args:
        profile: the circuit.
        hardware: the machine; its figure ``threads``, where it has one, is set to ``threads``.
        threads: of the run.
        probe_s: what the probe of :mod:`fhecost.measurement.machine` takes on the machine around
            the run. Where the hardware profile says what it took when the machine was calibrated,
            all times are stretched by the ratio of both, the ``pace``: the machine may be one that
            others slow down. None predicts for the speed of the calibration.
        machine: of the run. Where ``hardware`` was calibrated on another one, the prediction says
            so, and a probe of one isn't held against that of the other.

    Raises:
        ImpossibleError: the machine can't run it.
        UsageError: the hardware profile is incomplete.
    """
    if "threads" in hardware.figures:
        hardware = with_figures(hardware, {"threads": threads})
    made = estimate(profile, hardware)
    usual = hardware.figures.get("probe_s")
    other = _other_machine(hardware, machine)
    pace = 1.0 if probe_s is None or usual is None or other else probe_s / usual.value
    keys = made.preparation
    if keys is not None:
        keys = keys.changed(keygen_s=keys.keygen_s * pace, cold_s=keys.cold_s * pace)
    return Prediction(
        hardware=hardware.name,
        hardware_hash=hardware.hash,
        made=now(),
        pace=pace,
        warm_s=made.latency_s * pace,
        warm_low_s=made.low_s * pace,
        warm_high_s=made.high_s * pace,
        preparation=keys,
        other_machine=other,
    )


def _other_machine(hardware: HardwareProfile, machine: Machine | None) -> str | None:
    if machine is None or hardware.calibrated_on is None:
        return None
    return "; ".join(machine.identity().differences(hardware.calibrated_on)) or None


DisturbedStep = Literal["keygen", "cold", "warm"]


class RunTimes(Frozen):
    """Raw times and memory of one process that made keys and ran a circuit.

    ``warm_s`` are the runs after the first one, ``cold_s``. ``probe_s`` are the times of one fixed
    computation on one thread, before the keys are made and after each run: they tell a machine that
    changed its speed. ``start_memory_bytes`` is what the process held before it made keys.
    ``keygen_cpu``, ``cold_cpu`` and ``warm_cpu``, one for each of ``warm_s``, say what these steps
    had of the processors; ``warm_probe_s`` are times of the same computation beside the lookups of
    each warm run, in seconds that it had of a processor. Older records lack them.
    """

    threads: Positive
    keygen_s: Seconds
    encrypt_s: Seconds
    cold_s: Seconds
    warm_s: Annotated[tuple[Seconds, ...], Field(min_length=1)]
    decrypt_s: Seconds
    probe_s: tuple[Seconds, ...]
    start_memory_bytes: Positive
    keygen_peak_memory_bytes: Positive
    peak_memory_bytes: Positive
    keygen_cpu: CpuUse | None = None
    cold_cpu: CpuUse | None = None
    warm_cpu: tuple[CpuUse, ...] = ()
    warm_probe_s: tuple[tuple[Seconds, ...], ...] = ()

    @model_validator(mode="after")
    def _each_warm_run_has_its_own(self) -> Self:
        runs = len(self.warm_s)
        for field in ("warm_cpu", "warm_probe_s"):
            said = len(getattr(self, field))
            if said not in (0, runs):
                raise inconsistent(field, f"says {said} of {runs} warm runs")
        return self

    @model_validator(mode="after")
    def _memory_only_grows(self) -> Self:
        """A peak is the most so far: that of the whole is at least that of the keys."""
        so_far = 0
        for field in ("start_memory_bytes", "keygen_peak_memory_bytes", "peak_memory_bytes"):
            value = getattr(self, field)
            if value < so_far:
                raise inconsistent(field, f"{value} is below the {so_far} of before")
            so_far = value
        return self

    @property
    def warm_median_s(self) -> float:
        """Median of the warm runs, of those that were alone on the machine if any were."""
        uses = self.warm_cpu or (None,) * len(self.warm_s)
        runs = zip(self.warm_s, uses, strict=True)
        alone = [seconds for seconds, use in runs if use is None or not use.disturbances]
        return statistics.median(alone or self.warm_s)

    @property
    def disturbed(self) -> Mapping[DisturbedStep, str]:
        """What disturbed which step, as far as is known; warm runs only if none was alone."""
        found: dict[DisturbedStep, str] = {}
        if self.keygen_cpu is not None and self.keygen_cpu.disturbances:
            found["keygen"] = "; ".join(self.keygen_cpu.disturbances)
        if self.cold_cpu is not None and self.cold_cpu.disturbances:
            found["cold"] = "; ".join(self.cold_cpu.disturbances)
        if self.warm_cpu and all(use.disturbances for use in self.warm_cpu):
            found["warm"] = "; ".join(self.warm_cpu[0].disturbances)
        return found

    @property
    def not_alone(self) -> tuple[str, ...]:
        """Each step that didn't have the machine to itself, and why."""
        steps = {"key generation": self.keygen_cpu, "cold run": self.cold_cpu}
        steps |= {f"warm run {number}": use for number, use in enumerate(self.warm_cpu, start=1)}
        return tuple(
            f"{step}: {'; '.join(use.disturbances)}"
            for step, use in steps.items()
            if use is not None and use.disturbances
        )

    @property
    def probe_beside_s(self) -> float | None:
        """Median of the probes beside warm runs; None where these were too short for one."""
        found = [seconds for run in self.warm_probe_s for seconds in run]
        return statistics.median(found) if found else None

    @property
    def probe_mean_s(self) -> float | None:
        """Mean of the probes, as a run's time adds up over all that slowed it; None without."""
        return statistics.mean(self.probe_s) if self.probe_s else None


@dataclass(frozen=True)
class Compared:
    """One quantity of a run beside what one machine said of it before.

    ``hardware`` is None for what no machine speaks of, ``predicted`` where this one doesn't.
    """

    quantity: str
    measured: float
    hardware: str | None = None
    predicted: float | None = None

    @property
    def error(self) -> float | None:
        """Relative error of the prediction."""
        return None if self.predicted is None else self.predicted / self.measured - 1


class RunRecord(Frozen):
    """A circuit, what was predicted for it, and what running it took.

    ``calibration`` is the hardware profile of the machine that it ran on, whole, so that the record
    can be held against it anywhere.

    ``not_alone`` names the steps that other programs, other virtual machines or a quota took more
    than a tenth of, and says who; None in records that are older than this.

    ``wrong_values`` of the ``values`` that were decrypted differ from what the clear circuit gives.
    """

    schema_version: Literal[1] = 1
    fhecost_version: str
    name: str
    started: str = Field(description="ISO 8601 in UTC")
    machine: Machine
    versions: Mapping[str, str]
    profile: CircuitProfile
    profile_hash: str
    predictions: tuple[Prediction, ...]
    calibration: HardwareProfile | None = None
    times: RunTimes
    load_after: FiniteNonNegative
    not_alone: tuple[str, ...] | None = None
    values: Positive
    wrong_values: Count

    @model_validator(mode="after")
    def _wrong_values_are_values(self) -> Self:
        if self.wrong_values > self.values:
            raise inconsistent(
                "wrong_values", f"{self.wrong_values} are more than all {self.values} values"
            )
        return self

    def compared(self) -> list[Compared]:
        """All quantities in the order in which they come about, seconds but for the memory."""
        times = self.times
        measured = {
            "key generation": (times.keygen_s, "keygen_s"),
            "encryption": (times.encrypt_s, None),
            "cold run": (times.cold_s, "cold_s"),
            "warm run": (times.warm_median_s, "warm_s"),
            "decryption": (times.decrypt_s, None),
            "peak memory": (times.peak_memory_bytes, "peak_memory_bytes"),
        }
        rows = []
        for quantity, (value, field) in measured.items():
            if field is None or not self.predictions:
                rows.append(Compared(quantity, value))
                continue
            for made in self.predictions:
                said = made.warm_s if field == "warm_s" else getattr(made.preparation, field, None)
                rows.append(Compared(quantity, value, made.hardware, said))
        return rows


def append_record(path: AnyPath, record: RunRecord) -> None:
    """Add ``record`` to the JSON lines in ``path``, whole or not at all, after those that it has.

    Raises:
        UsageError: the file can't be written; says where the record is kept instead.
    """
    line = record.model_dump_json()
    try:
        append_line(path, line)
    except UsageError as error:
        raise kept_elsewhere(Path(path), line + "\n", error) from error


def load_records(path: AnyPath) -> list[RunRecord]:
    """The run records in ``path``, in their order; lines that a crash has torn are warned of.

    Raises:
        UsageError: the file can't be read, or a line is no record.
    """
    records = [
        checked(RunRecord, content, f"{path}: line {number}: ")
        for number, content in read_json_lines(path, LARGEST_BYTES)
    ]
    if not records:
        raise UsageError(f"{path}: holds no run record")
    return records
