"""Which kind of PBS an estimate is for, in words, and that it is hypothetical where it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from fhecost.hardware.names import PbsChoice, PbsKind
from fhecost.hardware.profile import Availability
from fhecost.report.columns import Column, column
from fhecost.report.document import Block, Note


class OfKind(Protocol):
    """What is for one kind of PBS on one machine."""

    @property
    def hardware(self) -> str:
        """The machine's name."""

    @property
    def pbs_kind(self) -> PbsKind:
        """The kind."""

    @property
    def availability(self) -> Availability | None:
        """Whether it can be had."""


class Estimated(OfKind, Protocol):
    """What also says how often a lookup errs with that kind."""

    @property
    def p_error_at_most(self) -> float | None:
        """How often at most; None where that isn't known."""


def pbs_words(one: OfKind) -> str:
    """The kind, and whether it is hypothetical."""
    return f"{one.pbs_kind}, hypothetical" if one.availability == "hypothetical" else one.pbs_kind


def pbs_columns(machines: Sequence[OfKind], asked: PbsChoice | None) -> Iterator[Column]:
    """A column of the kinds; none where all are classic and nobody asked."""
    if _told(machines, asked):
        yield column("PBS", map(pbs_words, machines))


def pbs_blocks(
    machines: Sequence[Estimated], asked: PbsChoice | None, p_error: float | None
) -> Iterator[Block]:
    """What is to be known of kinds that aren't classic; nothing where all are and nobody asked.

    Args:
        machines: the estimates, or rows.
        asked: the kind that was asked for.
        p_error: how often the worst lookup of the circuit errs with classic PBS; not said of
            several circuits.
    """
    if not _told(machines, asked):
        return
    lines = [f"PBS: {words}: {', '.join(names)}" for words, names in _by_kind(machines)]
    if any(one.availability == "hypothetical" for one in machines):
        lines.append(
            "hypothetical: nobody measured it on that machine; its work, at the machine's rates "
            "for classic PBS, or as it is published for another machine"
        )
    grown = [one.p_error_at_most for one in machines]
    worst = max((one for one in grown if one is not None), default=0.0)
    if p_error is not None and worst > p_error:
        lines.append(
            f"with the circuit's own sets, which were solved for classic PBS, a lookup errs with "
            f"{worst:.2g} at most instead of {p_error:.2g}: sets solved for the kind are needed"
        )
    yield Note(*lines)


def pbs_sentence(machines: Sequence[OfKind], asked: PbsChoice | None) -> str:
    """The kinds in a sentence that follows others; nothing where there is nothing to be told."""
    if not _told(machines, asked):
        return ""
    kinds = (f"{words} ({', '.join(names)})" for words, names in _by_kind(machines))
    return f" PBS: {'; '.join(kinds)}."


def _by_kind(machines: Sequence[OfKind]) -> Iterable[tuple[str, list[str]]]:
    kinds: dict[str, list[str]] = {}
    for one in machines:
        kinds.setdefault(pbs_words(one), []).append(one.hardware)
    return kinds.items()


def _told(machines: Sequence[OfKind], asked: PbsChoice | None) -> bool:
    return asked is not None or any(one.pbs_kind != "classic" for one in machines)
