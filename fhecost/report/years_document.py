"""What a projection over the years says and draws: each year, its trend, and the targets.

A line ends with the data that it rests on; nothing is drawn for years that they don't speak for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from typing import Any

from fhecost.projection.trend_fit import Band, Term
from fhecost.projection.years import (
    TargetYear,
    YearPoint,
    YearProjection,
    YearsReport,
    release_latencies,
)
from fhecost.report import drawing
from fhecost.report.columns import Column, Table, numbers
from fhecost.report.document import Block, Listing, Note, Refusals, Text
from fhecost.units import duration, energy, price, times

_TERMS = {
    "software": ("a year", 1.0),
    "hardware": ("a year", 1.0),
    "p_fail": ("from 2^-64 to 2^-128", 64.0),
    "parameter_sets": ("a year", 1.0),
    "price_per_hour": ("a year", 1.0),
}
"""What a term is told over, and how many of its units that is."""
_TITLES = {
    "latency_s": ("Latency against the year", "latency"),
    "price_usd": ("Price of a run against the year", "USD"),
    "energy_j": ("Energy of a run against the year", "joules"),
}
_MIDDLE = 0.5
"""A year's figure stands in its middle."""

RESCALED = (
    "Marks are releases, rescaled: by their distance from the trend, to the estimate of the "
    "machine in the legend. They are no times of those machines."
)
_MOST_TICKS = 8

_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross")


def years_blocks(report: YearsReport) -> tuple[Block, ...]:
    """Each projection with its years, its trend and what it assumes, then the targets."""
    return (
        *(block for one in report.projections for block in _projection(one)),
        Text(*map(target_line, report.targets)),
    )


def target_line(target: TargetYear) -> str:
    """When a target is met, or that the data don't say."""
    start = f"{target.name}: {duration(target.target_s)}"
    if target.earliest is None:
        return f"{start} not within the data: {_short(target)}{target.reason}"
    expected = "" if target.expected is None else f", by the estimate {target.expected}"
    if target.latest is None:
        return f"{start} in {target.earliest} at the earliest{expected}; no latest: {target.reason}"
    if target.earliest == target.latest:
        return f"{start} in {target.earliest}"
    return f"{start} between {target.earliest} and {target.latest}{expected}"


def _short(target: TargetYear) -> str:
    """How far the last year that the data speak for is from the target, in words."""
    if target.short is None:
        return ""
    by, least, most = (times(x) for x in (target.short.value, target.short.low, target.short.high))
    between = "" if least == most else f" ({least} to {most})"
    return f"{by} times short{between} in {target.last_year}; "


def change(term: Term | None, units: float = 1.0) -> str:
    """A term as a percentage over ``units``, with its interval; a factor where it is large."""
    if term is None:
        return "not known"
    factor = term.over(units)
    if factor.low == factor.high == 1:
        return "unchanged"
    if max(factor.value, factor.high) > 2 or min(factor.value, factor.low) < 0.5:
        return f"times {factor.value:.2g} ({factor.low:.2g} to {factor.high:.2g})"
    return f"{_percent(factor.value)} ({_percent(factor.low)} to {_percent(factor.high)})"


def _trend_lines(projection: YearProjection) -> Iterator[str]:
    """One line a term: its value with its interval, or why it isn't known."""
    trend = projection.trend
    for name, (over, units) in _TERMS.items():
        term: Term | None = getattr(trend, name)
        label = name.replace("_", " ") if name != "p_fail" else name
        if term is None:
            yield f"{label}: not known: {trend.not_known[name]}"
        else:
            degrees = "degree" if term.degrees_of_freedom == 1 else "degrees"
            unclear = "; no change is within the error" if term.low <= 0 <= term.high else ""
            yield (
                f"{label}: {change(term, units)} {over}, {term.figures} figures, "
                f"{term.degrees_of_freedom} {degrees} of freedom{unclear}"
            )
    if trend.first_date is not None and trend.last_date is not None:
        parts = ", ".join(f"{part.cause} {change(part.change)}" for part in trend.history)
        yield f"{int(trend.first_date)} to {int(trend.last_date)} in all: {parts}"
    for step in trend.steps:
        yield f"step from {step.before} to {step.after}: {change(step.step)}"


def _percent(factor: float) -> str:
    return f"{100 * (factor - 1):+.3g} %"


def _projection(projection: YearProjection) -> Iterator[Block]:
    head = (
        f"{projection.name} ({projection.kind}), {duration(projection.latency_s.value)} in "
        f"{projection.base_year}:"
    )
    if projection.reason is not None:
        yield Refusals(f"{head} no projection: {projection.reason}")
        return
    yield Text(head)
    if projection.points:
        yield from _tables(projection.points)
        yield Note("software, hardware, p_fail: latency over that of the base year, by cause")
    if projection.beyond_data:
        yield Refusals(f"not within the data: {_ranges(projection.beyond_data)}")
    line = f"trend of {len(projection.trend.figures)} figures, with 90 % intervals:"
    yield Text(Listing(line, tuple(_trend_lines(projection))))
    yield Text(*(f"assumed: {text}" for text in projection.assumptions))


