"""What a projection over the years says: each year, the trend behind it, and the targets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from fhecost.projection.trend_fit import Band, Term
from fhecost.projection.years import TargetYear, YearPoint, YearProjection, YearsReport
from fhecost.report.columns import Column, Table, numbers, records
from fhecost.report.comparison_document import energy, price
from fhecost.report.document import Block, Document, Listing, Note, Refusals, Text
from fhecost.units import duration

_BANDS = ("factor", "software", "hardware", "p_fail", "latency_s", "price_usd", "energy_j")
_TERMS = {
    "software": ("a year", 1.0),
    "hardware": ("a year", 1.0),
    "p_fail": ("from 2^-64 to 2^-128", 64.0),
    "parameter_sets": ("a year", 1.0),
    "price_per_hour": ("a year", 1.0),
}
"""What a term is told over, and how many of its units that is."""


def years_document(report: YearsReport) -> Document:
    """All projections, then the targets."""
    ends = [f"{name}{end}" for name in _BANDS for end in ("", "_low", "_high")]
    fields = ["name", "kind", "year", *ends, "reason"]
    return Document(years_blocks(report), records(fields, _records(report)), report)


def years_blocks(report: YearsReport) -> tuple[Block, ...]:
    """Each projection with its years, its trend and what it assumes, then the targets."""
    return (
        *(block for one in report.projections for block in _projection(one)),
        Text(*map(_target_line, report.targets)),
    )


def _target_line(target: TargetYear) -> str:
    """When a target is met, or that the data don't say."""
    start = f"{target.name}: {duration(target.target_s)}"
    if target.earliest is None:
        return f"{start} not within the data: {target.reason}"
    expected = "" if target.expected is None else f", by the estimate {target.expected}"
    if target.latest is None:
        return f"{start} in {target.earliest} at the earliest{expected}; no latest: {target.reason}"
    if target.earliest == target.latest:
        return f"{start} in {target.earliest}"
    return f"{start} between {target.earliest} and {target.latest}{expected}"


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
        yield _latencies(projection.points)
        if projection.price_usd is not None or projection.energy_j is not None:
            yield _costs(projection.points)
        yield Note("software, hardware, p_fail: latency over that of the base year, by cause")
    if projection.beyond_data:
        yield Refusals(f"not within the data: {_ranges(projection.beyond_data)}")
    line = f"trend of {len(projection.trend.figures)} figures, with 90 % intervals:"
    yield Text(Listing(line, tuple(_trend_lines(projection))))
    yield Text(*(f"assumed: {text}" for text in projection.assumptions))


def _latencies(points: Sequence[YearPoint]) -> Table:
    return Table(
        _years(points),
        *_with_range("latency", (point.latency_s for point in points), duration),
        numbers("software", (_value(point.software) for point in points), "{:.2f}".format),
        numbers("hardware", (_value(point.hardware) for point in points), "{:.2f}".format),
        numbers("p_fail", (_value(point.p_fail) for point in points), "{:.2f}".format),
    )


def _costs(points: Sequence[YearPoint]) -> Table:
    return Table(
        _years(points),
        *_with_range("price", (point.price_usd for point in points), price),
        *_with_range("energy", (point.energy_j for point in points), energy),
    )


def _years(points: Sequence[YearPoint]) -> Column:
    return numbers("year", (point.year for point in points), str)


def _with_range(
    heading: str, bands: Iterable[Band | None], words: Callable[[float], str]
) -> tuple[Column, Column]:
    """The values of bands, and their ends beside them."""
    known = list(bands)
    return (
        numbers(heading, map(_value, known), words),
        numbers("range", known, lambda band: f"{words(band.low)} to {words(band.high)}"),
    )


def _value(band: Band | None) -> float | None:
    return None if band is None else band.value


def _ranges(years: Sequence[int]) -> str:
    """Years as ranges: ``2023, 2030..2035``."""
    runs: list[list[int]] = []
    for year in years:
        if runs and year == runs[-1][-1] + 1:
            runs[-1].append(year)
        else:
            runs.append([year])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}..{run[-1]}" for run in runs)


def _records(report: YearsReport) -> Iterator[dict[str, object]]:
    """One row a projection and year; a year without data has its reason and no figure."""
    for projection in report.projections:
        points = {point.year: point for point in projection.points}
        for year in report.years:
            row: dict[str, object] = {
                "name": projection.name, "kind": projection.kind, "year": year
            }  # fmt: skip
            if year not in points:
                yield {**row, "reason": projection.reason or "not within the data"}
                continue
            for name in _BANDS:
                band: Band | None = getattr(points[year], name)
                if band is not None:
                    ends = {name: band.value, f"{name}_low": band.low, f"{name}_high": band.high}
                    row |= ends
            yield row
