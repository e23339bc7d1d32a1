"""Latency, price and energy against the year as interactive figures.

A line ends with the data that it rests on; nothing is drawn for years that they don't speak for.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Literal

from fhecost.projection.trend_fit import Band
from fhecost.projection.years import YearProjection, YearsReport, release_latencies
from fhecost.report.drawing import (
    KIND_COLORS,
    NEUTRAL,
    Drawn,
    add_band,
    add_line,
    finish,
    log_axis,
    new_figure,
)
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


def years_figures(report: YearsReport) -> list[Drawn]:
    """Latency, price and energy, where they are known; none where no year can be drawn."""
    drawn = []
    for quantity, (heading, unit) in _TITLES.items():
        bands = {one.name: _bands(one, quantity) for one in report.projections}
        if any(bands.values()):
            drawn.append((heading, _figure(report, quantity, unit, bands)))
    return drawn


def _bands(projection: YearProjection, quantity: Quantity) -> dict[int, Band]:
    """The years in which the quantity is known."""
    found = {point.year: getattr(point, quantity) for point in projection.points}
    return {year: band for year, band in found.items() if band is not None}


def _figure(
    report: YearsReport, quantity: Quantity, unit: str, bands: Mapping[str, Mapping[int, Band]]
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
        target_s = report.targets[0].target_s
        about = {"name": f"target {duration(target_s)}", "hoverinfo": "skip"}
        add_line(figure, [first, end], [target_s] * 2, NEUTRAL, dash="dot", width=1.5, **about)
    silent = 1 + max(year for known in bands.values() for year in known)
    if silent < end:
        figure.add_vrect(
            x0=silent, x1=end, fillcolor=NEUTRAL, opacity=0.12, line_width=0,
            annotation={"text": "beyond the data"}, annotation_position="top left",
        )  # fmt: skip
    figure.update_xaxes(title="year", dtick=1, tickformat="d", range=[first, end])
    drawn = [band for known in bands.values() for band in known.values()]
    ends = [end for band in drawn for end in (band.low, band.high)]
    figure.update_yaxes(title=unit, **log_axis(ends))
    return finish(figure, -0.28)


def _add_releases(figure: Any, projection: YearProjection, color: str) -> None:
    machines = dict.fromkeys(level.machine for level in projection.trend.releases)
    for machine, symbol in zip(machines, itertools.cycle(_SYMBOLS)):
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
