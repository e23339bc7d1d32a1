"""What ``fhecost compare`` says: machines beside each other."""

from __future__ import annotations

from collections.abc import Sequence

from fhecost.hardware.comparison import ComparisonReport, ComparisonRow
from fhecost.provenance import Source
from fhecost.report.columns import Table, column, names, numbers, records
from fhecost.report.document import Document, Note, Refusals, Text
from fhecost.units import amount, duration, share, span

_LEGEND = Note(
    "utilization: what the machine would need were it always full, over what it needs; energy: at "
    "full power all the time; -: unknown; m/p/a: share of the latency that rests on numbers "
    "measured or calibrated here, published, or modelled and assumed"
)


def comparison_document(report: ComparisonReport) -> Document:
    """Times, costs, and the machines that can't run the circuit."""
    circuit = report.circuit
    heading = [f"{circuit.name}: {circuit.pbs_count:,} PBS, {circuit.key_switch_count:,} KS"]
    if report.what_if:
        values = ", ".join(f"{name} = {value:g}" for name, value in report.what_if.items())
        heading.append(f"what if: {values}, on every machine that has the figure")
    return Document(
        blocks=(
            *(Text(line) for line in heading),
            _times_table(report),
            _costs_table(report.rows),
            _refusals(report),
            _LEGEND,
        ),
        records=_records(report.rows),
        report=report,
    )


def _times_table(report: ComparisonReport) -> Table:
    rows = report.rows
    return Table(
        names("machine", (row.hardware for row in rows)),
        column("kind", (row.kind for row in rows)),
        numbers("latency", (row.latency_s for row in rows), duration),
        numbers("range", (span(row.low_s, row.high_s) for row in rows)),
        numbers(
            "speed-up",
            ("1 (base)" if row.hardware == report.base else row.speed_up for row in rows),
            _times_over,
        ),
    )


def _costs_table(rows: Sequence[ComparisonRow]) -> Table:
    return Table(
        names("machine", (row.hardware for row in rows)),
        numbers("utilization", (row.utilization for row in rows), share),
        column("bottleneck", (row.bottleneck for row in rows)),
        numbers("energy", (row.energy_j for row in rows), energy),
        numbers("price", (row.price_usd for row in rows), price),
        numbers("m/p/a %", (_grounds(row) for row in rows)),
    )


def _refusals(report: ComparisonReport) -> Refusals:
    """A line a reason: many machines end at the same N."""
    by_reason: dict[str, list[str]] = {}
    for refusal in report.refusals:
        by_reason.setdefault(refusal.reason, []).append(refusal.hardware)
    return Refusals(*(f"not {', '.join(they)}: {why}" for why, they in by_reason.items()))


def price(usd: float) -> str:
    """Cents below a dollar, and no more digits than a rent is worth."""
    if usd >= 1000:
        return f"{usd:,.0f} $"
    return f"{usd:.2f} $" if usd >= 1 else f"{100 * usd:.2g} ct"


def energy(joules: float) -> str:
    """Joules with a prefix."""
    return amount(joules, "J")


def _times_over(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 99.5 else f"{ratio:.3g}"


def _grounds(row: ComparisonRow) -> str:
    """Shares that rest on what was measured, published, and supposed."""
    measured = row.sources.get(Source.MEASURED, 0.0) + row.sources.get(Source.CALIBRATED, 0.0)
    published = row.sources.get(Source.PUBLISHED, 0.0)
    parts = (measured, published, max(0.0, 1 - measured - published))
    return "/".join(f"{100 * part:.0f}" for part in parts)


def _records(rows: Sequence[ComparisonRow]) -> Table:
    """One row a machine; the shares of its sources are fields of their own."""
    fields = [
        "hardware", "kind", "year", "latency_s", "low_s", "high_s", "utilization",
        "critical_path_s", "bottleneck", "speed_up", "energy_j", "price_usd",
        *(f"share_{source.value}" for source in Source),
    ]  # fmt: skip
    return records(
        fields,
        (
            {
                **dict(row),
                **{f"share_{source.value}": row.sources.get(source, 0.0) for source in Source},
            }
            for row in rows
        ),
    )
