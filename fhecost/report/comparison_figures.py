"""Machines beside each other as an interactive figure on a page that opens offline."""

from __future__ import annotations

from fhecost.hardware.comparison import ComparisonReport
from fhecost.report.drawing import KIND_COLORS, Drawn, error_bars, finish, log_axis, new_figure
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
    figure = new_figure()
    for kind, color in KIND_COLORS.items():
        rows = [row for row in report.rows if row.kind == kind]
        latencies = [row.latency_s for row in rows]
        lows, highs = [row.low_s for row in rows], [row.high_s for row in rows]
        texts = [
            f"{row.title}<br>{duration(row.latency_s)}, {span(row.low_s, row.high_s)}"
            f"<br>utilization {row.utilization:.0%}, {row.bottleneck}"
            for row in rows
        ]
        if rows:
            figure.add_scatter(
                x=latencies,
                y=[row.hardware for row in rows],
                error_x=error_bars(lows, latencies, highs),
                mode="markers",
                marker={"color": color, "size": 10},
                name=kind.upper(),
                text=texts,
                hoverinfo="text",
            )
    names = [row.hardware for row in reversed(report.rows)]
    machines = {"categoryorder": "array", "categoryarray": names, "automargin": True}
    finish(figure, log_axis("seconds"), machines, 1.08, margin={"l": 20, "t": 40, "b": 50})
    return [("Latency and its range, by machine", figure)]
