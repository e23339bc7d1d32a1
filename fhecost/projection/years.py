"""One estimate in other years: latency, price and energy along the trend of its kind of machine.

A trend speaks for no more years ahead than its figures go back; other years get no figure at all.
Software and hardware move along their fitted rates; p_fail is held at that of the estimate, since a
circuit chooses it and a year doesn't. Energy follows latency at the same power, price at the price
an hour of a machine of that year where that has a trend, else at today's.

The band is that of the fit. Its high end also allows for machines that come in steps: by then the
newest one may be as old as one ever was before the next came.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

from fhecost.errors import FieldError, UsageError
from fhecost.frozen import Frozen
from fhecost.hardware.profile import Kind
from fhecost.projection.trend import KindTrend, ReleaseLevel, fit_trend
from fhecost.projection.trend_fit import Band, Term
from fhecost.units import duration

FIRST_YEAR, LAST_YEAR = 1990, 2200


class YearPoint(Frozen):
    """One year: everything relative to the base year as a factor, and in SI units.

    ``hardware`` is None where its rate isn't known: the machine stays the same. ``price_usd`` and
    ``energy_j`` are None where the estimate has none.
    """

    year: int
    factor: Band
    software: Band
    hardware: Band | None
    p_fail: Band
    latency_s: Band
    price_usd: Band | None
    energy_j: Band | None


class YearProjection(Frozen):
    """An estimate in other years, or the ``reason`` why its kind of machine has no trend.

    ``beyond_data`` are the years asked for that the data don't speak for.
    """

    name: str
    kind: Kind
    base_year: int
    latency_s: Band
    price_usd: float | None
    energy_j: float | None
    points: tuple[YearPoint, ...]
    beyond_data: tuple[int, ...]
    reason: str | None
    assumptions: tuple[str, ...]
    trend: KindTrend


class TargetYear(Frozen):
    """When a target is met: by the low end, by the estimate, by the high end of the band.

    None where that isn't within the years that the data speak for; ``reason`` then says why, and
    ``short`` how many times too long the last of these years is, in ``last_year``.
    """

    name: str
    target_s: float
    earliest: int | None
    expected: int | None
    latest: int | None
    reason: str | None = None
    short: Band | None = None
    last_year: int | None = None


class YearsReport(Frozen):
    """Projections over the years, and for each the year of the target if there is one."""

    schema_version: Literal[1] = 1
    fhecost_version: str
    years: tuple[int, ...]
    projections: tuple[YearProjection, ...]
    targets: tuple[TargetYear, ...] = ()


def check_years(years: Iterable[int]) -> tuple[int, ...]:
    """``years`` in their order, each once.

    Raises:
        UsageError: one that no projection could speak of.
    """
    wanted = tuple(sorted(set(years)))
    for year in wanted:
        if not FIRST_YEAR <= year <= LAST_YEAR:
            raise FieldError("years", f"must be between {FIRST_YEAR} and {LAST_YEAR}", year)
    return wanted


def project_years(
    latency_s: Band,
    kind: Kind,
    base_year: int,
    years: Iterable[int],
    *,
    name: str = "",
    price_usd: float | None = None,
    energy_j: float | None = None,
    trend: KindTrend | None = None,
) -> YearProjection:
    """Project an estimate to other years.

    ``base_year`` is when its machine was new; the estimate is that year's. ``name`` is that of the
    machine, for the report. ``trend`` is fitted to the figures that come with fhecost when None.

    Raises:
        UsageError: a latency that isn't positive, or its range doesn't hold it.
    """
    if not 0 < latency_s.low <= latency_s.value <= latency_s.high < math.inf:
        raise UsageError(
            f"latency: {latency_s.value:g} s must be positive and within {latency_s.low:g} to "
            f"{latency_s.high:g} s"
        )
    trend = fit_trend(kind) if trend is None else trend
    within, reason = trend.years_within, trend.reason
    if reason is None and base_year not in within:
        reason = (
            f"the estimate is of {base_year}, and the data speak for {within[0]} to {within[-1]}"
        )
    wanted = tuple(sorted(set(years)))
    known = tuple(year for year in wanted if reason is None and year in within)
    projection = YearProjection(
        name=name or kind,
        kind=kind,
        base_year=base_year,
        latency_s=latency_s,
        price_usd=price_usd,
        energy_j=energy_j,
        points=(),
        beyond_data=tuple(year for year in wanted if year not in known),
        reason=reason,
        assumptions=(),
        trend=trend,
    )
    return projection.changed(
        points=tuple(_point(projection, year) for year in known),
        assumptions=_assumptions(projection),
    )


def latency_in(projection: YearProjection, year: int) -> Band:
    """Seconds in a year that the data speak for, whether or not it was asked for.

    Raises:
        UsageError: the data don't speak for that year.
    """
    if projection.reason is not None or year not in projection.trend.years_within:
        raise UsageError(f"{year}: {projection.reason or 'not within the data'}")
    return projection.latency_s * _factor(projection.trend, year - projection.base_year)


def release_latencies(projection: YearProjection) -> tuple[tuple[ReleaseLevel, float], ...]:
    """What the estimate would be in seconds with each release, by its distance from the trend.

    The base year stands for its middle.
    """
    trend = projection.trend
    if projection.reason is not None or trend.together is None or trend.last_date is None:
        return ()
    at_base = trend.together.estimate * (projection.base_year + 0.5 - trend.last_date)
    return tuple(
        (level, projection.latency_s.value * math.exp(level.level - at_base))
        for level in trend.releases
    )


def year_of_target(projection: YearProjection, target_s: float) -> TargetYear:
    """When the latency comes down to ``target_s``, from the base year on.

    Raises:
        UsageError: a target that isn't positive.
    """
    if not 0 < target_s < math.inf:
        raise FieldError("target_s", "must be positive", f"{target_s:g}")
    reason = projection.reason
    years = range(0) if reason else projection.trend.years_within
    bands = {y: latency_in(projection, y) for y in years if y >= projection.base_year}
    met = {
        end: next((year for year, band in bands.items() if getattr(band, end) <= target_s), None)
        for end in ("low", "value", "high")
    }
    if bands and met["high"] is None:
        end = "high" if met["low"] is not None else "low"
        reason = (
            f"the data speak for no year after {years[-1]}, and then its {end} end is "
            f"{duration(getattr(bands[years[-1]], end))}"
        )
    last_year = max(bands, default=projection.base_year)
    missed = bands.get(last_year, projection.latency_s) * _exactly(1 / target_s)
    return TargetYear(
        name=projection.name,
        target_s=target_s,
        earliest=met["low"],
        expected=met["value"],
        latest=met["high"],
        reason=reason,
        short=None if met["value"] is not None else missed,
        last_year=None if met["value"] is not None else last_year,
    )


def _point(projection: YearProjection, year: int) -> YearPoint:
    trend, passed = projection.trend, year - projection.base_year
    price_usd, energy_j = projection.price_usd, projection.energy_j
    latency = latency_in(projection, year)
    run = latency * _exactly(1 / projection.latency_s.value)
    price_rate = _price_rate(trend)
    hourly = price_rate.over(passed) if price_rate else _exactly(1.0)
    return YearPoint(
        year=year,
        factor=_factor(trend, passed),
        software=_over(trend, "software", passed),
        hardware=_over(trend, "hardware", passed) * _delay(trend, passed)
        if trend.hardware
        else None,
        p_fail=_exactly(1.0),
        latency_s=latency,
        price_usd=None if price_usd is None else run * hourly * _exactly(price_usd),
        energy_j=None if energy_j is None else run * _exactly(energy_j),
    )


def _price_rate(trend: KindTrend) -> Term | None:
    """Newer machines cost more an hour; without a rate of hardware, the machine stays."""
    return trend.price_per_hour if trend.hardware else None


def _exactly(value: float) -> Band:
    return Band(value=value, low=value, high=value)


def _factor(trend: KindTrend, passed: int) -> Band:
    return _over(trend, "together", passed) * _delay(trend, passed)


def _over(trend: KindTrend, name: str, passed: int) -> Band:
    factor: Band = getattr(trend, name).over(passed)
    return factor


def _delay(trend: KindTrend, passed: int) -> Band:
    """At the high end, a machine that is as old as one ever was before the next came.

    It isn't older than the base year's, and in the base year it is the estimate's own.
    """
    late = 1.0
    if trend.hardware and trend.longest_generation is not None and passed != 0:
        age = trend.longest_generation if passed < 0 else min(trend.longest_generation, passed)
        late = math.exp(max(0.0, -trend.hardware.estimate * age))
    return Band(value=1.0, low=1.0, high=late)


def _assumptions(projection: YearProjection) -> tuple[str, ...]:
    trend = projection.trend
    if projection.reason is not None or trend.last_date is None:
        return ()
    within = trend.years_within
    said = [
        f"the trend of {within[0]} to {math.floor(trend.last_date)} goes on; the data speak "
        f"for no year after {within[-1]}, as far ahead as they go back",
        f"the estimate is taken as one of {projection.base_year}, the year of its machine's "
        "profile, whatever year each of its figures was published in",
        "the trend is one of single operations; a machine full of them is taken to move along it",
        "p_fail is held at that of the estimate: a circuit chooses it",
        "a machine of each year; the high end has one that is up to "
        f"{trend.longest_generation:.1f} years old, the longest that a generation lasted"
        if trend.hardware
        else f"the machine stays the same, software alone moves: {trend.not_known['hardware']}",
    ]
    if projection.price_usd is not None:
        said.append(
            "the price an hour moves as from one generation to the next"
            if _price_rate(trend)
            else "the price an hour stays the same"
        )
    if projection.energy_j is not None:
        said.append("the power stays the same: no dated power is published")
    return tuple(said)
