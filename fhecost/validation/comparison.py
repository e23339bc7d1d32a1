"""Compare run records with what a hardware profile predicts for them, and with a baseline."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, get_args

import numpy as np

from fhecost.circuits.description import CircuitDescription
from fhecost.data import data_folder
from fhecost.errors import FieldError, ImpossibleError
from fhecost.files import AnyPath
from fhecost.frozen import Frozen
from fhecost.hardware.library import find_hardware
from fhecost.hardware.profile import HardwareProfile
from fhecost.measurement.run_record import Prediction, RunRecord, load_records, predict
from fhecost.validation.calibrations import own_calibrations
from fhecost.validation.coverage import Coverage, coverage
from fhecost.version import VERSION

RUNS_FOLDER = "experiments/runs"
Quantity = Literal["warm", "cold", "keygen", "memory"]
Judged = Literal["warm", "cold", "keygen", "memory", "baseline"]
"""The baseline predicts warm runs by Concrete's complexity alone."""


class ValidationRow(Frozen):
    """One quantity of one run: seconds, or bytes for memory.

    ``error`` is predicted over measured, less one. ``pace`` is how much slower the probe found the
    machine around the run than it was at its calibration: ``predicted`` is stretched by it, times
    alone, and ``error_at_calibration_speed`` is the error without. ``predicted_before`` was written
    down before the run, at the speed of the calibration. Of ``baseline`` only warm runs have a
    value. ``other_machine`` says what tells the machine of the run from the one that ``hardware``
    was calibrated on, where they aren't the same, and ``not_alone`` who else was at work, where
    somebody was.
    """

    run: int
    name: str
    hardware: str
    other_machine: str | None = None
    not_alone: str | None = None
    description: CircuitDescription
    threads: int
    quantity: Quantity
    predicted: float
    low: float | None = None
    high: float | None = None
    measured: float
    error: float
    pace: float
    error_at_calibration_speed: float
    predicted_before: float | None = None
    baseline: float | None = None
    baseline_error: float | None = None


class ErrorSummary(Frozen):
    """Absolute relative errors, as fractions, over ``n`` runs; None where there is no run."""

    n: int
    median_abs_error: float | None
    p90_abs_error: float | None
    worst_abs_error: float | None


class ValidationReport(Frozen):
    """What ``fhecost validate`` prints.

    ``hardware`` are the names of the machines that predicted, with commas where runs from several
    machines were held against their own. ``other_machines`` names runs that were held against a
    machine that isn't theirs; in ``summary`` they count only where there are no others.
    ``not_alone`` names runs beside which others were at work: what was measured then isn't in
    ``summary`` but in ``summary_not_alone``, but for the memory, which no load changes.

    ``warm_at_calibration_speed`` is the error of warm runs without what the probe tells of the
    machine's speed around them. ``baseline_units_per_s`` are the constants that fit these very runs
    best, by thread count. ``coverage`` is how many warm runs lie inside their range.
    """

    schema_version: Literal[3] = 3
    fhecost_version: str
    hardware: str
    hardware_hash: str
    rows: tuple[ValidationRow, ...]
    summary: Mapping[Judged, ErrorSummary]
    warm_at_calibration_speed: ErrorSummary
    baseline_units_per_s: Mapping[int, float]
    coverage: Coverage | None = None
    wrong_runs: tuple[str, ...] = ()
    other_machines: tuple[str, ...] = ()
    not_alone: tuple[str, ...] = ()
    summary_not_alone: Mapping[Judged, ErrorSummary] = {}


