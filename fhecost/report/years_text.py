"""Projections over the years for a terminal, a spreadsheet, a README or a program."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from fhecost.projection.trend_fit import Term
from fhecost.projection.years import Band, TargetYear, YearPoint, YearProjection, YearsReport
from fhecost.report.comparison_text import price
from fhecost.report.tables import Column, csv_text, markdown_table, text_table, wrap
from fhecost.units import amount, duration

Table = Callable[[Sequence[Column], Sequence[Sequence[str]]], str]

_BANDS = ("factor", "software", "hardware", "p_fail", "latency_s", "price_usd", "energy_j")


def as_json(report: YearsReport) -> str:
    """Everything that is known."""
    return report.model_dump_json(indent=1) + "\n"


def as_csv(report: YearsReport) -> str:
    """One row a projection and year; a year without data has its reason and no figure."""
    ends = [f"{name}{end}" for name in _BANDS for end in ("", "_low", "_high")]
    return csv_text(["name", "kind", "year", *ends, "reason"], _csv_rows(report))


def as_table(report: YearsReport) -> str:
    """For a terminal of 80 columns."""
    return years_text(report, text_table)


def as_markdown(report: YearsReport) -> str:
    """For a README or an issue."""
    return years_text(report, markdown_table)


RENDERERS: Mapping[str, Callable[[YearsReport], str]] = {
    "table": as_table,
    "json": as_json,
    "csv": as_csv,
    "markdown": as_markdown,
}


def years_text(report: YearsReport, table: Table) -> str:
    """All projections, each with its years, its trend and what it assumes, then the targets."""
    blocks = [block for one in report.projections for block in _blocks(one, table)]
    blocks += [wrap(target_line(target)) for target in report.targets]
    return "\n\n".join(blocks) + "\n"


def target_line(target: TargetYear) -> str:
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
    value, low, high = term.over(units)
    if low == high == 1:
        return "unchanged"
    if max(value, high) > 2 or min(value, low) < 0.5:
        return f"times {value:.2g} ({low:.2g} to {high:.2g})"
    return f"{_percent(value)} ({_percent(low)} to {_percent(high)})"


def trend_lines(projection: YearProjection) -> Iterator[str]:
    """One line a term: its value with its interval, or why it isn't known."""
    trend = projection.trend
    for name, unit, units in (
        ("software", "a year", 1.0),
        ("hardware", "a year", 1.0),
        ("p_fail", "from 2^-64 to 2^-128", 64.0),
        ("parameter_sets", "a year", 1.0),
        ("price_per_hour", "a year", 1.0),
    ):
        term: Term | None = getattr(trend, name)
        label = name.replace("_", " ") if name != "p_fail" else name
        if term is None:
            yield f"{label}: not known: {trend.not_known[name]}"
        else:
            degrees = "degree" if term.degrees_of_freedom == 1 else "degrees"
            unclear = "; no change is within the error" if term.low <= 0 <= term.high else ""
            yield (
                f"{label}: {change(term, units)} {unit}, {term.figures} figures, "
                f"{term.degrees_of_freedom} {degrees} of freedom{unclear}"
            )
    if trend.first_date is not None and trend.last_date is not None:
        parts = ", ".join(f"{part.cause} {change(part.change)}" for part in trend.history)
        yield f"{int(trend.first_date)} to {int(trend.last_date)} in all: {parts}"
    for step in trend.steps:
        yield f"step from {step.before} to {step.after}: {change(step.step)}"


def _percent(factor: float) -> str:
    return f"{100 * (factor - 1):+.3g} %"


def _blocks(projection: YearProjection, table: Table) -> Iterator[str]:
    head = f"{projection.name} ({projection.kind}), {duration(projection.latency_s.value)}"
    if projection.reason is not None:
        yield wrap(f"{head} in {projection.base_year}: no projection: {projection.reason}")
        return
    yield wrap(f"{head} in {projection.base_year}:")
    if projection.points:
        yield table(*_latencies(projection.points))
        if projection.price_usd is not None or projection.energy_j is not None:
            yield table(*_costs(projection.points))
        yield wrap("software, hardware, p_fail: latency over that of the base year, by cause")
    if projection.beyond_data:
        yield wrap(f"not within the data: {_ranges(projection.beyond_data)}")
    trend = projection.trend
    yield "\n".join(
        [
            wrap(f"trend of {len(trend.figures)} figures, with 90 % intervals:"),
            *(wrap(line, "  ") for line in trend_lines(projection)),
        ]
    )
    yield "\n".join(wrap(f"assumed: {text}") for text in projection.assumptions)


def _latencies(points: Sequence[YearPoint]) -> tuple[list[Column], list[list[str]]]:
    columns = [
        Column("year"),
        Column("latency", right=True),
        Column("range", right=True),
        Column("software", right=True),
        Column("hardware", right=True),
        Column("p_fail", right=True),
    ]
    cells = [
        [
            str(point.year),
            duration(point.latency_s.value),
            f"{duration(point.latency_s.low)} to {duration(point.latency_s.high)}",
            f"{point.software.value:.2f}",
            "not known" if point.hardware is None else f"{point.hardware.value:.2f}",
            f"{point.p_fail.value:.2f}",
        ]
        for point in points
    ]
    return columns, cells


def _costs(points: Sequence[YearPoint]) -> tuple[list[Column], list[list[str]]]:
    columns = [
        Column("year"),
        Column("price", right=True),
        Column("range", right=True),
        Column("energy", right=True),
        Column("range", right=True),
    ]
    cells = [
        [
            str(point.year),
            *_with_range(point.price_usd, price),
            *_with_range(point.energy_j, lambda joules: amount(joules, "J")),
        ]
        for point in points
    ]
    return columns, cells


def _with_range(band: Band | None, text: Callable[[float], str]) -> tuple[str, str]:
    if band is None:
        return "-", "-"
    return text(band.value), f"{text(band.low)} to {text(band.high)}"


def _ranges(years: Sequence[int]) -> str:
    """Years as ranges: ``2023, 2030..2035``."""
    runs: list[list[int]] = []
    for year in years:
        if runs and year == runs[-1][-1] + 1:
            runs[-1].append(year)
        else:
            runs.append([year])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}..{run[-1]}" for run in runs)


def _csv_rows(report: YearsReport) -> Iterator[list[object]]:
    for projection in report.projections:
        points = {point.year: point for point in projection.points}
        for year in report.years:
            point = points.get(year)
            bands = [getattr(point, name) if point else None for name in _BANDS]
            numbers = [
                number
                for band in bands
                for number in ((band.value, band.low, band.high) if band else (None, None, None))
            ]
            reason = None if point else projection.reason or "not within the data"
            yield [projection.name, projection.kind, year, *numbers, reason]
