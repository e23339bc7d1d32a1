"""The answer, before anything else: two or three sentences that a reader can act on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from fhecost.hardware.answer import Answer, Contender, Lead, answer_of
from fhecost.hardware.estimate import WIDEST, Bottleneck
from fhecost.hardware.profile import Availability
from fhecost.provenance import Source
from fhecost.units import duration, price, share, span, times

_WHY_NOT: Mapping[Availability, str] = {
    "prototype": "its authors' prototype",
    "simulated": "simulated by its authors",
    "hypothetical": "hypothetical",
}
_CHANGES: Mapping[Bottleneck, str] = {
    Bottleneck.COMPUTE: "a higher rate of lookups, or fewer and narrower ones",
    Bottleneck.MEMORY_BANDWIDTH: "faster memory, or keys that stay on the chip",
    Bottleneck.PARALLEL_WIDTH: "more work side by side, or faster single lookups",
    Bottleneck.TRANSFER: "a faster link, or fewer bytes over it",
    Bottleneck.LAUNCH: "fewer steps that wait for each other",
}
_MOST_NAMES = 3
_MOST_SOURCES = 2


def answer_lines(
    machines: Iterable[Contender],
    *,
    at: str = "",
    cost_error: float | None = None,
    largest: Callable[[str], tuple[str, float] | None] = lambda _: None,
) -> Iterator[str]:
    """Who is fastest and who is cheapest; how sure that is, and what would change it.

    Args:
        machines: all that can run the circuit.
        at: of what this is said, where it isn't plain: " at 1,024 tokens".
        cost_error: what the cost of a predicted circuit may be off.
        largest: of a machine's name, the stage that takes most of its time, and which share.
    """
    among = {one.hardware: one for one in machines}
    if not among:
        return
    answer = answer_of(list(among.values()))
    supposed = any(one.pbs_kind != "classic" for one in among.values())
    yield _fastest(answer, len(among), at, " with this PBS" if supposed else "")
    if answer.cheapest is not None and len(among) > 1:
        yield _cheapest(answer.cheapest, answer)
    lead = answer.fastest or min(answer.on_paper, key=lambda one: one.value, default=None)
    if lead is not None:
        machine = among[lead.hardware]
        yield _how_sure(lead, machine.sources, cost_error)
        yield _held_back(machine, largest(lead.hardware))


def _fastest(answer: Answer, count: int, at: str, how: str) -> str:
    """Who is fastest; ``how`` says what can't be had of machines that can."""
    on_paper = "; ".join(map(_timed, answer.on_paper))
    if answer.fastest is None:
        if on_paper:
            none = "" if answer.had else f"None of these machines can be had{how}. "
            return f"{none}On paper{at}: {on_paper}."
        return (
            f"Which machine is fastest{at} isn't known: the ends of each range are more than a "
            f"factor of {WIDEST:.0f} apart."
        )
    if count == 1:
        costs = "" if answer.cheapest is None else f", {_paid(answer.cheapest)}"
        return f"A run{at} on {_timed(answer.fastest, ': ')}{costs}."
    of_those = "" if answer.had == count else " that can be had"
    said = f"Fastest{of_those}{at}: {_timed(answer.fastest)}."
    return f"{said} On paper: {on_paper}." if on_paper else said


def _timed(lead: Lead, then: str = ", ") -> str:
    """A machine and ``then`` its latency."""
    latency = f"{duration(lead.value)} ({span(lead.low, lead.high)})"
    return f"{who(lead)}{then}{latency}{ties(lead)}"


def who(lead: Lead) -> str:
    """Its name, and why it can't be had where it can't."""
    why = "" if lead.availability is None else _WHY_NOT.get(lead.availability, "")
    return f"{lead.hardware} ({why})" if why else lead.hardware


def ties(lead: Lead) -> str:
    """Those that can't be told from it, nothing where there are none."""
    return f", tied with {_named(lead.tied)}" if lead.tied else ""


def _named(machines: Sequence[str]) -> str:
    """A few by their names, the rest by their number."""
    shown = list(machines[:_MOST_NAMES])
    if len(machines) > _MOST_NAMES:
        shown.append(f"{len(machines) - _MOST_NAMES} more")
    *first, last = shown
    return f"{', '.join(first)} and {last}" if first else last


def _cheapest(lead: Lead, answer: Answer) -> str:
    said = f"Cheapest: {lead.hardware}, {_paid(lead)} a run{ties(lead)}"
    if answer.priced == answer.had:
        return f"{said}."
    known = "the only" if answer.priced == 1 else f"of {answer.priced} with a"
    return f"{said}; {known} known price."


def _paid(lead: Lead) -> str:
    return f"{price(lead.value)} ({price(lead.low)} to {price(lead.high)})"


def _how_sure(lead: Lead, sources: Mapping[Source, float], cost_error: float | None) -> str:
    """Of one machine: how wide its range is, and what it rests on."""
    parts = sorted(sources.items(), key=lambda found: -found[1])[:_MOST_SOURCES]
    rests = " and ".join(f"{share(part)} on {source}" for source, part in parts)
    said = f"How sure: {lead.hardware}'s range spans a factor of {times(lead.high / lead.low)}"
    if rests:
        said += f"; its time rests {rests} figures"
    if cost_error:
        off = share(cost_error) if cost_error < 1 else f"a factor of {times(1 + cost_error)}"
        said += f"; the circuit is predicted, its cost may be off by {off}"
    return f"{said}."


def _held_back(machine: Contender, largest: tuple[str, float] | None) -> str:
    """What bounds one machine, and what would move it."""
    where = "" if largest is None else f" ({share(largest[1])} in {largest[0]})"
    path = machine.critical_path_s
    lanes_help = machine.bottleneck is Bottleneck.COMPUTE
    floor = f"; more of its lanes alone, {duration(path)} at best" if path and lanes_help else ""
    return (
        f"Held back by {machine.bottleneck}{where}; what would change it: "
        f"{_CHANGES[machine.bottleneck]}{floor}."
    )
