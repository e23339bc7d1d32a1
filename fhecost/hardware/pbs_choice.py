"""Which kind of PBS a machine runs a circuit with: its own, another one, or the best that it has.

A kind that the machine's profile doesn't state is a supposition: the kind's work at the machine's
rates for classic PBS. Nobody measured it, so it is hypothetical, and never chosen unasked.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Protocol

from fhecost.circuits.profile import CircuitProfile
from fhecost.errors import FieldError, ImpossibleError
from fhecost.hardware.bootstraps import ALGORITHMS
from fhecost.hardware.estimate import Estimate
from fhecost.hardware.estimator import Estimator
from fhecost.hardware.profile import PBS_KINDS, FurtherPbs, HardwareProfile, PbsKind

PbsChoice = PbsKind | Literal["best"]
"""A kind of PBS, or the one of those that a machine has that is fastest for a circuit."""
CHOICES: tuple[PbsChoice, ...] = (*PBS_KINDS, "best")


class Estimating(Protocol):
    """What estimates circuits on one machine."""

    def __call__(self, circuit: CircuitProfile) -> Estimate:
        """The estimate for ``circuit``; an ImpossibleError where the machine can't run it."""


def kinds_of(hardware: HardwareProfile) -> tuple[PbsKind, ...]:
    """The kinds of PBS that the machine's profile states, that of its own figures first."""
    return (hardware.pbs_kind, *(hardware.pbs or {}))


def kinds_at_hand(hardware: HardwareProfile) -> tuple[PbsKind, ...]:
    """Those of them that are as real as the machine: none that is hypothetical on it alone."""
    on_paper = {
        kind
        for kind, stated in (hardware.pbs or {}).items()
        if stated.availability == "hypothetical" != hardware.availability
    }
    return tuple(kind for kind in kinds_of(hardware) if kind not in on_paper)


def check_choice(pbs: str | None) -> None:
    """Raise a FieldError unless ``pbs`` is a kind of PBS, ``best``, or None."""
    if pbs is not None and pbs not in CHOICES:
        raise FieldError("pbs", f"must be among {', '.join(CHOICES)}", pbs)


def with_pbs(hardware: HardwareProfile, kind: PbsKind) -> HardwareProfile:
    """The machine with figures for PBS of ``kind``: its own, those that it states, or supposed.

    Raises:
        ImpossibleError: it doesn't state any, and none can be supposed.
    """
    if kind == hardware.pbs_kind:
        return hardware
    stated = (hardware.pbs or {}).get(kind) or _supposed(hardware, kind)
    return hardware.changed(
        title=f"{hardware.title}; {kind} PBS",
        pbs_kind=kind,
        pbs=None,
        figures={**hardware.figures, **stated.figures},
        availability=stated.availability or hardware.availability,
        log2_p_fail=stated.log2_p_fail,
        published=stated.published,
        assumptions=(*hardware.assumptions, *stated.assumptions),
        references=(*hardware.references, *stated.references),
    )


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


class ChosenEstimator:
    """Estimates on one machine with the PBS that was asked for.

    Args:
        hardware: the machine.
        pbs: the kind; ``best`` takes for each circuit the fastest of those that the machine has,
            and None the one that its own figures are for.
        known: estimates made before, of any circuits on any machines.

    Raises:
        UsageError: there is no such kind, or the hardware profile is incomplete.
    """

    def __init__(
        self,
        hardware: HardwareProfile,
        pbs: PbsChoice | None = None,
        known: Iterable[Estimate] = (),
    ) -> None:
        check_choice(pbs)
        made = tuple(known)
        self._estimators: list[Estimator] = []
        self._refusal: ImpossibleError | None = None
        try:
            for kind in _asked(hardware, pbs):
                self._estimators.append(Estimator(with_pbs(hardware, kind), made))
        except ImpossibleError as error:
            # A machine that can't do it is refused when it is asked for an estimate, as any other.
            self._refusal = error

    def __call__(self, circuit: CircuitProfile) -> Estimate:
        """The estimate for ``circuit``.

        Raises:
            ImpossibleError: the machine can't run it with such PBS.
        """
        if self._refusal is not None:
            raise self._refusal
        found, refusals = [], []
        for estimator in self._estimators:
            try:
                found.append(estimator(circuit))
            except ImpossibleError as error:
                refusals.append(error)
        if not found:
            raise refusals[0]
        return min(found, key=lambda made: made.latency_s)


def _asked(hardware: HardwareProfile, pbs: PbsChoice | None) -> tuple[PbsKind, ...]:
    if pbs is None:
        return (hardware.pbs_kind,)
    return kinds_at_hand(hardware) if pbs == "best" else (pbs,)
