"""Machines beside each other for a terminal, a spreadsheet, a README or a program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fhecost.hardware.comparison import ComparisonReport, ComparisonRow
from fhecost.provenance import Source
from fhecost.report.tables import Column, csv_text, markdown_table, text_table, wrap
from fhecost.units import amount, duration, share


def as_json(report: ComparisonReport) -> str:
    """Everything that is known."""
    return report.model_dump_json(indent=1) + "\n"


def as_csv(report: ComparisonReport) -> str:
    """One row a machine; the shares of its sources are columns of their own."""
    names = [
        "hardware", "kind", "year", "latency_s", "low_s", "high_s", "utilization",
        "critical_path_s", "bottleneck", "speed_up", "energy_j", "price_usd",
    ]  # fmt: skip
    rows = (
        [
            *(getattr(row, name) for name in names),
            *(row.sources.get(source, 0.0) for source in Source),
        ]
        for row in report.rows
    )
    return csv_text([*names, *(f"share_{source.value}" for source in Source)], rows)


def as_table(report: ComparisonReport) -> str:
    """For a terminal of 80 columns."""
    return _compose(report, text_table)


def as_markdown(report: ComparisonReport) -> str:
    """For a README or an issue."""
    return _compose(report, markdown_table)


RENDERERS: Mapping[str, Callable[[ComparisonReport], str]] = {
    "table": as_table,
    "json": as_json,
    "csv": as_csv,
    "markdown": as_markdown,
}


LEGEND = (
    "utilization: what the machine would need were it always full, over what it needs; energy: at "
    "full power all the time; -: unknown; m/p/a: share of the latency that rests on numbers "
    "measured or calibrated here, published, or modelled and assumed"
)


def price(usd: float | None) -> str:
    """Cents below a dollar, and no more digits than a rent is worth."""
    if usd is None:
        return "-"
    if usd >= 1000:
        return f"{usd:,.0f} $"
    return f"{usd:.2f} $" if usd >= 1 else f"{100 * usd:.2g} ct"


def _compose(
    report: ComparisonReport,
    table: Callable[[Sequence[Column], Sequence[Sequence[str]]], str],
) -> str:
    circuit = report.circuit
    blocks = [wrap(f"{circuit.name}: {circuit.pbs_count:,} PBS, {circuit.key_switch_count:,} KS")]
    if report.what_if:
        values = ", ".join(f"{name} = {value:g}" for name, value in report.what_if.items())
        blocks.append(wrap(f"what if: {values}, on every machine that has the figure"))
    blocks.append(table(*times_table(report)))
    blocks.append(table(*costs_table(report.rows)))
    if report.refusals:
        blocks.append("\n".join(wrap(line) for line in refusal_lines(report)))
    blocks.append(wrap(LEGEND))
    return "\n\n".join(blocks) + "\n"


def refusal_lines(report: ComparisonReport) -> list[str]:
    """A line a reason: many machines end at the same N."""
    by_reason: dict[str, list[str]] = {}
    for refusal in report.refusals:
        by_reason.setdefault(refusal.reason, []).append(refusal.hardware)
    return [f"not {', '.join(names)}: {reason}" for reason, names in by_reason.items()]


def times_table(report: ComparisonReport) -> tuple[list[Column], list[list[str]]]:
    """Latency, its range and the speed-up of each machine."""
    columns = [
        Column("machine"),
        Column("kind"),
        Column("latency", right=True),
        Column("range", right=True),
        Column("speed-up", right=True),
    ]
    cells = [
        [
            row.hardware,
            row.kind,
            duration(row.latency_s),
            f"{duration(row.low_s)} to {duration(row.high_s)}",
            "1 (base)" if row.hardware == report.base else _times_over(row.speed_up),
        ]
        for row in report.rows
    ]
    return columns, cells


def _times_over(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 99.5 else f"{ratio:.3g}"


def costs_table(rows: Sequence[ComparisonRow]) -> tuple[list[Column], list[list[str]]]:
    """Utilization, bottleneck, energy, price of each machine, and what its latency rests on."""
    columns = [
        Column("machine"),
        Column("utilization", right=True),
        Column("bottleneck"),
        Column("energy", right=True),
        Column("price", right=True),
        Column("m/p/a %", right=True),
    ]
    cells = [
        [
            row.hardware,
            share(row.utilization),
            row.bottleneck.value,
            "-" if row.energy_j is None else amount(row.energy_j, "J"),
            price(row.price_usd),
            "/".join(f"{100 * part:.0f}" for part in _grounds(row)),
        ]
        for row in rows
    ]
    return columns, cells


def _grounds(row: ComparisonRow) -> tuple[float, float, float]:
    """Shares that rest on what was measured, published, and supposed."""
    measured = row.sources.get(Source.MEASURED, 0.0) + row.sources.get(Source.CALIBRATED, 0.0)
    published = row.sources.get(Source.PUBLISHED, 0.0)
    return measured, published, max(0.0, 1 - measured - published)
