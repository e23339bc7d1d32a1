"""What ``fhecost validate`` says and draws: predicted against measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from fhecost.report import drawing
from fhecost.report.circuit_lines import label
from fhecost.report.columns import Table, column, numbers, records
from fhecost.report.document import Block, Document, Heading, Note, Refusals, Text
from fhecost.units import amount, deviation, duration, share
from fhecost.validation.comparison import ValidationReport, ValidationRow

_TITLES: Mapping[str, str] = {
    "warm": "Warm runs",
    "cold": "Cold runs",
    "keygen": "Key generation",
    "memory": "Peak memory",
}
_FIELDS = (
    "run", "name", "hardware", "threads", "quantity", "predicted", "measured", "error", "pace",
    "error_at_calibration_speed", "predicted_before", "baseline", "baseline_error", "not_alone",
)  # fmt: skip
_BAND = 0.1
_MARKS = (
    ("warm run", "warm", "predicted", drawing.BLUE, "circle"),
    ("cold run", "cold", "predicted", drawing.ORANGE, "diamond"),
    ("key generation", "keygen", "predicted", drawing.GREEN, "square"),
    ("baseline, warm run", "warm", "baseline", drawing.NEUTRAL, "x-thin-open"),
)


def validation_document(report: ValidationReport) -> Document:
    """Each quantity run by run, the errors in all, and what they are held against."""
    return Document(tuple(_blocks(report)), records(_FIELDS, map(dict, report.rows)), report)


def _blocks(report: ValidationReport) -> Iterator[Block]:
    yield Text(f"{report.hardware}: predicted against measured, error = predicted / measured - 1")
    for quantity, title in _TITLES.items():
        yield Heading(title)
        rows = [row for row in report.rows if row.quantity == quantity]
        yield _runs_table(rows, quantity) if rows else Refusals("this machine predicts none")
    yield Heading("Errors")
    summaries = {str(judged): summary for judged, summary in report.summary.items()}
    summaries["warm, probe unheard"] = report.warm_at_calibration_speed
    summaries |= {f"{name}, not alone": one for name, one in report.summary_not_alone.items()}
    made = summaries.values()
    yield Table(
        column("quantity", summaries),
        numbers("runs", (summary.n for summary in made)),
        numbers("median", (summary.median_abs_error for summary in made), "{:.1%}".format),
        numbers("90 %", (summary.p90_abs_error for summary in made), "{:.1%}".format),
        numbers("worst", (summary.worst_abs_error for summary in made), "{:.1%}".format),
    )
    yield Text(*_coverage_line(report))
    constants = ", ".join(
        f"{units:.3g} units/s on {threads} thread{'s' if threads > 1 else ''}"
        for threads, units in report.baseline_units_per_s.items()
    )
    yield Note(
        f"baseline: Concrete's complexity at {constants}, the constants that fit these very runs "
        "best"
    )
    paces = [row.pace for row in report.rows if row.quantity == "warm"]
    if any(pace != 1 for pace in paces):
        yield Note(
            "predictions are stretched by what the probe, one fixed computation, took around each "
            f"run over what it took at the calibration: {min(paces):.2f} to {max(paces):.2f} "
            "times; probe unheard: without"
        )
    if report.not_alone:
        yield Note("NOT ALONE, and so apart from the other errors: " + "; ".join(report.not_alone))
    if report.other_machines:
        first, *others = report.other_machines
        more = f" (and {len(others)} more)" if others else ""
        yield Note(
            f"NOT ITS MACHINE: {report.hardware} was calibrated on another one than {first}{more}; "
            "without --hardware each run is held against its own"
        )
    if report.wrong_runs:
        yield Note(f"WRONG RESULTS: {'; '.join(report.wrong_runs)}")


def _coverage_line(report: ValidationReport) -> Iterator[str]:
    """How many runs are inside their range, and what that says of the range."""
    found = report.coverage
    if found is None:
        return
    says = (
        "it fits"
        if found.fits
        else "the ranges are too narrow"
        if found.inside < found.least
        else "the ranges are wider than they claim"
    )
    expects = f"{found.least}" + ("" if found.most == found.least else f" to {found.most}")
    yield (
        f"{found.inside} of {found.runs} warm runs lie inside their stated range; ranges that hold "
        f"{share(found.claimed)} of all runs, as those of calibrated constants are made to, would "
        f"hold {expects}: {says}."
    )


def _runs_table(rows: Sequence[ValidationRow], quantity: str) -> Table:
    words = partial(amount, unit="B") if quantity == "memory" else duration
    baseline = numbers("baseline", (row.baseline_error for row in rows), deviation)
    return Table(
        numbers("run", (row.run for row in rows)),
        column("circuit", (_label(row) for row in rows), least=24),
        numbers("threads", (row.threads for row in rows)),
        numbers("predicted", (row.predicted for row in rows), words),
        numbers("measured", (row.measured for row in rows), words),
        numbers("error", (row.error for row in rows), deviation),
        *([baseline] if quantity == "warm" else []),
    )


def _label(row: ValidationRow) -> str:
    named = label(row.name, row.description)
    return named if row.not_alone is None else f"{named} (not alone)"


def validation_plot(report: ValidationReport) -> drawing.Plot:
    """What is drawn: seconds predicted against seconds measured, on log axes.

    Raises:
        UsageError: plotly isn't installed.
    """
    warm = report.summary["warm"]
    note = (
        f"{report.hardware}, {warm.n} runs; the band is ±{_BAND:.0%} around a perfect prediction. "
        "The baseline is Concrete's complexity times the constant that fits these runs best. "
        f"fhecost {report.fhecost_version}, hardware profile {report.hardware_hash[:12]}."
    )
    return drawing.Plot("Predicted against measured", note, validation_figures(report))


def validation_figures(report: ValidationReport) -> list[drawing.Drawn]:
    """Seconds predicted against seconds measured."""
    seconds = [row for row in report.rows if row.quantity != "memory"]
    times = [time for row in seconds for time in (row.measured, row.predicted)]
    ends = [0.7 * min(times), 1.4 * max(times)]
    figure = drawing.new_figure()
    for factor, fill in ((1 - _BAND, None), (1 + _BAND, "tonexty")):
        edge = [factor * end for end in ends]
        about = {"name": f"±{_BAND:.0%}", "showlegend": fill is not None, "hoverinfo": "skip"}
        area = {"fill": fill, "fillcolor": "rgba(138,143,152,0.25)"}
        drawing.add_line(figure, ends, edge, drawing.NEUTRAL, width=0, **area, **about)
    about = {"name": "predicted = measured", "hoverinfo": "skip"}
    drawing.add_line(figure, ends, ends, drawing.NEUTRAL, width=1, **about)
    for name, quantity, predicted, color, symbol in _MARKS:
        rows = [row for row in seconds if row.quantity == quantity]
        known = [(row, getattr(row, predicted)) for row in rows if getattr(row, predicted)]
        if known:
            figure.add_scatter(
                x=[row.measured for row, _ in known],
                y=[predicted_s for _, predicted_s in known],
                text=[
                    f"run {row.run}: {row.name}, {deviation(predicted_s / row.measured - 1)}"
                    for row, predicted_s in known
                ],
                mode="markers",
                name=name,
                marker={"color": color, "symbol": symbol, "size": 9},
                visible="legendonly" if predicted == "baseline" else True,
            )
    x, y = (drawing.time_axis(said, times) for said in ("measured", "predicted"))
    return [("Predicted against measured", drawing.finish(figure, x, y))]
