"""Which machine is fastest, which is cheapest, and which can't be told apart.

Two machines are tied where each one's likely figure lies within the other's range: what is known of
them doesn't say which is ahead. A machine leads only among those that can be had; what is faster
and can't be had is named apart, by why it can't.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from fhecost.fields import FiniteNonNegative
from fhecost.frozen import Frozen
from fhecost.hardware.estimate import Bottleneck, Ranged, is_known
from fhecost.hardware.names import PbsKind
from fhecost.hardware.profile import Availability
from fhecost.provenance import Source

NOT_HAD: tuple[Availability, ...] = ("prototype", "simulated", "hypothetical")
"""What nobody can buy or rent, the nearest to that first."""


class Contender(Ranged):
    """What an answer needs of a machine; an estimate has it, and so has a row of a comparison.

    One whose ``availability`` isn't said is taken for its owner's. The others are as in
    :class:`~fhecost.hardware.estimate.Estimate`.
    """

    hardware: str
    availability: Availability | None
    pbs_kind: PbsKind = "classic"
    p_error_at_most: float | None = None
    latency_s: FiniteNonNegative
    low_s: FiniteNonNegative
    high_s: FiniteNonNegative
    bottleneck: Bottleneck
    critical_path_s: FiniteNonNegative | None
    price_usd: FiniteNonNegative | None
    sources: Mapping[Source, FiniteNonNegative]


class Lead(Frozen):
    """The first of some machines, by seconds or dollars of a run, with its range.

    ``tied`` are those that can't be told from it, from the least on.
    """

    hardware: str
    availability: Availability | None
    value: float
    low: float
    high: float
    tied: tuple[str, ...] = ()


class Answer(Frozen):
    """What a reader acts on.

    ``fastest`` and ``cheapest`` are among the machines that can be had; None where none of these is
    there, none has a latency that is known, or none a price. ``on_paper`` are the fastest of those
    that can't be had, one for each of ``NOT_HAD``, if they are faster than ``fastest``; they may be
    tied with it. ``had`` is how many can be had, ``priced`` how many of these have a price.
    """

    fastest: Lead | None
    on_paper: tuple[Lead, ...]
    cheapest: Lead | None
    had: int
    priced: int


def can_be_had(machine: Contender) -> bool:
    """Whether somebody could run a circuit on it today."""
    return machine.availability not in NOT_HAD


def answer_of(machines: Sequence[Contender]) -> Answer:
    """Who leads among ``machines``."""
    known = [one for one in machines if is_known(one.low_s, one.high_s)]
    had = [one for one in known if can_be_had(one)]
    fastest = _lead(had, _seconds)
    on_paper = [
        _beside(lead, fastest)
        for why in NOT_HAD
        if (lead := _lead([one for one in known if one.availability == why], _seconds))
        and (fastest is None or lead.value < fastest.value)
    ]
    priced = [one for one in had if one.price_usd is not None]
    return Answer(
        fastest=fastest,
        on_paper=tuple(on_paper),
        cheapest=_lead(priced, lambda one: one.price_usd or 0.0),
        had=sum(map(can_be_had, machines)),
        priced=len(priced),
    )


def tied(one: Lead, other: Lead) -> bool:
    """Whether the ranges of two figures overlap so far that neither is ahead."""
    return one.low <= other.value <= one.high and other.low <= one.value <= other.high


def _seconds(machine: Contender) -> float:
    return machine.latency_s


def _beside(lead: Lead, fastest: Lead | None) -> Lead:
    """A machine on paper, tied with the fastest that can be had if it is."""
    if fastest is None or not tied(lead, fastest):
        return lead
    return lead.changed(tied=(fastest.hardware, *lead.tied))


def _lead(machines: Iterable[Contender], figure: Callable[[Contender], float]) -> Lead | None:
    """The one with the least ``figure``, which moves along with the latency."""
    leads = sorted(
        (
            Lead(
                hardware=one.hardware,
                availability=one.availability,
                value=figure(one),
                low=figure(one) * one.low_s / one.latency_s,
                high=figure(one) * one.high_s / one.latency_s,
            )
            for one in machines
        ),
        key=lambda lead: (lead.value, lead.hardware),
    )
    if not leads:
        return None
    first, *others = leads
    return first.changed(tied=tuple(lead.hardware for lead in others if tied(first, lead)))