def validate(
    runs: Iterable[RunRecord | AnyPath] | None = None,
    hardware: str | HardwareProfile | None = None,
    hardware_path: Iterable[AnyPath] = (),
) -> ValidationReport:
    """What ``fhecost validate`` does: predict every measured run anew and compare.

    Args:
        runs: measured runs, or files of them; those that come with fhecost when None. Those with
            wrong values count too, and are named.
        hardware: a machine to hold against all of them; when None, each is held against its own:
            the calibration that it carries, else a known machine that was calibrated on the same.
        hardware_path: folders of further machines.

    Raises:
        UsageError: no record, no such machine or file, or no calibration of a record's machine.
        ImpossibleError: the machine can't run one of the circuits.
    """
    records = read_runs(runs)
    if hardware is None:
        machines = own_calibrations(records, hardware_path)
    else:
        machines = [find_hardware(hardware, hardware_path)] * len(records)
    if not records:
        raise FieldError("runs", "there is no run record; name a file of yours")
    constants = _baseline_constants(records)
    numbered = list(enumerate(records, start=1))
    rows = [
        row
        for (number, record), machine in zip(numbered, machines, strict=True)
        for row in _rows(number, record, machine, constants[record.times.threads])
    ]
    own = [row for row in rows if row.other_machine is None] or rows
    judged = [row for row in own if row.not_alone is None]
    apart = [row for row in own if row.not_alone is not None]
    errors = _errors(judged)
    errors["baseline"] = [row.baseline_error for row in judged if row.baseline_error is not None]
    return ValidationReport(
        fhecost_version=VERSION,
        hardware=", ".join(dict.fromkeys(machine.name for machine in machines)),
        hardware_hash=_hash(machines),
        rows=tuple(rows),
        summary={quantity: summarize_errors(values) for quantity, values in errors.items()},
        warm_at_calibration_speed=summarize_errors(
            [row.error_at_calibration_speed for row in judged if row.quantity == "warm"]
        ),
        baseline_units_per_s=constants,
        coverage=coverage(
            (row.low, row.measured, row.high)
            for row in judged
            if row.low is not None and row.high is not None
        ),
        wrong_runs=tuple(
            f"run {number}, {record.name}: {record.wrong_values} of {record.values} values"
            for number, record in numbered
            if record.wrong_values
        ),
        other_machines=tuple(
            f"run {row.run}, {row.name}: {row.other_machine}"
            for row in rows
            if row.quantity == "warm" and row.other_machine is not None
        ),
        not_alone=tuple(
            f"run {number}, {record.name}, {said}"
            for number, record in numbered
            for said in record.times.not_alone
        ),
        summary_not_alone={
            quantity: summarize_errors(values)
            for quantity, values in _errors(apart).items()
            if values
        },
    )


def _errors(rows: Iterable[ValidationRow]) -> dict[Judged, list[float]]:
    found: dict[Judged, list[float]] = {quantity: [] for quantity in get_args(Quantity)}
    for row in rows:
        found[row.quantity].append(row.error)
    return found


def _hash(machines: Sequence[HardwareProfile]) -> str:
    """The machine's hash, or one over those of all."""
    hashes = sorted({machine.hash for machine in machines})
    if len(hashes) == 1:
        return hashes[0]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def read_runs(runs: Iterable[RunRecord | AnyPath] | None = None) -> list[RunRecord]:
    """Run records, and those in files of JSON lines; those that come with fhecost when None.

    Raises:
        UsageError: a file can't be read, or a line is no record.
    """
    given = sorted(data_folder(RUNS_FOLDER).glob("*.jsonl")) if runs is None else runs
    return [
        record
        for one in given
        for record in ([one] if isinstance(one, RunRecord) else load_records(one))
    ]


def check_tolerance(report: ValidationReport, tolerance: float) -> None:
    """Check that no warm run's error is beyond ``tolerance``, but for those that weren't alone.

    Args:
        report: what :func:`fhecost.validate` found.
        tolerance: the largest error, a fraction such as 0.2.

    Raises:
        UsageError: ``tolerance`` isn't positive.
        ImpossibleError: some are; the worst is named. Or none was alone.
    """
    if not tolerance > 0:
        raise FieldError("tolerance", "must be above 0", tolerance)
    warm = [row for row in report.rows if row.quantity == "warm" and row.not_alone is None]
    if not warm:
        raise ImpossibleError("no warm run had the machine to itself: nothing is held to it")
    missed = [row for row in warm if abs(row.error) > tolerance]
    if missed:
        worst = max(missed, key=lambda row: abs(row.error))
        raise ImpossibleError(
            f"{len(missed)} of {len(warm)} warm runs are off by more than {tolerance:.0%}, the "
            f"worst by {worst.error:+.1%}: run {worst.run}, {worst.name}"
        )


