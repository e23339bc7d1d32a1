"""Which kind of PBS a machine runs a circuit with: its own, another one, or the best that it has.

A kind that the machine's profile doesn't state is a supposition: the kind's work at the machine's
rates for classic PBS. Nobody measured it, so it is hypothetical, and never chosen unasked.
"""

from __future__ import annotations

from typing import get_args

from fhecost.errors import FieldError, ImpossibleError
from fhecost.hardware.bootstraps import ALGORITHMS, figure_names
from fhecost.hardware.names import PbsChoice as PbsChoice
from fhecost.hardware.profile import (
    Availability,
    FurtherPbs,
    HardwareProfile,
    PbsKind,
)


def kinds_of(hardware: HardwareProfile) -> tuple[PbsKind, ...]:
    """The kinds of PBS that the machine's profile states, that of its own figures first."""
    return (hardware.pbs_kind, *(hardware.pbs or {}))


def kinds_at_hand(hardware: HardwareProfile) -> tuple[PbsKind, ...]:
    """Those of them that are as real as the machine: none that is stated as hypothetical."""
    further = hardware.pbs or {}
    return (
        hardware.pbs_kind,
        *(kind for kind, stated in further.items() if stated.availability != "hypothetical"),
    )


def check_choice(pbs: str | None) -> None:
    """Raise a FieldError unless ``pbs`` is a kind of PBS, ``best``, or None."""
    if pbs is not None and pbs not in get_args(PbsChoice):
        raise FieldError("pbs", f"must be among {', '.join(get_args(PbsChoice))}", pbs)


def with_pbs(hardware: HardwareProfile, kind: PbsKind) -> HardwareProfile:
    """The machine with figures for PBS of ``kind``: its own, those that it states, or supposed.

    Raises:
        ImpossibleError: it doesn't state any, and none can be supposed.
    """
    if kind == hardware.pbs_kind:
        return hardware
    stated = (hardware.pbs or {}).get(kind) or _supposed(hardware, kind)
    of_kind = figure_names(hardware.pbs_kind)
    own = {name: one for name, one in hardware.figures.items() if name not in of_kind}
    supposed = ", hypothetical" if stated.availability == "hypothetical" else ""
    return hardware.changed(
        title=f"{hardware.title}; {kind} PBS{supposed}",
        pbs_kind=kind,
        pbs=None,
        figures={**own, **stated.figures},
        availability=_less_real(hardware.availability, stated.availability),
        log2_p_fail=stated.log2_p_fail,
        published=stated.published,
        assumptions=(*hardware.assumptions, *stated.assumptions),
        references=(*hardware.references, *stated.references),
    )


def of_kind_if_known(hardware: HardwareProfile, pbs: PbsChoice | None) -> HardwareProfile:
    """The machine with PBS of the one kind ``pbs``; as it is where that can't be, or is no kind."""
    if pbs is None or pbs == "best":
        return hardware
    try:
        return with_pbs(hardware, pbs)
    except ImpossibleError:
        return hardware


def _less_real(one: Availability | None, other: Availability | None) -> Availability | None:
    """The availability of what needs both; what isn't said of one is as it is of the other."""
    return max(filter(None, (one, other)), key=get_args(Availability).index, default=None)


def _supposed(hardware: HardwareProfile, kind: PbsKind) -> FurtherPbs:
    """What the figures of ``kind`` would be, by its work alone."""
    algorithm = ALGORITHMS[kind]
    if hardware.pbs_kind != "classic":
        raise ImpossibleError(
            f"{hardware.name}: nothing is known of its {kind} PBS: its figures are for "
            f"{hardware.pbs_kind}; state others under pbs.{kind}"
        )
    if hardware.kind not in algorithm.supposed_on:
        kinds = " and ".join(sorted(algorithm.supposed_on))
        raise ImpossibleError(
            f"{hardware.name}: nothing is known of {kind} PBS but on machines of kind {kinds}; "
            f"state its figures under pbs.{kind}"
        )
    rates = "" if kind == "batched" else ", at the machine's rates for classic PBS"
    return FurtherPbs(
        figures=algorithm.supposed,
        availability="hypothetical",
        assumptions=(
            f"hypothetical: nobody measured {kind} PBS on this machine; {algorithm.formula}{rates}",
        ),
        references=(algorithm.source,),
    )


def kinds_asked(hardware: HardwareProfile, pbs: PbsChoice | None) -> tuple[PbsKind, ...]:
    """The kinds to estimate: that of the machine's own figures where none is asked for.

    Raises:
        UsageError: there is no such kind.
    """
    check_choice(pbs)
    if pbs is None:
        return (hardware.pbs_kind,)
    return kinds_at_hand(hardware) if pbs == "best" else (pbs,)
