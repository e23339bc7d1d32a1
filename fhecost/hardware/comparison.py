"""Many machines beside each other, for one circuit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from fhecost.errors import UsageError
from fhecost.frozen import Frozen
from fhecost.hardware.estimate import (
    Bottleneck,
    CircuitSummary,
    Estimate,
    EstimateReport,
    Refusal,
)
from fhecost.hardware.library import ALL
from fhecost.hardware.profile import HardwareProfile, Kind
from fhecost.provenance import Source
from fhecost.version import VERSION

SortKey = Literal["latency", "energy", "price", "utilization", "name"]


@dataclass(frozen=True)
class ComparisonRequest:
    """Which machines are compared, and how.

    ``hardware`` are machine names, comma-separated, or ``all``; ``base`` is the machine that
    speed-ups are over, the slowest one when None; ``what_if`` are figures that are set on every
    machine whose model knows them, as in ``cores=64,clock_hz=2e9``.
    """

    hardware: str = ALL
    base: str | None = None
    sort: SortKey = "latency"
    kinds: tuple[Kind, ...] = ()
    what_if: str | None = None


class ComparisonRow(Frozen):
    """One machine. ``energy_j`` and ``price_usd`` are None where power or price is unknown.

    ``speed_up`` is the base's latency over this one. ``sources`` says which share of the latency
    rests on which kind of number.
    """

    hardware: str
    title: str
    kind: Kind
    year: int | None
    latency_s: float
    low_s: float
    high_s: float
    utilization: float
    critical_path_s: float | None
    bottleneck: Bottleneck
    speed_up: float
    energy_j: float | None
    price_usd: float | None
    sources: Mapping[Source, float]


class ComparisonReport(Frozen):
    """What ``fhecost compare`` prints: rows in the order that was asked for."""

    schema_version: Literal[2] = 2
    fhecost_version: str
    circuit: CircuitSummary
    base: str
    what_if: Mapping[str, float]
    rows: tuple[ComparisonRow, ...]
    refusals: tuple[Refusal, ...]


def compare(
    report: EstimateReport,
    machines: Sequence[HardwareProfile],
    base: Estimate | None = None,
    *,
    sort: SortKey = "latency",
    what_if: Mapping[str, float] | None = None,
) -> ComparisonReport:
    """Hold the machines of ``report`` against ``base``.

    Args:
        report: the circuit's estimates.
        machines: those of the report.
        base: the estimate that speed-ups are over; the slowest of the report when None.
        sort: by what; latency, energy and price from the least, utilization from the most, and
            what is unknown comes last.
        what_if: figures that were set on the machines, for the report alone.
    """
    by_name = {machine.name: machine for machine in machines}
    if base is None:
        base = max(report.estimates, key=lambda made: made.latency_s)
    rows = [
        ComparisonRow(
            hardware=made.hardware,
            title=made.title,
            kind=by_name[made.hardware].kind,
            year=by_name[made.hardware].year,
            latency_s=made.latency_s,
            low_s=made.low_s,
            high_s=made.high_s,
            utilization=made.utilization,
            critical_path_s=made.critical_path_s,
            bottleneck=made.bottleneck,
            speed_up=base.latency_s / made.latency_s,
            energy_j=made.energy_j,
            price_usd=made.price_usd,
            sources=made.sources,
        )
        for made in report.estimates
    ]
    return ComparisonReport(
        fhecost_version=VERSION,
        circuit=report.circuit,
        base=base.hardware,
        what_if=what_if or {},
        rows=tuple(sorted(rows, key=lambda row: _order(row, sort))),
        refusals=report.refusals,
    )


def parse_kinds(text: str | None) -> tuple[Kind, ...]:
    """The kinds of machines in an option such as ``gpu,asic``; none when None.

    Raises:
        UsageError: something else than kinds of machines.
    """
    known: tuple[Kind, ...] = get_args(Kind)
    wanted = [part.strip() for part in text.split(",")] if text else []
    for name in wanted:
        if name not in known:
            raise UsageError(f"--kind {name}: must be among {', '.join(known)}")
    return tuple(kind for kind in known if kind in wanted)


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
