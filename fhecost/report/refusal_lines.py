"""Machines that can't run a circuit, a line a reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from fhecost.hardware.estimate import Refusal
from fhecost.report.document import Refusals


def refused(refusals: Sequence[Refusal], what: str) -> Refusals:
    """Why machines can't run a circuit, a line a reason."""
    return Refusals(*grouped(((no.hardware, no.reason) for no in refusals), what))


def grouped(refusals: Iterable[tuple[str, str]], what: str = "") -> Iterator[str]:
    """A line for all machines with one reason, since many end at the same N.

    Args:
        refusals: the name of each, and why.
        what: said between both, such as "no estimate: ".
    """
    by_reason: dict[str, list[str]] = {}
    for name, reason in refusals:
        by_reason.setdefault(reason, []).append(name)
    for reason, names in by_reason.items():
        yield f"{', '.join(names)}: {what}{reason}."
