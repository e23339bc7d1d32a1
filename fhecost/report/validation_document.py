"""What ``fhecost validate`` says: predicted against measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from fhecost.report.circuit_lines import label
from fhecost.report.columns import Table, column, numbers, records
from fhecost.report.document import Block, Document, Heading, Note, Refusals, Text
from fhecost.units import amount, deviation, duration
from fhecost.validation.comparison import ValidationReport

_TITLES: Mapping[str, str] = {
    "warm": "Warm runs",
    "cold": "Cold runs",
    "keygen": "Key generation",
    "memory": "Peak memory",
}
_FIELDS = (
    "run", "name", "threads", "quantity", "predicted", "measured", "error", "pace",
    "error_at_calibration_speed", "predicted_before", "baseline", "baseline_error",
)  # fmt: skip


def validation_document(report: ValidationReport) -> Document:
    """Each quantity run by run, the errors in all, and what they are held against."""
    return Document(
        blocks=(
            Text(
                f"{report.hardware}: predicted against measured, error = predicted / measured - 1"
            ),
            *(block for quantity in _TITLES for block in _runs(report, quantity)),
            Heading("Errors"),
            _summary_table(report),
            *map(Note, _notes(report)),
        ),
        records=records(_FIELDS, map(dict, report.rows)),
        report=report,
    )


def _runs(report: ValidationReport, quantity: str) -> Iterator[Block]:
    yield Heading(_TITLES[quantity])
    rows = [row for row in report.rows if row.quantity == quantity]
    if not rows:
        yield Refusals("this machine predicts none")
        return
    words = partial(amount, unit="B") if quantity == "memory" else duration
    baseline = numbers("baseline", (row.baseline_error for row in rows), deviation)
    yield Table(
        numbers("run", (row.run for row in rows)),
        column("circuit", (label(row.name, row.description) for row in rows), least=24),
        numbers("threads", (row.threads for row in rows)),
        numbers("predicted", (row.predicted for row in rows), words),
        numbers("measured", (row.measured for row in rows), words),
        numbers("error", (row.error for row in rows), deviation),
        *([baseline] if quantity == "warm" else []),
    )


def _summary_table(report: ValidationReport) -> Table:
    summaries = {str(judged): summary for judged, summary in report.summary.items()}
    summaries["warm, probe unheard"] = report.warm_at_calibration_speed
    made = summaries.values()
    return Table(
        column("quantity", summaries),
        numbers("runs", (summary.n for summary in made)),
        numbers("median", (summary.median_abs_error for summary in made), "{:.1%}".format),
        numbers("90 %", (summary.p90_abs_error for summary in made), "{:.1%}".format),
        numbers("worst", (summary.worst_abs_error for summary in made), "{:.1%}".format),
    )


def _notes(report: ValidationReport) -> Iterator[str]:
    constants = ", ".join(
        f"{units:.3g} units/s on {threads} thread{'s' if threads > 1 else ''}"
        for threads, units in report.baseline_units_per_s.items()
    )
    yield (
        f"baseline: Concrete's complexity at {constants}, the constants that fit these very runs "
        "best"
    )
    paces = [row.pace for row in report.rows if row.quantity == "warm"]
    if any(pace != 1 for pace in paces):
        yield (
            "predictions are stretched by what the probe, one fixed computation, took around each "
            f"run over what it took at the calibration: {min(paces):.2f} to {max(paces):.2f} "
            "times; probe unheard: without"
        )
    if report.wrong_runs:
        yield f"WRONG RESULTS: {'; '.join(report.wrong_runs)}"
