"""Machines beside each other as an interactive figure on a page that opens offline."""

from __future__ import annotations

from typing import Any

from fhecost.hardware.comparison import ComparisonReport, ComparisonRow
from fhecost.report.drawing import KIND_COLORS, Drawn, finish, log_axis, new_figure
from fhecost.report.pages import figure_page
from fhecost.units import duration, span


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


def comparison_figures(report: ComparisonReport) -> list[Drawn]:
    """Latencies and their ranges."""
    return [("Latency and its range, by machine", _figure(report))]


def _figure(report: ComparisonReport) -> Any:
    figure = new_figure()
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
            text=[_about(row) for row in rows],
            hoverinfo="text",
        )
    figure.update_xaxes(title="seconds", **log_axis())
    names = [row.hardware for row in report.rows]
    figure.update_yaxes(categoryorder="array", categoryarray=names[::-1], automargin=True)
    return finish(figure, 1.08, margin={"l": 20, "t": 40, "b": 50})


def _about(row: ComparisonRow) -> str:
    return (
        f"{row.title}<br>{duration(row.latency_s)}, {span(row.low_s, row.high_s)}"
        f"<br>utilization {row.utilization:.0%}, {row.bottleneck}"
    )
