"""Hold the machines' profiles against published figures that they were not fitted to."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from fhecost.errors import ImpossibleError, UsageError
from fhecost.files import AnyPath
from fhecost.frozen import Frozen
from fhecost.hardware.estimator import Estimator
from fhecost.hardware.latency_model import Case
from fhecost.hardware.library import HardwareNames, load_hardware
from fhecost.hardware.names import ALL
from fhecost.hardware.pbs_choice import kinds_of, with_pbs
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
    machines = [
        with_pbs(machine, kind)
        for machine in load_hardware(hardware, hardware_path)
        for kind in kinds_of(machine)
    ]
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


def _machine_rows(
    records: Sequence[PublishedRecord], machine: HardwareProfile, reasons: dict[str, list[str]]
) -> list[BacktestRow]:
    """Whole circuits, then single operations; ``reasons`` gets the names of what isn't judged."""
    fitted_to = _fitted_to(machine)
    rows: list[BacktestRow] = []
    told: set[tuple[object, ...]] = set()
    operations: list[PublishedOperation] = []
    about = [record for record in records if _about(record, machine)]
    # Those that were fitted come first: what repeats one of them is no test.
    for record in sorted(about, key=lambda record: record.name not in fitted_to):
        circuit = circuits_of_runs().get(record.name) if record.metric == METRIC else None
        published_s = seconds_of(record)
        if circuit is not None and published_s is not None:
            try:
                seconds = predicted_run(circuit, machine)[Case.LIKELY]
                rows.append(_row(machine, record, Quantity.SECONDS, seconds, published_s))
            except ImpossibleError:
                why = f"{machine.name}: nothing is known of its key generation"
                reasons[why].append(record.name)
            continue
        operation = read_operation(record)
        if isinstance(operation, str):
            reasons[operation].append(record.name)
            continue
        # The work tells the set: records that repeat each other don't always give its bases.
        same = (operation.quantity, operation.value, operation.count, operation.work)
        if same in told:
            reasons["repeats another record: same machine, set and value"].append(record.name)
            continue
        told.add(same)
        operations.append(operation)
    rates = [one.work / one.seconds for one in operations if one.record.name in fitted_to]
    rate = statistics.median(rates) if rates else None
    estimator = Estimator(machine)
    for operation in operations:
        record, timed = operation.record, operation.quantity is Quantity.SECONDS
        try:
            seconds = _predicted_seconds(operation, machine.name, estimator)
        except ImpossibleError as error:
            reasons[str(error)].append(record.name)
            continue
        predicted = seconds if timed else operation.count / seconds
        row = _row(machine, record, operation.quantity, predicted, operation.value)
        baseline = None if rate is None else operation.work / rate / operation.seconds - 1
        rows.append(row.changed(baseline_error=baseline))
    return rows


def _row(
    machine: HardwareProfile,
    record: PublishedRecord,
    unit: Quantity,
    predicted: float,
    published: float,
) -> BacktestRow:
    ratio = predicted / published if unit is Quantity.SECONDS else published / predicted
    return BacktestRow(
        kind=machine.kind,
        hardware=machine.name,
        name=record.name,
        source=record.source,
        unit=unit,
        predicted=predicted,
        published=published,
        error=ratio - 1,
        fitted=record.name in _fitted_to(machine),
    )


def _fitted_to(machine: HardwareProfile) -> tuple[str, ...]:
    return machine.published.fitted_to if machine.published is not None else ()


def _about(record: PublishedRecord, machine: HardwareProfile) -> bool:
    """Whether it is of this machine with its kind of PBS."""
    if record.pbs_kind != machine.pbs_kind:
        return False
    mentions = machine.published.mentions if machine.published is not None else ()
    return any(all(word in record.text for word in words) for words in mentions)


def _predicted_seconds(operation: PublishedOperation, machine: str, estimator: Estimator) -> float:
    try:
        made = estimator.seconds(operation)
    except ImpossibleError as error:
        raise ImpossibleError(f"{machine} can't run the set") from error
    pbs_s, switch_s = made["pbs"], made["key_switch"] if operation.key_switch else 0.0
    if pbs_s is None or switch_s is None:
        raise ImpossibleError(f"{machine}: its latency model leaves out what was timed")
    return pbs_s + switch_s


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
