"""What a quantized head is computed with: clear integers, or Concrete's tracers.

A head's ``run`` is written once. On :class:`ClearOperators` it computes with numpy; on
``TracedOperators`` of :mod:`fhecost.concrete.operators` Concrete records it as a circuit, and both
give the same integers as long as no accumulator leaves the width that it was given.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import numpy as np


class Operators(Protocol):
    """The operations beyond arithmetic that the two ways of running a head do differently."""

    def tag(self, name: str) -> AbstractContextManager[Any]:
        """The stage of the operations inside it."""

    def accumulator(self, name: str, values: Any, bits: int, kept_bits: int | None = None) -> Any:
        """``values``, a sum that has ``bits`` signed bits in the circuit, rounded to ``kept_bits``.

        The result is the nearest multiple of 2^(bits - kept_bits), halves upwards.
        """

    def lookup(self, values: Any, table: Callable[[Any], Any]) -> Any:
        """``table`` of each value, rounded; it must be defined on every integer of their width.

        The result has the width that the calibration shows: a hint on it is lost.
        """

    def rounded(self, values: Any, dropped: int) -> Any:
        """``values`` about rounded to multiples of 2^``dropped``, inside the lookup that follows.

        In a circuit they may be off by one multiple.
        """

    def narrow(self, values: Any, bits: int) -> Any:
        """``values``, a sum that can't need more than ``bits`` bits whatever goes in."""


class ClearOperators:
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
        """No stages in the clear."""
        return nullcontext()

    def accumulator(self, name: str, values: Any, bits: int, kept_bits: int | None = None) -> Any:
        """As Concrete's ``round_bit_pattern``, on values of any width."""
        rounded = self.rounded(values, 0 if kept_bits is None else max(0, bits - kept_bits))
        limit = 2 ** (bits - 1)
        outside = int(np.count_nonzero((rounded < -limit) | (rounded >= limit)))
        largest = int(max(values.max(), -values.min()))
        self.largest[name] = max(largest, self.largest.get(name, 0))
        self.exceeded[name] = outside + self.exceeded.get(name, 0)
        return rounded

    def lookup(self, values: Any, table: Callable[[Any], Any]) -> Any:
        """``table`` at once on all values."""
        return np.rint(table(values)).astype(np.int64)

    def rounded(self, values: Any, dropped: int) -> Any:
        """Rounded half up, without the circuit's error."""
        return (values + ((1 << dropped) >> 1)) >> dropped << dropped

    def narrow(self, values: Any, bits: int) -> Any:
        """``values``, unchanged."""
        return values
