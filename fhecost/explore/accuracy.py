"""What was measured of the accuracy of what is picked, by fhecost or by the published example."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fhecost.accuracy.published import ALL_HEADS, MODEL, SINGLE_HEAD, SOURCE
from fhecost.accuracy.records import (
    AccuracyReport,
    AccuracyRow,
    known_accuracy,
    load_accuracy,
    nearest,
    together,
)
from fhecost.explore.state import ONE_HEAD, State
from fhecost.models.shape import find_shape
from fhecost.units import share

_PUBLISHED_VARIANT = "reference"


@dataclass(frozen=True)
class KnownAccuracy:
    """What is known of one setting.

    ``top1`` and ``about`` are the share of positions that keep the float model's top token, with
    what it is of; ``rows`` are all measured rows of the setting at the lengths nearest to that
    asked for, and the one that these are of. None and nothing where nothing was measured, of which
    ``about`` says why.
    """

    top1: float | None
    about: str
    rows: AccuracyReport | None = None


def load_known() -> tuple[AccuracyReport, ...]:
    """The accuracy reports that come with fhecost."""
    return tuple(map(load_accuracy, known_accuracy()))


def accuracy_of(state: State, reports: Iterable[AccuracyReport]) -> KnownAccuracy:
    """What was measured of what ``state`` picks."""
    if state.scope != ONE_HEAD:
        return KnownAccuracy(None, f"no accuracy of an encrypted {state.scope} was ever measured")
    measured = _measured(state, reports)
    if measured is not None:
        return measured
    published = _published(state)
    if published is not None:
        return published
    return KnownAccuracy(
        None,
        "not measured for this model, setting, width and number of heads; fhecost accuracy does",
    )


def _measured(state: State, reports: Iterable[AccuracyReport]) -> KnownAccuracy | None:
    """Of the reports: rows of as many heads at the nearest length, or the two it lies between.

    And the row of the first head that was judged, at that head's own nearest length.
    """
    found = [
        (report, row)
        for report in reports
        for row in report.rows
        if (report.model, row.variant, row.bits) == (state.model, state.variant, state.bits)
        and row.of_one_layer
        and len(row.heads.split(",")) == state.heads
    ]
    if not found:
        return None
    lengths = {row.seq_len for _, row in found}
    below = max((one for one in lengths if one <= state.seq_len), default=None)
    above = min((one for one in lengths if one >= state.seq_len), default=None)
    near = {one for one in (below, above) if one is not None}
    # The model's first circuit that was judged; the report names the same, so its row is there too.
    ours = min((row.layer, row.heads) for _, row in found)
    first = nearest((row for _, row in found if (row.layer, row.heads) == ours), state.seq_len)
    measured = together(
        (report, row)
        for report, row in found
        if row.seq_len in near or row.setting == first.setting
    )
    if measured is None:
        return None
    rows = sorted(
        measured.rows,
        key=lambda row: (row.seq_len, row.layer, len(row.heads), row.heads, row.mode),
    )
    return KnownAccuracy(first.top1, _about(first, state), measured.changed(rows=tuple(rows)))


def _about(row: AccuracyRow, state: State) -> str:
    which = f"layer {row.layer}, {row.heads_named}"
    at = "" if row.seq_len == state.seq_len else f" (not {state.seq_len})"
    return (
        f"top token kept, {share(row.top1_low)} to {share(row.top1_high)}: {which}, "
        f"{row.seq_len} tokens{at}"
    )


def _published(state: State) -> KnownAccuracy | None:
    """What the published example says of its own heads."""
    if (state.model, state.variant) != (MODEL, _PUBLISHED_VARIANT):
        return None
    every = find_shape(state.model).heads
    shares = {1: SINGLE_HEAD, every: ALL_HEADS}.get(state.heads or 0, {}).get(1, {})
    top1 = shares.get(state.bits)
    return None if top1 is None else KnownAccuracy(top1, f"top token kept; {SOURCE}")
