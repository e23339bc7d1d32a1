"""The trend of one kind of machine: software, hardware generation and p_fail told apart.

For each kind of machine, on the dated figures of one lineage (one software, one operation)::

    log(seconds / work) = offset of a precision + software * years + generation of the machine
    log(work)           = offset of a precision + p_fail * bits + parameter sets * years

``work`` is that of the published parameter set in the unit of the Concrete optimizer. A smaller
p_fail asks for a larger set, so p_fail acts through the work, and so does a release that chooses
other sets at the same p_fail. Where no set is published beside the figures, the first line is
fitted to log(seconds) and has a p_fail term itself. ``trend_fit`` says how lines are fitted.

Hardware is a step from one generation to the next. Three generations or more also have a rate: the
straight line through them against the date of their first figure. Its error is that of the
generations plus their scatter about the line, with as many degrees of freedom as the scatter has.
Two generations are a step without an error, from which no rate follows.

What the data can't tell apart is None, which is unknown and not zero.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from fhecost.frozen import Frozen
from fhecost.hardware.library import find_hardware
from fhecost.hardware.profile import Kind
from fhecost.projection.dated import (
    DatedFigure,
    DatedFigures,
    FittedFigure,
    machines_of,
    read_dated,
)
from fhecost.projection.trend_fit import Line, Term, TermFit, fit_terms, line_through, make_term

_YEARS, _P_FAIL = "years", "p_fail"
_FEWEST_GENERATIONS = 3


class GenerationStep(Frozen):
    """What the same software takes on ``after``, over what it takes on ``before``."""

    before: str
    after: str
    step: Term


class ReleaseLevel(Frozen):
    """One release on one machine: the mean of its figures beside the trend.

    ``level`` is the logarithm of its time over that of the trend on the day of the last figure,
    after what precision and p_fail make of it. ``date`` is in years.
    """

    software: str
    machine: str
    date: float
    level: float
    figures: int


class HistoryPart(Frozen):
    """What one cause did to the time from the first figure to the last; None if not known."""

    cause: str
    change: Term | None


class KindTrend(Frozen):
    """The trend of one kind of machine, or the ``reason`` why there is none.

    Terms are logarithms: ``software``, ``hardware``, ``together``, ``parameter_sets`` and
    ``price_per_hour`` a year, ``p_fail`` a bit, which is a halving of p_fail. ``together`` is
    software and hardware, with their common error; software alone where hardware has no rate.
    ``longest_generation`` is the longest time from a machine to the next. ``not_known`` says why a
    term is None. ``scatter`` is how far a release lies from the fit, one standard deviation of the
    logarithm. Dates and times are in years.
    """

    kind: Kind
    reason: str | None = None
    software: Term | None = None
    hardware: Term | None = None
    p_fail: Term | None = None
    parameter_sets: Term | None = None
    together: Term | None = None
    price_per_hour: Term | None = None
    longest_generation: float | None = None
    not_known: Mapping[str, str] = {}
    steps: tuple[GenerationStep, ...] = ()
    history: tuple[HistoryPart, ...] = ()
    first_date: float | None = None
    last_date: float | None = None
    scatter: float | None = None
    releases: tuple[ReleaseLevel, ...] = ()
    figures: tuple[FittedFigure, ...] = ()

    @property
    def years_within(self) -> range:
        """The years that the data speak for: from the first figure, as far ahead as they go back.

        A year counts where its middle does.
        """
        if self.first_date is None or self.last_date is None:
            return range(0)
        end = 2 * self.last_date - self.first_date
        return range(math.ceil(self.first_date - 0.5), math.floor(end - 0.5) + 1)


def fit_trend(kind: Kind, dated: DatedFigures | None = None) -> KindTrend:
    """Fit the trend of one kind of machine to the figures, those with fhecost when None.

    Raises:
        UsageError: the figures can't be read.
    """
    dated = read_dated() if dated is None else dated
    figures = [figure for figure in dated.figures if figure.kind == kind]
    compared = [figure for figure in figures if figure.says_nothing_of_the_years]
    timeline = [figure for figure in figures if not figure.says_nothing_of_the_years]
    sized = [figure for figure in timeline if figure.work is not None]
    chosen = sized or timeline
    if not chosen:
        reason = dated.no_lineage.get(kind, "no dated measurements of one lineage")
        return KindTrend(kind=kind, reason=reason)
    rates = _fit_rates(chosen)
    if rates is None:
        return KindTrend(kind=kind, reason=f"as many unknowns as dated figures: {len(chosen)}")
    sets = _fit_sets(sized)
    machines = machines_of(chosen)
    line, weights = _generation_line(rates, machines)
    scatter = (line.stderr**2, len(machines) - 2) if line else None
    terms_or_why: dict[str, tuple[Term | None, str]] = {
        "software": (rates.term(_YEARS), "moves together with the machine"),
        "hardware": (
            rates.contrast(weights, scatter) if line else None,
            "one step between two generations, from which no rate follows"
            if len(machines) > 1 or compared
            else f"one machine only: {next(iter(machines))}",
        ),
        "p_fail": ((sets or rates).term(_P_FAIL), "moves together with the date, or has one value"),
        "parameter_sets": (
            sets.term(_YEARS) if sets else None,
            "one choice of sets at each p_fail"
            if sized
            else "no sets are published beside the figures",
        ),
        "price_per_hour": (
            _price_rate(machines, dated.hardware),
            "prices of fewer than three generations",
        ),
    }
    together = rates.contrast({_YEARS: 1.0, **weights}, scatter)
    first, last = min(figure.date for figure in chosen), max(figure.date for figure in chosen)
    return KindTrend(
        kind=kind,
        reason=None if together else "dates and machines can't be told apart",
        **{name: term for name, (term, _) in terms_or_why.items()},
        together=together,
        longest_generation=float(np.diff(list(machines.values())).max()) if line else None,
        not_known={name: why for name, (term, why) in terms_or_why.items() if term is None},
        steps=(*_steps(rates, list(machines)), *_compare(compared)),
        history=_history(rates, sets, chosen),
        first_date=first,
        last_date=last,
        scatter=rates.scatter_of_releases,
        releases=_levels(rates, chosen, line.intercept + line.slope * last if line else None),
        figures=tuple(FittedFigure.like(figure) for figure in chosen),
    )


def _fit_rates(figures: Sequence[DatedFigure]) -> TermFit | None:
    """The first line: seconds a unit of work, or of an operation with the p_fail that it is for."""
    last = max(figure.date for figure in figures)
    terms = {_YEARS: [figure.date - last for figure in figures], **_machine_terms(figures)}
    if figures[0].work is None:
        terms[_P_FAIL] = [_bits(figure) for figure in figures]
    return fit_terms(
        [math.log(figure.seconds / (figure.work or 1.0)) for figure in figures],
        terms,
        [f"{figure.lineage}, {figure.precision}" for figure in figures],
        [_release(figure) for figure in figures],
    )


def _fit_sets(figures: Sequence[DatedFigure]) -> TermFit | None:
    """The second line, on each parameter set once: at the first date that it was used."""
    first: dict[tuple[object, ...], DatedFigure] = {}
    for figure in sorted(figures, key=lambda one: one.date):
        key = (figure.lineage, figure.precision, figure.log2_p_fail, figure.work)
        first.setdefault(key, figure)
    sets = list(first.values())
    if not sets:
        return None
    return fit_terms(
        [math.log(figure.work) for figure in sets if figure.work],
        {
            _P_FAIL: [_bits(figure) for figure in sets],
            _YEARS: [figure.date - sets[0].date for figure in sets],
        },
        [f"{figure.lineage}, {figure.precision}" for figure in sets],
        list(map(str, range(len(sets)))),
    )


def _machine_terms(figures: Sequence[DatedFigure]) -> dict[str, list[float]]:
    """A column for each machine but the first, which the others are relative to."""
    later = list(machines_of(figures))[1:]
    return {name: [float(figure.machine == name) for figure in figures] for name in later}


def _bits(figure: DatedFigure) -> float:
    if figure.log2_p_fail is None:
        raise ValueError(f"{figure.name}: for no p_fail that is stated")
    return float(-figure.log2_p_fail)


def _release(figure: DatedFigure) -> str:
    return f"{figure.lineage}, {figure.software}, {figure.machine}"


def _generation_line(
    rates: TermFit, machines: Mapping[str, float]
) -> tuple[Line | None, dict[str, float]]:
    """The line through the generations, and how each counts in its slope."""
    if len(machines) < _FEWEST_GENERATIONS:
        return None, {}
    dates = np.array(list(machines.values()))
    centred = dates - dates.mean()
    counts = dict(zip(machines, (centred / (centred @ centred)).tolist(), strict=True))
    # The first generation is what the others are relative to: it has no term.
    counts.pop(next(iter(machines)))
    return line_through(dates, [rates.value(name) for name in machines]), counts


def _steps(rates: TermFit, machines: Sequence[str]) -> list[GenerationStep]:
    steps = []
    for before, after in itertools.pairwise(machines):
        weights = {after: 1.0} if before == machines[0] else {after: 1.0, before: -1.0}
        step = rates.contrast(weights)
        if step is not None:
            steps.append(GenerationStep(before=before, after=after, step=step))
    return steps


def _compare(figures: Sequence[DatedFigure]) -> list[GenerationStep]:
    """The steps between machines that were compared with one software at one time."""
    machines = list(machines_of(figures))
    if len(machines) < 2:
        return []
    pairs = [f"{figure.lineage}, {figure.software}, {figure.precision}" for figure in figures]
    fitted = fit_terms(
        [math.log(figure.seconds) for figure in figures], _machine_terms(figures), pairs, pairs
    )
    return _steps(fitted, machines) if fitted else []


def _price_rate(machines: Mapping[str, float], hardware: Mapping[str, str]) -> Term | None:
    """The slope of the logarithm of the price an hour against the date of a generation."""
    priced = []
    for name in sorted(machines.keys() & hardware.keys()):
        figure = find_hardware(hardware[name]).figures.get("price_usd_per_hour")
        if figure is not None:
            priced.append((machines[name], math.log(figure.value)))
    if len(priced) < _FEWEST_GENERATIONS:
        return None
    line = line_through(*np.transpose(priced))
    return make_term(line.slope, line.stderr, len(priced) - 2, len(priced))


def _history(
    rates: TermFit, sets: TermFit | None, figures: Sequence[DatedFigure]
) -> tuple[HistoryPart, ...]:
    """From the first figure to the last, from the first p_fail to the strictest of the last."""
    first, last = min(f.date for f in figures), max(f.date for f in figures)
    start = max(_bits(figure) for figure in figures if figure.date == first)
    end = max(_bits(figure) for figure in figures if figure.date == last)
    span = {_YEARS: last - first}
    later = list(machines_of(figures))[1:]
    parts = {
        "software": rates.contrast(span),
        "hardware": rates.term(later[-1]) if later else None,
        "p_fail": (sets or rates).contrast({_P_FAIL: end - start}),
        "parameter sets": sets.contrast(span) if sets else None,
    }
    return tuple(HistoryPart(cause=cause, change=change) for cause, change in parts.items())


def _levels(
    rates: TermFit, figures: Sequence[DatedFigure], today: float | None
) -> tuple[ReleaseLevel, ...]:
    """Each release beside the trend: its software, its machine and what the fit leaves.

    ``today`` is the machine of the trend on the day of the last figure; the newest one when None.
    """
    last = max(figure.date for figure in figures)
    if today is None:
        today = rates.value(list(machines_of(figures))[-1])
    members: dict[str, list[int]] = {}
    for index, figure in enumerate(figures):
        members.setdefault(_release(figure), []).append(index)
    levels = []
    for indices in members.values():
        one = figures[indices[0]]
        on_trend = rates.value(_YEARS) * (one.date - last) + rates.value(one.machine) - today
        levels.append(
            ReleaseLevel(
                software=one.software,
                machine=one.machine,
                date=one.date,
                level=float(np.mean(rates.rest[indices])) + on_trend,
                figures=len(indices),
            )
        )
    return tuple(sorted(levels, key=lambda level: level.date))
