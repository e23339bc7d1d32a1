"""Predicted against measured, as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fhecost.report.tables import Column, csv_text, elide, markdown_table, text_table, wrap
from fhecost.units import amount, duration
from fhecost.validation.comparison import ValidationReport, ValidationRow

_TITLES: Mapping[str, str] = {
    "warm": "WARM RUNS",
    "cold": "COLD RUNS",
    "keygen": "KEY GENERATION",
    "memory": "PEAK MEMORY",
}


def as_json(report: ValidationReport) -> str:
    """Everything that is known."""
    return report.model_dump_json(indent=1) + "\n"


def as_csv(report: ValidationReport) -> str:
    """One row a quantity of a run."""
    names = [
        "run", "name", "threads", "quantity", "predicted", "measured", "error", "pace",
        "error_at_calibration_speed", "predicted_before", "baseline", "baseline_error",
    ]  # fmt: skip
    return csv_text(names, ([getattr(row, name) for name in names] for row in report.rows))


def as_table(report: ValidationReport) -> str:
    """For a terminal of 80 columns."""
    return _compose(report, text_table)


def as_markdown(report: ValidationReport) -> str:
    """For a README or an issue."""
    return _compose(report, markdown_table)


RENDERERS: Mapping[str, Callable[[ValidationReport], str]] = {
    "table": as_table,
    "json": as_json,
    "csv": as_csv,
    "markdown": as_markdown,
}


def _compose(
    report: ValidationReport,
    table: Callable[[Sequence[Column], Sequence[Sequence[str]]], str],
) -> str:
    blocks = [f"{report.hardware}: predicted against measured, error = predicted / measured - 1"]
    for quantity, title in _TITLES.items():
        rows = [row for row in report.rows if row.quantity == quantity]
        if rows:
            blocks += [title, table(*_rows(rows, baseline=quantity == "warm"))]
        else:
            blocks.append(f"{title}: this machine predicts none")
    blocks += ["ERRORS", table(*summary_table(report))]
    constants = ", ".join(
        f"{units:.3g} units/s on {threads} thread{'s' if threads > 1 else ''}"
        for threads, units in report.baseline_units_per_s.items()
    )
    blocks.append(
        wrap(
            f"baseline: Concrete's complexity at {constants}, the constants that fit these very "
            "runs best"
        )
    )
    paces = [row.pace for row in report.rows if row.quantity == "warm"]
    if any(pace != 1 for pace in paces):
        blocks.append(
            wrap(
                "predictions are stretched by what the probe, one fixed computation, took around "
                f"each run over what it took at the calibration: {min(paces):.2f} to "
                f"{max(paces):.2f} times; probe unheard: without"
            )
        )
    if report.wrong_runs:
        blocks.append(wrap(f"WRONG RESULTS: {'; '.join(report.wrong_runs)}"))
    return "\n\n".join(blocks) + "\n"


def _rows(rows: Sequence[ValidationRow], *, baseline: bool) -> tuple[list[Column], list[list[str]]]:
    columns = [
        Column("run", right=True),
        Column("circuit"),
        Column("threads", right=True),
        Column("predicted", right=True),
        Column("measured", right=True),
        Column("error", right=True),
    ]
    if baseline:
        columns.append(Column("baseline", right=True))
    cells = []
    for row in rows:
        shown = [
            amount(value, "B") if row.quantity == "memory" else duration(value)
            for value in (row.predicted, row.measured)
        ]
        line = [str(row.run), elide(_label(row), 24), str(row.threads), *shown, f"{row.error:+.1%}"]
        if baseline:
            line.append("-" if row.baseline_error is None else f"{row.baseline_error:+.1%}")
        cells.append(line)
    return columns, cells


def _label(row: ValidationRow) -> str:
    """The circuit's name with what tells it from its like."""
    about = row.description
    parts = [row.name]
    for number, format_ in (
        (about.head_dimension, "d={}"),
        (about.seq_len, "L={}"),
        (about.bits, "{} bits"),
    ):
        if number is not None:
            parts.append(format_.format(number))
    return ", ".join(parts)


def summary_table(report: ValidationReport) -> tuple[list[Column], list[list[str]]]:
    """The errors of each quantity, and the baseline's."""
    columns = [Column("quantity"), Column("runs", right=True)]
    columns += [Column(name, right=True) for name in ("median", "90 %", "worst")]
    cells = []
    summaries = {str(judged): summary for judged, summary in report.summary.items()}
    summaries["warm, probe unheard"] = report.warm_at_calibration_speed
    for judged, summary in summaries.items():
        errors = (summary.median_abs_error, summary.p90_abs_error, summary.worst_abs_error)
        shown = ["-" if error is None else f"{error:.1%}" for error in errors]
        cells.append([judged, str(summary.n), *shown])
    return columns, cells
