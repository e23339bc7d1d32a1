"""Published figures against their predictions, for a terminal or a program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fhecost.report.tables import Column, csv_text, elide, markdown_table, text_table, wrap
from fhecost.units import duration
from fhecost.validation.backtest import BacktestReport, BacktestRow
from fhecost.validation.published import Quantity


def as_json(report: BacktestReport) -> str:
    """Everything that is known."""
    return report.model_dump_json(indent=1) + "\n"


def as_csv(report: BacktestReport) -> str:
    """One row a published figure."""
    names = [
        "kind", "hardware", "name", "source", "unit", "predicted", "published", "error", "fitted",
        "baseline_error",
    ]  # fmt: skip
    return csv_text(names, ([getattr(row, name) for name in names] for row in report.rows))


def as_table(report: BacktestReport) -> str:
    """For a terminal of 80 columns."""
    return _compose(report, text_table, 34)


def as_markdown(report: BacktestReport) -> str:
    """For a README or an issue."""
    return _compose(report, markdown_table, None)


RENDERERS: Mapping[str, Callable[[BacktestReport], str]] = {
    "table": as_table,
    "json": as_json,
    "csv": as_csv,
    "markdown": as_markdown,
}


def _compose(
    report: BacktestReport,
    table: Callable[[Sequence[Column], Sequence[Sequence[str]]], str],
    width: int | None,
) -> str:
    blocks = ["published against predicted, error = predicted time / published time - 1"]
    for machine in dict.fromkeys(row.hardware for row in report.rows):
        rows = [row for row in report.rows if row.hardware == machine]
        for fitted, title in (
            (True, "FITTED TO, not judged"),
            (False, "PREDICTED, never fitted to"),
        ):
            shown = [row for row in rows if row.fitted is fitted]
            if shown:
                blocks += [f"{machine}: {title}", table(*_rows(shown, width))]
    blocks += ["ERRORS, of what was never fitted to", table(*_summary(report))]
    blocks.append(
        wrap("baseline: for each machine one constant of work per second, from its fitted rows")
    )
    blocks.append(
        "not judged\n"
        + "\n".join(
            wrap(f"- {len(left.records)} records: {left.reason}") for left in report.not_judged
        )
    )
    return "\n\n".join(blocks) + "\n"


def _rows(rows: Sequence[BacktestRow], width: int | None) -> tuple[list[Column], list[list[str]]]:
    columns = [
        Column("figure"),
        Column("published", right=True),
        Column("predicted", right=True),
        Column("error", right=True),
        Column("baseline", right=True),
    ]
    cells = [
        [
            row.name if width is None else elide(row.name.removeprefix("tfhe-rs "), width),
            _value(row, row.published),
            _value(row, row.predicted),
            f"{row.error:+.1%}",
            "-" if row.baseline_error is None else f"{row.baseline_error:+.1%}",
        ]
        for row in rows
    ]
    return columns, cells


def _value(row: BacktestRow, value: float) -> str:
    return duration(value) if row.unit is Quantity.SECONDS else f"{value:,.0f} /s"


def _summary(report: BacktestReport) -> tuple[list[Column], list[list[str]]]:
    columns = [Column("kind")]
    columns += [Column(name, right=True) for name in ("rows", "median", "worst", "baseline median")]
    cells = []
    for kind, summary in report.summary.items():
        errors = (
            summary.median_abs_error,
            summary.worst_abs_error,
            summary.baseline_median_abs_error,
        )
        shown = ["-" if error is None else f"{error:.1%}" for error in errors]
        cells.append([kind, str(summary.n), *shown])
    return columns, cells
