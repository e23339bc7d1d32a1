"""Many machines beside each other, for one circuit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from fhecost.errors import FieldError
from fhecost.frozen import Frozen
from fhecost.hardware.estimate import (
    Bottleneck,
    CircuitSummary,
    Estimate,
    EstimateReport,
    LatencyRange,
    MemoryUse,
    Operation,
    Ranged,
    Refusal,
    Throughput,
    TokenCost,
    UnsureCircuit,
)
from fhecost.hardware.names import PbsChoice, SortKey
from fhecost.hardware.other_ways import OtherWay
from fhecost.hardware.profile import Availability, HardwareProfile, Kind, PbsKind
from fhecost.hardware.roof import Roof
from fhecost.hardware.sensitivity import Sensitivity
from fhecost.hardware.token_costs import token_costs
from fhecost.hardware.what_if import ON_ONE, FigureChange
from fhecost.provenance import Source
from fhecost.version import VERSION


class ComparisonRow(Ranged):
    """One machine. ``energy_j`` and ``price_usd`` are None where power or price is unknown.

    ``speed_up`` is the base's latency over this one. ``pbs_per_s`` are those of the circuit over
    its latency; by watt and mm² they are None where power or area is unknown. ``by_operation_s``
    and ``roof`` are as in :class:`~fhecost.hardware.estimate.Estimate`. ``sources`` says which
    share of the latency rests on which kind of number. ``before`` is the latency of the machine as
    it is, None where no figure was set on it, or where as it is it can't run the circuit.
    ``p_error_at_most`` is the error of a lookup with PBS of ``pbs_kind``, None where that isn't
    known.
    """

    hardware: str
    title: str
    kind: Kind
    year: int | None
    availability: Availability | None = None
    pbs_kind: PbsKind = "classic"
    p_error_at_most: float | None = None
    latency_s: float
    low_s: float
    high_s: float
    utilization: float
    critical_path_s: float | None
    bottleneck: Bottleneck
    speed_up: float
    pbs_per_s: float | None = None
    pbs_per_s_per_w: float | None = None
    pbs_per_s_per_mm2: float | None = None
    energy_j: float | None
    price_usd: float | None
    sources: Mapping[Source, float]
    memory: MemoryUse | None = None
    by_operation_s: Mapping[Operation, float | None] = {}
    roof: Roof | None = None
    before: LatencyRange | None = None


class ComparisonReport(Frozen):
    """What ``fhecost compare`` prints: rows in the order that was asked for.

    ``what_if`` are the figures that were set, by their own names (behind the machine's and a colon
    where it differs between machines), ``changes`` what they were on each machine. ``unsure`` is
    there where some lookup is likely to go wrong, ``throughputs`` where many requests were asked
    for, ``sensitivities`` where it was asked which figures matter, ``published`` where other ways
    to run a model encrypted were, and ``token_costs`` where the circuit makes or reads tokens.
    ``pbs`` is the kind of PBS that was asked for.
    """

    schema_version: Literal[2] = 2
    fhecost_version: str
    circuit: CircuitSummary
    base: str
    what_if: Mapping[str, float]
    changes: tuple[FigureChange, ...] = ()
    rows: tuple[ComparisonRow, ...]
    refusals: tuple[Refusal, ...]
    unsure: UnsureCircuit | None = None
    throughputs: tuple[Throughput, ...] = ()
    sensitivities: tuple[Sensitivity, ...] = ()
    published: tuple[OtherWay, ...] = ()
    pbs: PbsChoice | None = None
    token_costs: tuple[TokenCost, ...] = ()


def check_sort(sort: str) -> None:
    """Raise a UsageError unless rows can be sorted by ``sort``."""
    if sort not in get_args(SortKey):
        raise FieldError("sort", f"must be among {', '.join(get_args(SortKey))}", sort)


def compare(
    report: EstimateReport,
    hardware: Sequence[HardwareProfile],
    base: Estimate | None = None,
    *,
    sort: SortKey = "latency",
    changes: Sequence[FigureChange] = (),
    before: Sequence[Estimate] = (),
) -> ComparisonReport:
    """Hold the machines of ``report`` against ``base``.

    Args:
        report: the circuit's estimates.
        hardware: the machines of the report.
        base: the estimate that speed-ups are over; the slowest of the report when None.
        sort: by what; latency, energy and price from the least, utilization from the most, and
            what is unknown comes last.
        changes: the figures that were set on machines of the report.
        before: estimates on such machines with their own figures.

    Raises:
        UsageError: there is no such order.
    """
    check_sort(sort)
    by_name = {profile.name: profile for profile in hardware}
    as_it_is = {made.hardware: LatencyRange.like(made) for made in before}
    if base is None:
        base = max(report.estimates, key=lambda made: made.latency_s)
    rows = [
        ComparisonRow.like(
            made,
            kind=by_name[made.hardware].kind,
            year=by_name[made.hardware].year,
            speed_up=base.latency_s / made.latency_s,
            before=as_it_is.get(made.hardware),
            **_rates(report.circuit.pbs_count / made.latency_s, by_name[made.hardware]),
        )
        for made in report.estimates
    ]
    rows.sort(key=lambda row: _order(row, sort))
    return ComparisonReport(
        fhecost_version=VERSION,
        circuit=report.circuit,
        base=base.hardware,
        what_if=_what_was_set(changes),
        changes=tuple(changes),
        rows=tuple(rows),
        refusals=report.refusals,
        unsure=report.unsure,
        pbs=report.pbs,
        throughputs=tuple(
            sorted(report.throughputs, key=lambda one: (one.latency_s, one.hardware))
        ),
        token_costs=token_costs(report.circuit.description, rows),
    )


def _rates(pbs_per_s: float, machine: HardwareProfile) -> dict[str, float | None]:
    """PBS a second, and of each watt and mm² that the machine has."""
    found: dict[str, float | None] = {"pbs_per_s": pbs_per_s}
    for field, name in (("pbs_per_s_per_w", "power_w"), ("pbs_per_s_per_mm2", "area_mm2")):
        figure = machine.figures.get(name)
        found[field] = None if figure is None else pbs_per_s / figure.value
    return found


def _what_was_set(changes: Sequence[FigureChange]) -> dict[str, float]:
    """Values by figure; where machines have different ones, by machine and figure."""
    by_figure: dict[str, set[float]] = {}
    for change in changes:
        by_figure.setdefault(change.figure, set()).add(change.after.value)
    return {
        change.figure
        if len(by_figure[change.figure]) == 1
        else f"{change.hardware}{ON_ONE}{change.figure}": change.after.value
        for change in changes
    }


def _order(row: ComparisonRow, sort: SortKey) -> tuple[float, float, str]:
    if sort == "name":
        return 0.0, 0.0, row.hardware
    value = {
        "latency": row.latency_s,
        "energy": row.energy_j,
        "price": row.price_usd,
        "utilization": -row.utilization,
    }[sort]
    return (1.0, 0.0, row.hardware) if value is None else (0.0, value, row.hardware)
