"""Predicted against measured as an interactive figure on a page that opens offline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhecost.report.drawing import BLUE, GREEN, NEUTRAL, ORANGE, Drawn, add_line, finish, new_figure
from fhecost.report.pages import figure_page
from fhecost.validation.comparison import ValidationReport, ValidationRow

_BAND = 0.1
_QUANTITIES = (
    ("warm", "warm run", BLUE, "circle"),
    ("cold", "cold run", ORANGE, "diamond"),
    ("keygen", "key generation", GREEN, "square"),
)


def validation_page(report: ValidationReport) -> str:
    """One HTML page: seconds predicted against seconds measured, on log axes.

    Raises:
        UsageError: plotly isn't installed.
    """
    warm = report.summary["warm"]
    note = (
        f"{report.hardware}, {warm.n} runs; the band is ±{_BAND:.0%} around a perfect prediction. "
        "The baseline is Concrete's complexity times the constant that fits these runs best. "
        f"fhecost {report.fhecost_version}, hardware profile {report.hardware_hash[:12]}."
    )
    return figure_page("Predicted against measured", note, validation_figures(report))


def validation_figures(report: ValidationReport) -> list[Drawn]:
    """Seconds predicted against seconds measured."""
    seconds = [row for row in report.rows if row.quantity != "memory"]
    times = [time for row in seconds for time in (row.measured, row.predicted)]
    ends = [0.7 * min(times), 1.4 * max(times)]
    figure = new_figure()
    for factor, fill in ((1 - _BAND, None), (1 + _BAND, "tonexty")):
        edge = [factor * end for end in ends]
        about = {"name": f"±{_BAND:.0%}", "showlegend": fill is not None, "hoverinfo": "skip"}
        area = {"fill": fill, "fillcolor": "rgba(138,143,152,0.25)"}
        add_line(figure, ends, edge, NEUTRAL, width=0, **area, **about)
    add_line(figure, ends, ends, NEUTRAL, width=1, name="predicted = measured", hoverinfo="skip")
    for quantity, name, color, symbol in _QUANTITIES:
        runs = [(row, row.predicted, row.error) for row in seconds if row.quantity == quantity]
        _add_runs(figure, runs, name, color, symbol)
    runs = [(row, row.baseline, row.baseline_error) for row in seconds if row.baseline is not None]
    _add_runs(figure, runs, "baseline, warm run", NEUTRAL, "x-thin-open", visible="legendonly")
    axes = ({"title": f"{said} (s)", "type": "log"} for said in ("measured", "predicted"))
    return [("Predicted against measured, in seconds", finish(figure, *axes))]


def _add_runs(
    figure: Any,
    runs: Sequence[tuple[ValidationRow, float, float | None]],
    name: str,
    color: str,
    symbol: str,
    **about: Any,
) -> None:
    """Measured runs with the seconds predicted for each and the error of that."""
    if runs:
        figure.add_scatter(
            x=[row.measured for row, _, _ in runs],
            y=[predicted for _, predicted, _ in runs],
            mode="markers",
            name=name,
            marker={"color": color, "symbol": symbol, "size": 9},
            text=[f"run {row.run}: {row.name}, {error:+.1%}" for row, _, error in runs],
            **about,
        )
