"""Latency, price and energy against the year as interactive figures on a page that opens offline.

A line ends with the data that it rests on; nothing is drawn for years that they don't speak for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from fhecost.errors import ImpossibleError
from fhecost.projection.years import Band, YearProjection, YearsReport, release_latencies
from fhecost.report.axes import log_ticks
from fhecost.report.colors import KIND_COLORS, NEUTRAL, faint
from fhecost.report.pages import figure_page
from fhecost.report.plotly_library import load_plotly
from fhecost.units import duration

Quantity = Literal["latency_s", "price_usd", "energy_j"]

_TITLES: dict[Quantity, tuple[str, str]] = {
    "latency_s": ("Latency against the year", "seconds"),
    "price_usd": ("Price of a run against the year", "USD"),
    "energy_j": ("Energy of a run against the year", "joules"),
}
_MIDDLE = 0.5
"""A year's figure stands in its middle."""

_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross")


def years_page(report: YearsReport) -> str:
    """One HTML page with a figure each of latency, price and energy, where they are known.

    Raises:
        UsageError: plotly isn't installed.
        ImpossibleError: no projection has a year to draw.
    """
    figures = years_figures(report)
    if not figures:
        raise ImpossibleError("no projection has a year within its data: nothing to draw")
    silent = [one for one in report.projections if not one.points]
    missing = "".join(f" {one.name}: {one.reason or 'not within the data'}." for one in silent)
    note = (
        "Lines are the fitted trends, bands 90 % intervals times the range of the estimate, and "
        "they end where the data end. Marks are published releases, set beside the trend. "
        f"fhecost {report.fhecost_version}.{missing}"
    )
    return figure_page("What later years may bring", note, figures)


def years_figures(report: YearsReport) -> list[tuple[str, Any]]:
    """A heading and a plotly figure each; none where no projection has a year to draw.

    Raises:
        UsageError: plotly isn't installed.
    """
    plotly_objects = load_plotly()
    figures = []
    for quantity, (heading, unit) in _TITLES.items():
        drawn = [
            one
            for one in report.projections
            if any(getattr(point, quantity) is not None for point in one.points)
        ]
        if drawn:
            figures.append((heading, _figure(plotly_objects, report, drawn, quantity, unit)))
    return figures


def _figure(
    plotly_objects: Any,
    report: YearsReport,
    drawn: Sequence[YearProjection],
    quantity: Quantity,
    unit: str,
) -> Any:
    figure = plotly_objects.Figure()
    for projection in drawn:
        color = KIND_COLORS[projection.kind]
        known: list[tuple[int, Band]] = [
            (point.year, band)
            for point in projection.points
            if (band := getattr(point, quantity)) is not None
        ]
        _add_band(figure, projection.name, color, known)
        if quantity == "latency_s":
            _add_releases(figure, projection, color)
    first, end = report.years[0], report.years[-1] + 1
    if quantity == "latency_s" and report.targets:
        target_s = report.targets[0].target_s
        figure.add_scatter(
            x=[first, end], y=[target_s, target_s], mode="lines", hoverinfo="skip",
            line={"color": NEUTRAL, "dash": "dot", "width": 1.5},
            name=f"target {duration(target_s)}",
        )  # fmt: skip
    silent = 1 + max(point.year for projection in drawn for point in projection.points)
    if silent < end:
        figure.add_vrect(
            x0=silent, x1=end, fillcolor=NEUTRAL, opacity=0.12, line_width=0,
            annotation={"text": "beyond the data"}, annotation_position="top left",
        )  # fmt: skip
    figure.update_xaxes(title="year", dtick=1, tickformat="d", range=[first, end])
    ticks = log_ticks(
        end
        for projection in drawn
        for point in projection.points
        if (band := getattr(point, quantity)) is not None
        for end in (band.low, band.high)
    )
    figure.update_yaxes(
        title=unit, type="log", dtick=ticks, exponentformat="power", automargin=True
    )
    figure.update_layout(
        legend={"orientation": "h", "y": -0.28}, margin={"l": 60, "r": 20, "t": 20, "b": 60}
    )
    return figure


def _add_band(figure: Any, name: str, color: str, known: Sequence[tuple[int, Band]]) -> None:
    years = [year + _MIDDLE for year, _ in known]
    for end, fill in (("low", None), ("high", "tonexty")):
        figure.add_scatter(
            x=years, y=[getattr(band, end) for _, band in known], mode="lines",
            line={"color": color, "width": 0}, fill=fill, fillcolor=faint(color),
            hoverinfo="skip", showlegend=False, legendgroup=name,
        )  # fmt: skip
    figure.add_scatter(
        x=years,
        y=[band.value for _, band in known],
        mode="lines",
        line={"color": color, "width": 2},
        name=name,
        legendgroup=name,
        text=[
            f"{name}, {year}: {band.value:.3g}, {band.low:.3g} to {band.high:.3g}"
            for year, band in known
        ],
        hoverinfo="text",
    )


def _add_releases(figure: Any, projection: YearProjection, color: str) -> None:
    machines = list(dict.fromkeys(level.machine for level in projection.trend.releases))
    for machine, symbol in zip(machines, _cycle(len(machines)), strict=True):
        marks = [
            (level, seconds)
            for level, seconds in release_latencies(projection)
            if level.machine == machine
        ]
        figure.add_scatter(
            x=[level.date for level, _ in marks],
            y=[seconds for _, seconds in marks],
            mode="markers",
            marker={"color": color, "symbol": symbol, "size": 9, "line": {"width": 1}},
            name=f"{projection.kind}: releases on {machine}",
            legendgroup=projection.name,
            text=[f"{level.software}, {level.figures} figures" for level, _ in marks],
            hovertemplate="%{text}: %{y:.3g} s<extra></extra>",
        )


def _cycle(count: int) -> list[str]:
    return [_SYMBOLS[index % len(_SYMBOLS)] for index in range(count)]
