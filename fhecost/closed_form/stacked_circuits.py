"""Circuits of several searches side by side, as arrays of one shape.

What one circuit has less of than another is filled up with what weighs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from fhecost.closed_form.search_state import SearchedCircuit
from fhecost.quantization import FloatArray, IntArray


class Stacked(NamedTuple):
    """Circuits (S, ...) with P partitions, Q pairs of key switches, C conversions, R constraints.

    See :class:`SearchedCircuit`. Q + 1 pairs have a ``bound``: the circuit's result is the last but
    one, and behind it is one that bounds nothing. Likewise the last conversion and the last
    constraint are none. Constraints are the first of each pair, and E others of ``extra`` pairs.
    """

    times: FloatArray  # (S, P)
    source: IntArray  # (S, Q)
    reader: IntArray  # (S, Q)
    pair_times: FloatArray  # (S, Q)
    bound: FloatArray  # (S, Q + 2)
    extra: IntArray  # (S, E)
    of_bootstraps: FloatArray  # (S, R, P)
    of_others: FloatArray  # (S, R, P + C): of inputs and conversions
    own: IntArray  # (S, C)
    target: IntArray  # (S, C)
    conversion_times: FloatArray  # (S, C)

    def taken(self, which: IntArray) -> Self:
        """Some of them."""
        return type(self)._make(of_all[which] for of_all in self)


class StackedPartitions(NamedTuple):
    """What of a circuit depends on the partition that a choice is for, (S, P, ...).

    Of J conversions that are chosen with it, ``column`` says which they are, ``ends`` behind which
    pair those end that are from the key where it leads to, and ``mutual`` whether the conversion
    back is chosen too. Each goes into up to L constraints ``row`` of a ``pair``, ``into`` so often.
    """

    column: IntArray  # (S, P, J)
    ends: IntArray
    mutual: IntArray
    row: IntArray  # (S, P, J, L)
    pair: IntArray
    into: FloatArray

    def taken(self, which: IntArray, partition: IntArray) -> Self:
        """Those of some circuits for a partition each, (S, ...)."""
        return type(self)._make(of_all[which, partition] for of_all in self)


def stacked(circuits: Sequence[SearchedCircuit]) -> tuple[Stacked, StackedPartitions]:
    """The arrays of ``circuits``."""
    count = max(one.count for one in circuits)
    pairs = max(len(one.pairs) for one in circuits)
    conversions = max(len(one.conversions) for one in circuits) + 1
    extra = max(len(one.row_pairs) - len(one.pairs) - 1 for one in circuits)
    size = len(circuits)
    rows = pairs + 1 + extra + 1
    of = Stacked(
        times=_filled(((size, count), 0.0), (one.times for one in circuits)),
        source=_filled(((size, pairs), 0), ([a for a, _ in one.pairs] for one in circuits)),
        reader=_filled(((size, pairs), 0), ([b for _, b in one.pairs] for one in circuits)),
        pair_times=_filled(((size, pairs), 0.0), (one.pair_times for one in circuits)),
        bound=np.ones((size, pairs + 2)),
        extra=np.full((size, extra), pairs + 1),
        of_bootstraps=np.zeros((size, rows, count)),
        of_others=np.zeros((size, rows, count + conversions)),
        own=_filled(
            ((size, conversions), 0), ([a for a, _ in one.conversions] for one in circuits)
        ),
        target=_filled(
            ((size, conversions), 0), ([b for _, b in one.conversions] for one in circuits)
        ),
        conversion_times=_filled(
            ((size, conversions), 0.0), (one.conversion_times for one in circuits)
        ),
    )
    placed = []
    for at, one in enumerate(circuits):
        own_pairs, own_extra = len(one.pairs), len(one.row_pairs) - len(one.pairs) - 1
        pair = np.array([*range(own_pairs), pairs])
        row = np.concatenate([pair, pairs + 1 + np.arange(own_extra)])
        of.bound[at, pair] = one.bounds
        of.extra[at, :own_extra] = pair[one.row_pairs[own_pairs + 1 :]]
        of.of_bootstraps[at, row, : one.count] = one.of_bootstraps
        of.of_others[at, row, : one.count] = one.of_inputs
        of.of_others[at, row, count : count + len(one.conversions)] = one.into
        placed.append((row, pair[one.row_pairs]))
    return of, _partitions(circuits, placed, (size, count), (pairs + 1, rows - 1, conversions - 1))


def _partitions(
    circuits: Sequence[SearchedCircuit],
    placed: Sequence[tuple[IntArray, IntArray]],
    shape: tuple[int, int],
    nothing: tuple[int, int, int],
) -> StackedPartitions:
    """Of circuits whose constraints and their pairs are ``placed`` so."""
    most = max((len(one) for circuit in circuits for one in circuit.optimized), default=0)
    entries = max((int((one.into != 0).sum(axis=0).max(initial=0)) for one in circuits), default=0)
    no_pair, no_row, no_conversion = nothing
    column = np.full((*shape, most), no_conversion)
    ends, mutual = np.zeros_like(column), np.zeros_like(column)
    row = np.full((*shape, most, entries), no_row)
    pair, into = np.full_like(row, no_pair), np.ones(row.shape)
    for at, (one, (row_of, pair_of)) in enumerate(zip(circuits, placed, strict=True)):
        goes_into = [of.nonzero()[0] for of in one.into.T]
        ends_of = [one.pairs_of(target).stop for target in range(one.count)]
        for partition, optimized in enumerate(one.optimized):
            chosen = [one.conversions[of] for of in optimized.values()]
            for j, (target, of) in enumerate(optimized.items()):
                where, rows = (at, partition, j), goes_into[of]
                column[where], ends[where] = of, ends_of[target]
                mutual[where] = one.conversions[of][::-1] in chosen
                row[where][: len(rows)], pair[where][: len(rows)] = row_of[rows], pair_of[rows]
                into[where][: len(rows)] = one.into[rows, of]
    return StackedPartitions(column, ends, mutual, row, pair, into)


def _filled(empty: tuple[tuple[int, int], float], values: Iterable[Sequence[float]]) -> Any:
    shape, nothing = empty
    filled = np.full(shape, nothing)
    for row, of_one in zip(filled, values, strict=True):
        row[: len(of_one)] = of_one
    return filled
