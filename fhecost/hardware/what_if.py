"""A machine with other figures than its own: more threads, more bandwidth."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from fhecost.errors import FieldError, UsageError
from fhecost.frozen import Frozen
from fhecost.hardware.bootstraps import algorithm_of, figure_names
from fhecost.hardware.pbs_choice import kinds_of, with_pbs
from fhecost.hardware.plausible import implausible_value
from fhecost.hardware.profile import FurtherPbs, HardwareProfile, PbsKind
from fhecost.hardware.registry import latency_model_named
from fhecost.provenance import Figure, Source

_ALIASES: Mapping[str, str] = {"cores": "threads"}
"""Other names that architects use for a figure."""

ON_ONE = ":"
"""Between the name of a machine and that of a figure that is set on it alone."""

_RATIONALE = "set for this estimate"


class FigureChange(Frozen):
    """A figure of a machine that was set; ``before`` is None where the machine's is not known."""

    hardware: str
    figure: str
    before: Figure | None
    after: Figure


def with_figures(hardware: HardwareProfile, values: Mapping[str, float]) -> HardwareProfile:
    """``hardware`` with some figures set to ``values``, in their SI units, as assumptions.

    A figure that has a range keeps it, relative to its value: another number of butterflies is
    as unsure as the one before. One that the machine lacks is taken as exact.

    Args:
        hardware: one machine.
        values: by name of the figure; ``cores`` is another name of ``threads``.

    Raises:
        UsageError: the machine's latency model knows no figure of that name, one is named twice,
            or a value isn't plausible for its unit.
    """
    known = known_figures(hardware)
    named = _named(values, known)
    for name in named:
        if name not in known:
            raise UsageError(f"{hardware.name}: has no figure {name}; there is {', '.join(known)}")
    figures = checked_figures(hardware)
    changed = dict(hardware.figures)
    for name, value in named.items():
        if name in figures:
            changed[name] = _set_to(figures[name], value)
    # No such machine can be had, whatever it was made of.
    supposed = hardware.changed(figures=changed, availability="hypothetical")
    if hardware.pbs is not None:
        supposed = supposed.changed(pbs=dict(_further(hardware, hardware.pbs, named)))
        for kind in hardware.pbs:
            checked_figures(with_pbs(supposed, kind))
    checked_figures(supposed)
    return supposed


def _set_to(own: Figure | None, value: float) -> Figure:
    if own is None:
        return Figure(value=value, source=Source.ASSUMED, rationale=_RATIONALE)
    return own.set_to(value, _RATIONALE)


def _further(
    hardware: HardwareProfile, pbs: Mapping[PbsKind, FurtherPbs], values: Mapping[str, float]
) -> Iterator[tuple[PbsKind, FurtherPbs]]:
    """The further kinds of PBS with those of ``values`` that they have figures of their own for."""
    for kind, stated in pbs.items():
        own = checked_figures(with_pbs(hardware, kind))
        changed = {
            name: _set_to(own[name], value)
            for name, value in values.items()
            if name in stated.figures
        }
        yield kind, stated.changed(figures={**stated.figures, **changed})


def with_figures_where_known(
    hardware: Sequence[HardwareProfile], values: Mapping[str, float]
) -> list[HardwareProfile]:
    """Each machine with those of ``values`` that it can have.

    One that its latency model knows and that doesn't go with its other figures, such as butterflies
    on a chip whose rate of work is published, isn't a figure of that machine. ``MACHINE:FIGURE`` is
    a figure of that machine alone, whatever is set on all of them.

    Raises:
        UsageError: no machine can have one of them, one is named twice, or it isn't positive. Or a
            figure is for a machine that isn't there or can't have it.
    """
    everywhere = {asked: value for asked, value in values.items() if ON_ONE not in asked}
    alone = _by_machine(hardware, values)
    changed, left = [], set[str]()
    meant: dict[str, float] = {}
    if everywhere:
        names = sorted({name for profile in hardware for name in known_figures(profile)})
        for asked, value in everywhere.items():
            if _figure_meant(asked, names) not in names:
                why = f"no figure of these machines; {', '.join(names)}"
                raise FieldError("what_if", why, asked)
            _check_value(asked, _figure_meant(asked, names), value)
        meant = _named(everywhere, names)
        left = set(meant)
    for profile in hardware:
        own = alone.get(profile.name, {})
        fitting = {
            name: value
            for name, value in meant.items()
            if name in profile.figures or _goes_with(profile, name, value)
        }
        left -= fitting.keys()
        changed.append(with_figures(profile, fitting | own) if fitting | own else profile)
    if left:
        why = "doesn't go with the other figures of any of these machines"
        raise FieldError("what_if", why, min(left))
    return changed


