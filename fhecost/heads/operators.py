"""What a quantized head is computed with: clear integers, Concrete's tracers, or a plan.

A head's ``run`` is written once. On :class:`ClearOperators` it computes with numpy; on
``TracedOperators`` of :mod:`fhecost.concrete.operators` Concrete records it as a circuit; on
``PlanOperators`` of :mod:`fhecost.closed_form.plan_operators` it writes down what that circuit
will be. The first two give the same integers as long as no accumulator leaves the width that it
was given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, TypeVar

import numpy as np

from fhecost.heads.pairs import Pairs, Rows
from fhecost.quantization.ranges import Range

Head = TypeVar("Head")
Table = Callable[[Any], Any]


class Operators(Protocol):
    """The operations beyond numpy's own that the ways of running a head do differently.

    A ``run`` may use ``+``, ``-``, ``*``, ``@``, slices, ``reshape``, ``np.sum``, ``np.transpose``
    and ``np.concatenate`` (of a tuple) on its tensors; ``*`` and ``@`` of two of them cost lookups.
    """

    def tag(self, name: str) -> AbstractContextManager[Any]:
        """The stage of the operations inside it."""

    def accumulator(
        self,
        name: str,
        values: Any,
        bits: int,
        kept_bits: int | None = None,
        signed: bool = True,
        exact: bool = True,
    ) -> Any:
        """``values``, a sum that has ``bits`` bits in the circuit, rounded to ``kept_bits``.

        The result is the nearest multiple of 2^(bits - kept_bits), halves upwards. Not ``exact``,
        it is made by the lookups that follow and costs nothing; near the middle between two
        multiples a circuit may take the other one.
        """

    def lookup(self, values: Any, table: Table, bounds: tuple[int, int] | None = None) -> Any:
        """``table`` of each value, rounded; it must be defined on every integer of their width.

        ``bounds`` are the least and the largest integer that it returns: needed, for a circuit
        from a shape alone, of a table that isn't the same for all positions.

        The result has the width that the calibration shows: a hint on it is lost.
        """

    def rounded(self, values: Any, dropped: int) -> Any:
        """``values`` about rounded to multiples of 2^``dropped``, inside the lookup that follows.

        In a circuit they may be off by one multiple.
        """

    def narrow(self, values: Any, bits: int) -> Any:
        """``values``, a sum that can't need more than ``bits`` bits whatever goes in."""

    def within(self, values: Any, low: int, high: int) -> Any:
        """``values``, which lie from ``low`` to ``high`` whatever goes in, and reach both.

        It changes nothing; a circuit from a shape alone has no other way to know.
        """

    def take(self, values: Any, rows: Rows) -> Any:
        """``values`` of the first axis, as often and in the order that ``rows`` says."""

    def row_sums(self, values: Any, pairs: Pairs) -> Any:
        """Sums over what each token attends to, shape (pairs, c) to (tokens, c)."""

    def side_by_side(self, heads: Sequence[Head], run: Callable[[Head, str], Any]) -> list[Any]:
        """What ``run`` makes of each head, given the prefix of its stages' names.

        The heads don't wait for each other.
        """

    def in_turn(self, layers: Sequence[Head], run: Callable[[Head, Any], Any], values: Any) -> Any:
        """``values`` through one layer after the other: what ``run`` makes of the last result."""


class DirectOperators:
    """What clear integers and Concrete's tracers have in common: each operation is just done."""

    def within(self, values: Any, low: int, high: int) -> Any:
        return values

    def take(self, values: Any, rows: Rows) -> Any:
        return values[rows.numbers]

    def row_sums(self, values: Any, pairs: Pairs) -> Any:
        rows = [
            np.sum(values[start:end], axis=0).reshape((1, values.shape[1]))
            for start, end in pairs.spans
        ]
        return np.concatenate(tuple(rows), axis=0)

    def side_by_side(self, heads: Sequence[Head], run: Callable[[Head, str], Any]) -> list[Any]:
        """Each head by itself; the stages of several have its number in front."""
        several = len(heads) > 1
        return [run(head, f"head{i}." if several else "") for i, head in enumerate(heads)]

    def in_turn(self, layers: Sequence[Head], run: Callable[[Head, Any], Any], values: Any) -> Any:
        for layer in layers:
            values = run(layer, values)
        return values


class ClearOperators(DirectOperators):
    """numpy on integers; remembers the largest value that each accumulator had.

    ``largest`` gives by name the largest magnitude seen, ``exceeded`` how many values did not fit
    the bits of their accumulator: in a circuit they would come out wrong.
    """

    def __init__(self) -> None:
        self.largest: dict[str, int] = {}
        self.exceeded: dict[str, int] = {}

    @property
    def total_exceeded(self) -> int | None:
        """Values that did not fit, of all accumulators; None if there was no accumulator."""
        return sum(self.exceeded.values()) if self.exceeded else None

    def tag(self, name: str) -> AbstractContextManager[Any]:
        return nullcontext()

    def accumulator(
        self,
        name: str,
        values: Any,
        bits: int,
        kept_bits: int | None = None,
        signed: bool = True,
        exact: bool = True,
    ) -> Any:
        """As Concrete's ``round_bit_pattern``, on values of any width."""
        dropped = 0 if kept_bits is None else max(0, bits - kept_bits)
        rounded, fitting = self.rounded(values, dropped), Range.of_bits(bits, signed=signed)
        outside = int(np.count_nonzero((rounded < fitting.low) | (rounded > fitting.high)))
        largest = int(max(values.max(), -values.min()))
        self.largest[name] = max(largest, self.largest.get(name, 0))
        self.exceeded[name] = outside + self.exceeded.get(name, 0)
        return self.summed(rounded, rounded if exact else values, fitting, 1 << dropped)

    def summed(self, rounded: Any, read: Any, fitting: Range, step: int) -> Any:
        """What an accumulator gives: ``rounded``, of the type ``fitting``.

        Lookups of it read ``read`` in steps of ``step``.
        """
        return rounded

    def lookup(self, values: Any, table: Table, bounds: tuple[int, int] | None = None) -> Any:
        return np.rint(table(values)).astype(np.int64)

    def rounded(self, values: Any, dropped: int) -> Any:
        """Rounded half up, without the circuit's error."""
        return rounded_half_up(values, dropped)

    def narrow(self, values: Any, bits: int) -> Any:
        return values


def rounded_half_up(values: Any, dropped: int) -> Any:
    """Integers rounded to multiples of 2^``dropped``, halves upwards."""
    return (values + ((1 << dropped) >> 1)) >> dropped << dropped