def _tables(points: Sequence[YearPoint]) -> Iterator[Table]:
    years = numbers("year", (point.year for point in points), str)
    causes = ("software", "hardware", "p_fail")
    factors = {cause: [getattr(point, cause) for point in points] for cause in causes}
    yield Table(
        years,
        *_with_range("latency", [point.latency_s for point in points], duration),
        *(numbers(cause, map(_value, bands), "{:.2f}".format) for cause, bands in factors.items()),
    )
    prices, energies = [one.price_usd for one in points], [one.energy_j for one in points]
    if any((*prices, *energies)):
        costs = (*_with_range("price", prices, price), *_with_range("energy", energies, energy))
        yield Table(years, *costs)


def _with_range(
    heading: str, bands: Sequence[Band | None], words: Callable[[float], str]
) -> tuple[Column, Column]:
    """The values of bands, and their ends beside them."""
    return (
        numbers(heading, map(_value, bands), words),
        numbers("range", bands, lambda band: f"{words(band.low)} to {words(band.high)}"),
    )


def _value(band: Band | None) -> float | None:
    return None if band is None else band.value


def _ranges(years: Sequence[int]) -> str:
    """Years as ranges: ``2023, 2030..2035``."""
    firsts = [year for year in years if year - 1 not in years]
    lasts = [year for year in years if year + 1 not in years]
    return ", ".join(
        f"{first}..{last}" if first < last else f"{first}"
        for first, last in zip(firsts, lasts, strict=True)
    )


def years_figures(report: YearsReport) -> list[drawing.Drawn]:
    """Latency, price and energy, where they are known; none where no year can be drawn."""
    return [
        (heading, _figure(report, quantity, unit))
        for quantity, (heading, unit) in _TITLES.items()
        if any(_bands(one, quantity) for one in report.projections)
    ]


def _bands(projection: YearProjection, quantity: str) -> dict[int, Band]:
    """The years in which the quantity is known."""
    found = {point.year: getattr(point, quantity) for point in projection.points}
    return {year: band for year, band in found.items() if band is not None}


def _figure(report: YearsReport, quantity: str, unit: str) -> Any:
    figure = drawing.new_figure()
    drawn: list[tuple[int, Band]] = []
    for projection in report.projections:
        known = _bands(projection, quantity)
        if not known:
            continue
        drawn += known.items()
        color = drawing.KIND_COLORS[projection.kind]
        texts = [
            f"{projection.name}, {year}: {band.value:.3g}, {band.low:.3g} to {band.high:.3g}"
            for year, band in known.items()
        ]
        middles = {year + _MIDDLE: band for year, band in known.items()}
        drawing.add_band(figure, projection.name, color, middles, texts)
        if quantity == "latency_s":
            _add_releases(figure, projection, color)
    known_years = [year for year, _ in drawn]
    spoken = min(known_years), 1 + max(known_years)
    first, end = shown_years(report.years, spoken)
    if quantity == "latency_s" and report.targets:
        drawing.add_target(figure, [first, end], report.targets[0].target_s)
    # What is cut off is named on what is left.
    before = f" from {report.years[0]}" if first > report.years[0] else ""
    after = f" to {report.years[-1]}" if end < report.years[-1] + 1 else ""
    for start, stop, cut, place in (
        (first, spoken[0], before, "bottom left"),
        (spoken[1], end, after, "top left"),
    ):
        if start < stop:
            figure.add_vrect(
                x0=start, x1=stop, fillcolor=drawing.NEUTRAL, opacity=0.12, line_width=0,
                annotation={"text": f"beyond the data{cut.replace(' ', '<br>', 1)}"},
                annotation_position=place,
            )  # fmt: skip
    if quantity == "latency_s" and any(one.trend.releases for one in report.projections):
        drawing.say_on(figure, RESCALED)
    ends = [end_of_band for _, band in drawn for end_of_band in (band.low, band.high)]
    # Every second year where there are many: a small screen would turn them on their side.
    ticks = list(range(math.ceil(first), math.floor(end) + 1))
    ticks = ticks[:: 1 if len(ticks) <= _MOST_TICKS else 2]
    years_axis = {"title": "year", "tickvals": ticks, "tickformat": "d", "range": [first, end]}
    axis = drawing.time_axis if quantity == "latency_s" else drawing.log_axis
    return drawing.finish(figure, years_axis, axis(unit, ends), -0.28, height=480)


def shown_years(asked: Sequence[int], spoken: tuple[int, int]) -> tuple[float, float]:
    """The ends of the axis: years without figures take no more room than those with some.

    Args:
        asked: the years, in their order.
        spoken: where those that the data speak for begin and end.
    """
    before, after = max(0, spoken[0] - asked[0]), max(0, asked[-1] + 1 - spoken[1])
    room = (spoken[1] - spoken[0]) / max(1, before + after)
    part = min(1.0, room)
    return spoken[0] - part * before, spoken[1] + part * after


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
            name=f"releases on {machine}, scaled to {projection.name}",
            legendgroup=projection.name,
            text=[f"{level.software}, {level.figures} figures" for level, _ in marks],
            hovertemplate=f"%{{text}}: {projection.name}'s estimate would be %{{y:.3g}} s at its "
            "distance from the trend<extra></extra>",
        )