def _by_machine(
    hardware: Sequence[HardwareProfile], values: Mapping[str, float]
) -> dict[str, dict[str, float]]:
    """Figures of one machine alone, by its name."""
    profiles = {profile.name: profile for profile in hardware}
    asked_of: dict[str, dict[str, float]] = {}
    for asked, value in values.items():
        said, of_one, figure = asked.partition(ON_ONE)
        if not of_one:
            continue
        name = said if said in profiles else said.lower()
        if name not in profiles:
            raise FieldError("what_if", f"is none of these machines: {', '.join(profiles)}", asked)
        known = known_figures(profiles[name])
        if _figure_meant(figure, known) not in known:
            raise FieldError("what_if", f"{name} has no such figure; {', '.join(known)}", asked)
        _check_value(asked, _figure_meant(figure, known), value)
        asked_of.setdefault(name, {})[figure] = value
    return {name: _named(own, known_figures(profiles[name])) for name, own in asked_of.items()}


def _check_value(asked: str, figure: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise FieldError("what_if", "must be a positive number", f"{asked}={value:g}")
    fault = implausible_value(figure, value)
    if fault is not None:
        raise FieldError("what_if", fault, asked)


def _goes_with(hardware: HardwareProfile, name: str, value: float) -> bool:
    """Whether the machine can have the figure ``name``, which it lacks."""
    if name not in known_figures(hardware):
        return False
    try:
        with_figures(hardware, {name: value})
    except UsageError:
        return False
    return True


def changes_between(
    own: Sequence[HardwareProfile], changed: Sequence[HardwareProfile]
) -> Iterator[FigureChange]:
    """What was set on the machines ``own`` to make ``changed`` of them, machine by machine."""
    for before, after in zip(own, changed, strict=True):
        known = _every_figure(before)
        for name, figure in _every_figure(after).items():
            # One that is set to what it was is an assumption now, so it differs too.
            if figure != known.get(name):
                yield FigureChange(
                    hardware=after.name, figure=name, before=known.get(name), after=figure
                )


def _every_figure(hardware: HardwareProfile) -> dict[str, Figure]:
    """The machine's figures by name, those of its further kinds of PBS by the path to them."""
    further = {
        f"pbs.{kind}.figures.{name}": figure
        for kind, stated in (hardware.pbs or {}).items()
        for name, figure in stated.figures.items()
    }
    return {**hardware.figures, **further}


def _named(values: Mapping[str, float], known: Sequence[str]) -> dict[str, float]:
    """``values`` by the figures' own names, of the ``known`` ones; unknown names stay."""
    named: dict[str, float] = {}
    for asked, value in values.items():
        name = _figure_meant(asked, known)
        if name in named:
            raise FieldError("what_if", f"is the figure {name}, which is set already", asked)
        named[name] = value
    return named


def _figure_meant(asked: str, known: Sequence[str]) -> str:
    """The figure that ``asked`` names, by its own name or by another one of a ``known`` figure."""
    other = _ALIASES.get(asked)
    return other if other is not None and other in known and asked not in known else asked


def known_figures(hardware: HardwareProfile) -> list[str]:
    """The names of all figures that the machine's latency model and its kinds of PBS can use."""
    of_model = latency_model_named(hardware.latency_model).figures_type.model_fields
    of_kinds = [name for kind in kinds_of(hardware) for name in sorted(figure_names(kind))]
    return [*of_model, *of_kinds]


def checked_figures(hardware: HardwareProfile) -> dict[str, Figure | None]:
    """The machine's figures by name, those of its PBS too; None for one that it lacks.

    Raises:
        UsageError: one that is needed is missing, or one is unknown or out of range.
    """
    of_model = latency_model_named(hardware.latency_model).read_figures(hardware)
    return {**dict(of_model), **dict(algorithm_of(hardware).figures)}
