"""Predicted against measured as an interactive figure on a page that opens offline."""

from __future__ import annotations

from typing import Any

from fhecost.report.drawing import NEUTRAL, Drawn, add_line, finish, new_figure
from fhecost.report.pages import figure_page
from fhecost.validation.comparison import ValidationReport

_BAND = 0.1
_QUANTITIES = (
    ("warm", "warm run", "#2b7fb8", "circle"),
    ("cold", "cold run", "#c4661f", "diamond"),
    ("keygen", "key generation", "#4d7c3a", "square"),
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
    return [("Predicted against measured, in seconds", _figure(report))]


def _figure(report: ValidationReport) -> Any:
    seconds = [row for row in report.rows if row.quantity != "memory"]
    ends = [
        0.7 * min(min(row.measured, row.predicted) for row in seconds),
        1.4 * max(max(row.measured, row.predicted) for row in seconds),
    ]
    figure = new_figure()
    for factor, fill in ((1 - _BAND, None), (1 + _BAND, "tonexty")):
        edge = [factor * end for end in ends]
        about = {"name": f"±{_BAND:.0%}", "showlegend": fill is not None, "hoverinfo": "skip"}
        area = {"fill": fill, "fillcolor": "rgba(138,143,152,0.25)"}
        add_line(figure, ends, edge, NEUTRAL, width=0, **area, **about)
    about = {"name": "predicted = measured", "hoverinfo": "skip"}
    add_line(figure, ends, ends, NEUTRAL, width=1, **about)
    for quantity, name, color, symbol in _QUANTITIES:
        rows = [row for row in seconds if row.quantity == quantity]
        if rows:
            figure.add_scatter(
                x=[row.measured for row in rows],
                y=[row.predicted for row in rows],
                mode="markers",
                name=name,
                marker={"color": color, "symbol": symbol, "size": 9},
                text=[f"run {row.run}: {row.name}, {row.error:+.1%}" for row in rows],
            )
    baseline = [row for row in seconds if row.baseline is not None]
    figure.add_scatter(
        x=[row.measured for row in baseline],
        y=[row.baseline for row in baseline],
        mode="markers",
        name="baseline, warm run",
        marker={"color": NEUTRAL, "symbol": "x-thin-open", "size": 8},
        text=[f"run {row.run}: {row.name}, {row.baseline_error:+.1%}" for row in baseline],
        visible="legendonly",
    )
    figure.update_xaxes(title="measured (s)", type="log")
    figure.update_yaxes(title="predicted (s)", type="log")
    return finish(figure)
