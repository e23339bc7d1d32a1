"""Latency, price and energy against the year as interactive figures.

A line ends with the data that it rests on; nothing is drawn for years that they don't speak for.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import Any

from fhecost.projection.years import Band, YearProjection, YearsReport, release_latencies
from fhecost.report.drawing import (
    KIND_COLORS,
    NEUTRAL,
    Drawn,
    add_band,
    add_target,
    finish,
    log_axis,
    new_figure,
)

_TITLES = {
    "latency_s": ("Latency against the year", "seconds"),
    "price_usd": ("Price of a run against the year", "USD"),
    "energy_j": ("Energy of a run against the year", "joules"),
}
_MIDDLE = 0.5
"""A year's figure stands in its middle."""

_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross")


def years_figures(report: YearsReport) -> list[Drawn]:
    """Latency, price and energy, where they are known; none where no year can be drawn."""
    drawn = []
    for quantity, (heading, unit) in _TITLES.items():
        bands = {
            one.name: {
                point.year: band
                for point in one.points
                if (band := getattr(point, quantity)) is not None
            }
            for one in report.projections
        }
        if any(bands.values()):
            drawn.append((heading, _figure(report, quantity, unit, bands)))
    return drawn


def _figure(
    report: YearsReport, quantity: str, unit: str, bands: Mapping[str, Mapping[int, Band]]
) -> Any:
    figure = new_figure()
    for projection in report.projections:
        known = bands[projection.name]
        if not known:
            continue
        color = KIND_COLORS[projection.kind]
        texts = [
            f"{projection.name}, {year}: {band.value:.3g}, {band.low:.3g} to {band.high:.3g}"
            for year, band in known.items()
        ]
        years = [year + _MIDDLE for year in known]
        add_band(figure, projection.name, color, years, list(known.values()), texts)
        if quantity == "latency_s":
            _add_releases(figure, projection, color)
    first, end = report.years[0], report.years[-1] + 1
    if quantity == "latency_s" and report.targets:
        add_target(figure, [first, end], report.targets[0].target_s)
    silent = 1 + max(year for known in bands.values() for year in known)
    if silent < end:
        figure.add_vrect(
            x0=silent, x1=end, fillcolor=NEUTRAL, opacity=0.12, line_width=0,
            annotation={"text": "beyond the data"}, annotation_position="top left",
        )  # fmt: skip
    ends = [e for known in bands.values() for band in known.values() for e in (band.low, band.high)]
    years_axis = {"title": "year", "dtick": 1, "tickformat": "d", "range": [first, end]}
    return finish(figure, years_axis, log_axis(unit, ends), -0.28)


def _add_releases(figure: Any, projection: YearProjection, color: str) -> None:
    machines = dict.fromkeys(level.machine for level in projection.trend.releases)
    for machine, symbol in zip(machines, cycle(_SYMBOLS)):
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
