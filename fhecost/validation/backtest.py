"""Hold the machines' profiles against published figures that they were not fitted to."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from fhecost.circuits.profile import KeySwitchUse, PbsUse, Stage
from fhecost.circuits.work import (
    bootstrap_key_bytes,
    key_switch_key_bytes,
    key_switch_units,
    pbs_units,
)
from fhecost.errors import ImpossibleError, UsageError
from fhecost.files import AnyPath
from fhecost.frozen import Frozen
from fhecost.hardware.estimator import Estimator
from fhecost.hardware.library import ALL, HardwareNames, load_hardware
from fhecost.hardware.profile import HardwareProfile, Kind
from fhecost.validation.published import (
    NotJudged,
    PublishedOperation,
    PublishedRecord,
    Quantity,
    read_operation,
    read_records,
    seconds_of,
)
from fhecost.validation.published_runs import METRIC, circuits_of_runs, predicted_run
from fhecost.version import VERSION

_FULL = 4096 * 24
"""Lookups that fill any machine, so that the last step, partly empty, hardly counts."""


class BacktestRow(Frozen):
    """One published figure and its prediction: seconds or PBS per second, as ``unit`` says.

    ``error`` is that of the time, predicted over published less one, whatever the unit.
    ``fitted`` rows gave a figure of the profile and are not judged. ``baseline_error`` is that of
    one constant of work per second, the median over the machine's fitted rows.
    """

    kind: Kind
    hardware: str
    name: str
    source: str
    unit: Quantity
    predicted: float
    published: float
    error: float
    fitted: bool
    baseline_error: float | None = None


class BacktestSummary(Frozen):
    """Errors over the ``n`` rows of one kind of machine that no profile was fitted to."""

    n: int
    median_abs_error: float | None
    worst_abs_error: float | None
    baseline_median_abs_error: float | None


class BacktestReport(Frozen):
    """What ``fhecost backtest`` prints."""

    schema_version: Literal[1] = 1
    fhecost_version: str
    rows: tuple[BacktestRow, ...]
    summary: Mapping[Kind, BacktestSummary]
    not_judged: tuple[NotJudged, ...]


def backtest(
    facts: Iterable[PublishedRecord | AnyPath] | None = None,
    hardware: HardwareNames = ALL,
    hardware_path: Iterable[AnyPath] = (),
) -> BacktestReport:
    """What ``fhecost backtest`` does: predict every published figure that is about a machine.

    Args:
        facts: published figures, or files of them; those that come with fhecost when None. Of those
            that tell the same of the same machine, the first one counts.
        hardware: names of machines or hardware profiles, ``all`` or ``default``. What their
            ``published`` says tells which records are about them, and which they were fitted to.
        hardware_path: folders of further machines.

    Raises:
        UsageError: a record that can be predicted is about none of the machines, all of them.
    """
    records = read_records(facts)
    machines = load_hardware(hardware, hardware_path)
    reasons: dict[str, list[str]] = defaultdict(list)
    rows: list[BacktestRow] = []
    for machine in machines:
        if machine.published is not None:
            rows += _machine_rows(records, machine, reasons)
    if not rows:
        raise UsageError("none of the records is about one of the machines and can be predicted")
    others = [
        record.name
        for record in records
        if not any(_about(record, machine) for machine in machines)
    ]
    if others:
        reasons["about none of these machines"] = others
    return BacktestReport(
        fhecost_version=VERSION,
        rows=tuple(rows),
        summary={kind: _summary(rows, kind) for kind in ("cpu", "gpu", "fpga", "asic")},
        not_judged=tuple(
            NotJudged(reason=reason, records=tuple(names))
            for reason, names in sorted(reasons.items())
        ),
    )


class TimedOperations(Frozen):
    """The lookups that a published figure timed, as one stage: no circuit, so no profile of one.

    Its ciphertexts are on the machine from beginning to end.
    """

    stages: tuple[Stage, ...]
    bsk_bytes: int
    ksk_bytes: int
    input_bytes: int = 0
    output_bytes: int = 0


def timed_operations(operation: PublishedOperation) -> TimedOperations:
    """What ``operation`` timed, for latency models to compute with."""
    count = operation.count or _FULL
    switch = operation.key_switch
    stage = Stage(
        name="published",
        pbs=(PbsUse(parameters=operation.pbs, count=count),),
        key_switches=() if switch is None else (KeySwitchUse(parameters=switch, count=count),),
        parallel_width=count,
    )
    return TimedOperations(
        stages=(stage,),
        bsk_bytes=bootstrap_key_bytes(operation.pbs),
        ksk_bytes=0 if switch is None else key_switch_key_bytes(switch),
    )


def _machine_rows(
    records: Sequence[PublishedRecord], machine: HardwareProfile, reasons: dict[str, list[str]]
) -> list[BacktestRow]:
    fitted_to = machine.published.fitted_to if machine.published is not None else ()
    told: set[tuple[object, ...]] = set()
    operations: list[tuple[PublishedOperation, bool]] = []
    # Those that were fitted come first: what repeats one of them is no test.
    for record in sorted(records, key=lambda record: record.name not in fitted_to):
        if not _about(record, machine):
            continue
        if record.metric == METRIC and record.name in circuits_of_runs():
            continue
        operation = read_operation(record)
        if isinstance(operation, str):
            reasons[operation].append(record.name)
            continue
        # The work tells the set: records that repeat each other don't always give its bases.
        same = (operation.quantity, operation.value, operation.count, _work(operation))
        if same in told:
            reasons["repeats another record: same machine, set and value"].append(record.name)
            continue
        told.add(same)
        operations.append((operation, record.name in fitted_to))
    runs, left = _run_rows(records, machine)
    for name in left:
        reasons[f"{machine.name}: nothing is known of its key generation"].append(name)
    rates = [_work_rate(operation) for operation, fitted in operations if fitted]
    rate = statistics.median(rates) if rates else None
    rows = runs
    estimator = Estimator(machine)
    for operation, fitted in operations:
        seconds = _predicted_seconds(operation, machine.name, estimator)
        if isinstance(seconds, str):
            reasons[seconds].append(operation.record.name)
        else:
            rows.append(_row(operation, machine, seconds, fitted, rate))
    return rows


def _run_rows(
    records: Sequence[PublishedRecord], machine: HardwareProfile
) -> tuple[list[BacktestRow], list[str]]:
    """Rows of whole circuits, and the records that the machine can't be held against."""
    rows: list[BacktestRow] = []
    left: list[str] = []
    for record in records:
        circuit = circuits_of_runs().get(record.name) if record.metric == METRIC else None
        published_s = seconds_of(record)
        if circuit is None or published_s is None or not _about(record, machine):
            continue
        try:
            seconds = predicted_run(circuit, machine).seconds
        except ImpossibleError:
            left.append(record.name)
            continue
        rows.append(
            BacktestRow(
                kind=machine.kind,
                hardware=machine.name,
                name=record.name,
                source=record.source,
                unit=Quantity.SECONDS,
                predicted=seconds,
                published=published_s,
                error=seconds / published_s - 1,
                fitted=False,
            )
        )
    return rows, left


