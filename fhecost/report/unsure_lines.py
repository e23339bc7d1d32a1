"""What is said of a circuit that is likely to go wrong: a line on top, and the cost of surety."""

from __future__ import annotations

from collections.abc import Iterator

from fhecost.hardware.estimate import UnsureCircuit
from fhecost.report.columns import Table, names, numbers
from fhecost.report.document import Block, Heading, Note, Refusals, Text
from fhecost.report.latency_words import latency_words
from fhecost.report.refusal_lines import grouped
from fhecost.units import amount, share, span

_CERTAIN = 0.995
SECTION = "If no lookup may err"
"""The heading of what sure parameter sets cost."""


def on_top(unsure: UnsureCircuit | None, at: str = "") -> Iterator[Block]:
    """How often a run goes wrong, in a line; a warning unless its maker meant it.

    ``at`` says of which circuit, where there are several.
    """
    if unsure is None:
        return
    error = unsure.global_p_error
    if unsure.on_purpose:
        yield Note(f"NOTE{at}: lookups err in {share(error)} of runs, by design (see below).")
    elif error >= _CERTAIN:
        yield Note(
            f"WARNING{at}: this circuit is certain to go wrong: some lookup errs in practically "
            f"every run; {_short(unsure)}."
        )
    else:
        yield Note(
            f"WARNING{at}: some lookup goes wrong in {share(error)} of all runs; {_short(unsure)}."
        )


def sure_blocks(unsure: UnsureCircuit | None) -> Iterator[Block]:
    """What it would cost that no lookup errs, machine by machine; nothing if none does."""
    if unsure is None:
        return
    yield Heading(SECTION)
    if unsure.on_purpose:
        yield Text(
            "This head lets its lookups err; how much of the model is left with these errors, "
            "fhecost accuracy says."
        )
    sets = f"parameter sets for an error of {unsure.sure_p_error:.0e} in all"
    if unsure.work_factor is None or unsure.keys_bytes is None:
        yield Text(f"What {sets} would cost isn't known: {unsure.reason}.")
        return
    keys = amount(unsure.keys_bytes, "B")
    yield Text(f"With {sets}: {unsure.work_factor:.2f} times the work, {keys} of keys.")
    made = unsure.latency_s
    if made:
        yield Table(
            names("machine", made),
            numbers("latency", map(latency_words, made.values())),
            numbers("range", (span(one.low_s, one.high_s) for one in made.values())),
        )
    yield Refusals(*grouped(unsure.refusals.items(), "not with such sets: "))


def _short(unsure: UnsureCircuit) -> str:
    if unsure.work_factor is None:
        return "what sure parameter sets take isn't known"
    return f"sure parameter sets take {unsure.work_factor:.2f} times the work (below)"
