"""What ``fhecost compare`` says: machines beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
            *_tables(report),
            Refusals(*_refusals(report)),
            _LEGEND,
        ),
        records=_records(report.rows),
        report=report,
    )


def _tables(report: ComparisonReport) -> Iterator[Table]:
    rows = report.rows
    machines = names("machine", (row.hardware for row in rows))
    speed_ups = ("1 (base)" if row.hardware == report.base else row.speed_up for row in rows)
    yield Table(
        machines,
        column("kind", (row.kind for row in rows)),
        numbers("latency", (row.latency_s for row in rows), duration),
        numbers("range", (span(row.low_s, row.high_s) for row in rows)),
        numbers("speed-up", speed_ups, lambda x: f"{x:,.0f}" if x >= 99.5 else f"{x:.3g}"),
    )
    yield Table(
        machines,
        numbers("utilization", (row.utilization for row in rows), share),
        column("bottleneck", (row.bottleneck for row in rows)),
        numbers("energy", (row.energy_j for row in rows), energy),
        numbers("price", (row.price_usd for row in rows), price),
        numbers("m/p/a %", (_grounds(row) for row in rows)),
    )


def _refusals(report: ComparisonReport) -> Iterator[str]:
    """A line a reason: many machines end at the same N."""
    for reason in dict.fromkeys(refusal.reason for refusal in report.refusals):
        refused = (no.hardware for no in report.refusals if no.reason == reason)
        yield f"not {', '.join(refused)}: {reason}"


def price(usd: float) -> str:
    """Cents below a dollar, and no more digits than a rent is worth."""
    if usd >= 1000:
        return f"{usd:,.0f} $"
    return f"{usd:.2f} $" if usd >= 1 else f"{100 * usd:.2g} ct"


def energy(joules: float) -> str:
    """Joules with a prefix."""
    return amount(joules, "J")


def _grounds(row: ComparisonRow) -> str:
    """Shares that rest on what was measured, published, and supposed."""
    measured = row.sources.get(Source.MEASURED, 0.0) + row.sources.get(Source.CALIBRATED, 0.0)
    published = row.sources.get(Source.PUBLISHED, 0.0)
    parts = (measured, published, max(0.0, 1 - measured - published))
    return "/".join(f"{100 * part:.0f}" for part in parts)


def _records(rows: Sequence[ComparisonRow]) -> Table:
    """One row a machine; the shares of its sources are fields of their own."""
    shares = {f"share_{source.value}": source for source in Source}
    fields = [
        "hardware", "kind", "year", "latency_s", "low_s", "high_s", "utilization",
        "critical_path_s", "bottleneck", "speed_up", "energy_j", "price_usd", *shares,
    ]  # fmt: skip
    known = (
        {name: row.sources.get(source, 0.0) for name, source in shares.items()} for row in rows
    )
    return records(fields, (dict(row) | parts for row, parts in zip(rows, known, strict=True)))