def _about(record: PublishedRecord, machine: HardwareProfile) -> bool:
    mentions = machine.published.mentions if machine.published is not None else ()
    return any(all(word in record.text for word in words) for words in mentions)


def _predicted_seconds(
    operation: PublishedOperation, machine: str, estimator: Estimator
) -> float | str:
    """Seconds of what ``operation`` timed, or why the machine says none."""
    try:
        made = estimator.seconds(timed_operations(operation))
    except ImpossibleError:
        return f"{machine} can't run the set"
    pbs_s, switch_s = made["pbs"], made["key_switch"]
    if operation.key_switch is None:
        switch_s = 0.0
    if pbs_s is None or switch_s is None:
        return f"{machine}: its latency model leaves out what was timed"
    return pbs_s + switch_s


def _row(
    operation: PublishedOperation,
    machine: HardwareProfile,
    seconds: float,
    fitted: bool,
    rate: float | None,
) -> BacktestRow:
    published_s = _published_seconds(operation)
    baseline = None if rate is None else _work(operation) / rate / published_s - 1
    count = operation.count or _FULL
    rated = operation.quantity is Quantity.PER_SECOND
    return BacktestRow(
        kind=machine.kind,
        hardware=machine.name,
        name=operation.record.name,
        source=operation.record.source,
        unit=operation.quantity,
        predicted=count / seconds if rated else seconds,
        published=operation.value,
        error=seconds / published_s - 1,
        fitted=fitted,
        baseline_error=baseline,
    )


def _published_seconds(operation: PublishedOperation) -> float:
    """Seconds of all lookups of the operation."""
    if operation.quantity is Quantity.SECONDS:
        return operation.value
    return (operation.count or _FULL) / operation.value


def _work(operation: PublishedOperation) -> float:
    switch = operation.key_switch
    one = pbs_units(operation.pbs) + (0.0 if switch is None else key_switch_units(switch))
    return one * (operation.count or _FULL)


def _work_rate(operation: PublishedOperation) -> float:
    return _work(operation) / _published_seconds(operation)


def _summary(rows: Sequence[BacktestRow], kind: Kind) -> BacktestSummary:
    judged = [row for row in rows if row.kind == kind and not row.fitted]
    errors = [abs(row.error) for row in judged]
    baseline = [abs(row.baseline_error) for row in judged if row.baseline_error is not None]
    return BacktestSummary(
        n=len(judged),
        median_abs_error=statistics.median(errors) if errors else None,
        worst_abs_error=max(errors, default=None),
        baseline_median_abs_error=statistics.median(baseline) if baseline else None,
    )
