"""Machines beside each other as an interactive figure on a page that opens offline."""

from __future__ import annotations

from typing import Any

from fhecost.hardware.comparison import ComparisonReport
from fhecost.report.colors import KIND_COLORS
from fhecost.report.pages import figure_page
from fhecost.report.plotly_library import load_plotly
from fhecost.units import duration


def comparison_page(report: ComparisonReport) -> str:
    """One HTML page: every machine's latency with its range, on a log axis.

    Raises:
        UsageError: plotly isn't installed.
    """
    circuit = report.circuit
    note = (
        f"{circuit.name}: {circuit.pbs_count:,} PBS. The bars are the ranges of the estimates. "
        f"fhecost {report.fhecost_version}, circuit {circuit.hash[:12]}."
    )
    return figure_page("Latency on each machine", note, comparison_figures(report))


def comparison_figures(report: ComparisonReport) -> list[tuple[str, Any]]:
    """A heading and a plotly figure.

    Raises:
        UsageError: plotly isn't installed.
    """
    return [("Latency and its range, by machine", _figure(load_plotly(), report))]


def _figure(plotly_objects: Any, report: ComparisonReport) -> Any:
    figure = plotly_objects.Figure()
    for kind, color in KIND_COLORS.items():
        rows = [row for row in report.rows if row.kind == kind]
        if not rows:
            continue
        figure.add_scatter(
            x=[row.latency_s for row in rows],
            y=[row.hardware for row in rows],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [row.high_s - row.latency_s for row in rows],
                "arrayminus": [row.latency_s - row.low_s for row in rows],
                "color": color,
            },
            mode="markers",
            marker={"color": color, "size": 10},
            name=kind.upper(),
            text=[
                f"{row.title}<br>{duration(row.latency_s)}, {duration(row.low_s)} to "
                f"{duration(row.high_s)}<br>utilization {row.utilization:.0%}, {row.bottleneck}"
                for row in rows
            ],
            hoverinfo="text",
        )
    figure.update_xaxes(type="log", title="seconds", dtick=1, exponentformat="power")
    names = [row.hardware for row in report.rows]
    figure.update_yaxes(categoryorder="array", categoryarray=names[::-1], automargin=True)
    figure.update_layout(
        legend={"orientation": "h", "y": 1.08}, margin={"l": 20, "r": 20, "t": 40, "b": 50}
    )
    return figure
