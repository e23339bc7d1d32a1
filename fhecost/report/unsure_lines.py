"""The warning on top of what is said of a circuit that is likely to go wrong."""

from __future__ import annotations

from collections.abc import Iterator

from fhecost.hardware.estimate import UnsureCircuit
from fhecost.report.document import Block, Note, Refusals
from fhecost.units import amount, duration, share, span

_CERTAIN = 0.995


def unsure_blocks(unsure: UnsureCircuit | None, at: str = "") -> Iterator[Block]:
    """How often a run goes wrong, and what it would cost that it doesn't; nothing if it doesn't.

    ``at`` says of which circuit, where there are several.
    """
    if unsure is None:
        return
    error = unsure.global_p_error
    if error >= _CERTAIN:
        often = "this circuit is certain to go wrong: some lookup errs in practically every run"
    else:
        often = f"some lookup goes wrong in {share(error)} of all runs"
    line = f"{'NOTE' if unsure.on_purpose else 'WARNING'}{at}: {often}."
    if unsure.on_purpose:
        line += (
            " This head lets its lookups err; how much of the model is left with these errors, "
            "fhecost accuracy says."
        )
    yield Note(line, _cost(unsure))
    yield Refusals(
        *(f"{name}: not with such sets: {why}." for name, why in unsure.refusals.items())
    )


def _cost(unsure: UnsureCircuit) -> str:
    """What parameter sets cost with which a run hardly ever goes wrong."""
    sets = f"Parameter sets for an error of {unsure.sure_p_error:.0e} in all"
    if unsure.work_factor is None or unsure.keys_bytes is None:
        return f"What {sets[:1].lower()}{sets[1:]} would cost isn't known: {unsure.reason}."
    times = ", ".join(
        f"{name} {duration(one.latency_s)} ({span(one.low_s, one.high_s)})"
        for name, one in unsure.latency_s.items()
    )
    keys = amount(unsure.keys_bytes, "B")
    line = f"{sets} would take {unsure.work_factor:.2f} times the work, with {keys} of keys"
    return f"{line}: {times}." if times else f"{line}."