def summarize_errors(errors: Sequence[float]) -> ErrorSummary:
    """Median, 90th percentile and worst of absolute errors."""
    if not errors:
        return ErrorSummary(n=0, median_abs_error=None, p90_abs_error=None, worst_abs_error=None)
    sizes = np.abs(errors)
    return ErrorSummary(
        n=len(errors),
        median_abs_error=float(np.median(sizes)),
        p90_abs_error=float(np.quantile(sizes, 0.9)),
        worst_abs_error=float(sizes.max()),
    )


def _rows(
    number: int, record: RunRecord, hardware: HardwareProfile, units_per_s: float
) -> Iterator[ValidationRow]:
    times = record.times
    prediction = predict(
        record.profile, hardware, times.threads, times.probe_mean_s, record.machine
    )
    before = [_predicted(made) for made in record.predictions if made.hardware == hardware.name]
    measured: dict[Quantity, float] = {
        "warm": times.warm_median_s,
        "cold": times.cold_s,
        "keygen": times.keygen_s,
        "memory": times.peak_memory_bytes,
    }
    baseline = record.profile.complexity / units_per_s
    disturbed = {str(step): said for step, said in times.disturbed.items()}
    for quantity, (predicted, pace) in _predicted(prediction).items():
        value, warm = measured[quantity], quantity == "warm"
        expected = before[0].get(quantity) if before else None
        yield ValidationRow(
            run=number,
            name=record.name,
            hardware=hardware.name,
            other_machine=prediction.other_machine,
            not_alone=disturbed.get(quantity),
            description=record.profile.description,
            threads=times.threads,
            quantity=quantity,
            predicted=predicted,
            low=prediction.warm_low_s if warm else None,
            high=prediction.warm_high_s if warm else None,
            measured=value,
            error=predicted / value - 1,
            pace=pace,
            error_at_calibration_speed=predicted / pace / value - 1,
            predicted_before=expected[0] / expected[1] if expected else None,
            baseline=baseline if warm else None,
            baseline_error=baseline / value - 1 if warm else None,
        )


def _predicted(prediction: Prediction) -> dict[Quantity, tuple[float, float]]:
    """Seconds or bytes that are predicted, and how far the pace of the machine stretches them."""
    pace, preparation = prediction.pace, prediction.preparation
    if preparation is None:
        return {"warm": (prediction.warm_s, pace)}
    return {
        "warm": (prediction.warm_s, pace),
        "cold": (preparation.cold_s, pace),
        "keygen": (preparation.keygen_s, pace),
        "memory": (preparation.peak_memory_bytes, 1.0),
    }


def _baseline_constants(records: Sequence[RunRecord]) -> dict[int, float]:
    """Units of complexity a second that give these runs the least median error, by threads."""
    rates: dict[int, list[float]] = defaultdict(list)
    alone = [record for record in records if "warm" not in record.times.disturbed]
    of_alone = {record.times.threads for record in alone}
    for record in records:
        if "warm" in record.times.disturbed and record.times.threads in of_alone:
            continue
        rates[record.times.threads].append(record.profile.complexity / record.times.warm_median_s)

    def error(rate: float, of_runs: Sequence[float]) -> float:
        return float(np.median(np.abs(np.asarray(of_runs) / rate - 1)))

    # The median of absolute errors is no smooth function: every run's own rate is a candidate.
    return {
        threads: min(of_runs, key=lambda rate: error(rate, of_runs))
        for threads, of_runs in sorted(rates.items())
    }
