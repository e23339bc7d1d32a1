"""What ``fhecost backtest`` says: published figures against their predictions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from fhecost.report import drawing
from fhecost.report.columns import Table, column, names, numbers, records
from fhecost.report.document import Document, Listing, Note, Refusals, Text
from fhecost.units import deviation, duration
from fhecost.validation.backtest import BacktestReport, BacktestRow
from fhecost.validation.published import Quantity

_FIELDS = (
    "kind", "hardware", "name", "source", "unit", "predicted", "published", "error", "fitted",
    "baseline_error",
)  # fmt: skip
_TITLES = {True: "FITTED TO, not judged", False: "PREDICTED, never fitted to"}


def backtest_document(report: BacktestReport) -> Document:
    """Machine by machine what it was fitted to and what it predicts, then the errors."""
    not_judged = tuple(f"{len(no.records)} records: {no.reason}" for no in report.not_judged)
    return Document(
        blocks=(
            Text("published against predicted, error = predicted time / published time - 1"),
            *_tables(report),
            Note("baseline: one constant of work per second a machine, from its fitted rows"),
            Refusals(Listing("not judged", not_judged)),
        ),
        records=records(_FIELDS, map(dict, report.rows)),
        report=report,
    )


def _tables(report: BacktestReport) -> Iterator[Table]:
    for hardware, (fitted, title) in product(
        dict.fromkeys(row.hardware for row in report.rows), _TITLES.items()
    ):
        rows = [row for row in report.rows if (row.hardware, row.fitted) == (hardware, fitted)]
        if rows:
            yield Table(
                names("figure", (row.name.removeprefix("tfhe-rs ") for row in rows), least=20),
                numbers("published", (_value(row, row.published) for row in rows)),
                numbers("predicted", (_value(row, row.predicted) for row in rows)),
                numbers("error", (row.error for row in rows), deviation),
                numbers("baseline", (row.baseline_error for row in rows), deviation),
                title=f"{hardware}: {title}",
            )
    made = report.summary.values()
    baselines = (summary.baseline_median_abs_error for summary in made)
    yield Table(
        column("kind", report.summary),
        numbers("rows", (summary.n for summary in made)),
        numbers("median", (summary.median_abs_error for summary in made), "{:.1%}".format),
        numbers("worst", (summary.worst_abs_error for summary in made), "{:.1%}".format),
        numbers("baseline median", baselines, "{:.1%}".format),
        title="ERRORS, of what was never fitted to",
    )


def _value(row: BacktestRow, value: float) -> str:
    return duration(value) if row.unit is Quantity.SECONDS else f"{value:,.0f} /s"


def backtest_plot(report: BacktestReport) -> drawing.Plot:
    """What is drawn: published figures against their predictions, on log axes.

    Raises:
        UsageError: plotly isn't installed.
    """
    judged = sum(not row.fitted for row in report.rows)
    note = (
        f"{judged} published figures that no machine was fitted to, and "
        f"{len(report.rows) - judged} that were used (open marks). fhecost "
        f"{report.fhecost_version}."
    )
    return drawing.Plot("Published against predicted", note, backtest_figures(report))


def backtest_figures(report: BacktestReport) -> list[drawing.Drawn]:
    """Latencies and throughputs, as far as there are some."""
    drawn = []
    for unit, heading in (
        (Quantity.SECONDS, "Latencies, predicted against published"),
        (Quantity.PER_SECOND, "Bootstraps a second, predicted against published"),
    ):
        rows = [row for row in report.rows if row.unit is unit]
        if rows:
            drawn.append((heading, _scattered(rows, unit)))
    return drawn


def _scattered(rows: Sequence[BacktestRow], unit: Quantity) -> Any:
    values = [value for row in rows for value in (row.published, row.predicted)]
    ends = [0.7 * min(values), 1.4 * max(values)]
    figure = drawing.new_figure()
    about = {"name": "predicted = published", "hoverinfo": "skip"}
    drawing.add_line(figure, ends, ends, drawing.NEUTRAL, width=1, **about)
    for kind, fitted in product(drawing.KIND_COLORS, (False, True)):
        part = [row for row in rows if (row.kind, row.fitted) == (kind, fitted)]
        if part:
            figure.add_scatter(
                x=[row.published for row in part],
                y=[row.predicted for row in part],
                mode="markers",
                name=f"{kind.upper()}{', fitted to' if fitted else ''}",
                marker={
                    "color": drawing.KIND_COLORS[kind],
                    "symbol": "circle-open" if fitted else "circle",
                    "size": 8,
                },
                text=[
                    f"{row.hardware}: {row.name}<br>published {_value(row, row.published)}, "
                    f"predicted {_value(row, row.predicted)}<br>time {deviation(row.error)}"
                    for row in part
                ],
                hoverinfo="text",
            )
    axis = drawing.time_axis if unit is Quantity.SECONDS else drawing.log_axis
    what = "" if unit is Quantity.SECONDS else ", PBS/s"
    x, y = (axis(f"{said}{what}", values) for said in ("published", "predicted"))
    return drawing.finish(figure, x, y)
