"""What ``fhecost backtest`` says: published figures against their predictions."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

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
