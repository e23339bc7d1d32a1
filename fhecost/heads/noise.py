"""Clear integers whose lookups go wrong as those of an encrypted circuit do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import NormalDist
from typing import Any

import numpy as np

from fhecost.heads.operators import ClearOperators, Operators, Table
from fhecost.quantization.ranges import Range

Run = Callable[[Any, Operators], Any]
"""What a circuit computes, on any operators."""


class TypedOperators(ClearOperators):
    """Clear operators that learn what type each lookup reads, as Concrete does from its inputset.

    ``types`` are, lookup by lookup of a run, the integers of that type. The values of a sum that
    was given its bits are all of these; others have the type that holds what was seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.types: list[Range] = []
        self._next = 0
        # With the values, so that no other array gets their number.
        self._given: dict[int, tuple[Any, Range]] = {}

    def begin(self) -> None:
        """A run begins."""
        self._next, self._given = 0, {}

    def summed(self, rounded: Any, read: Any, fitting: Range, step: int) -> Any:
        """As clear ones; its type is known."""
        self._given[id(rounded)] = rounded, fitting
        return rounded

    def narrow(self, values: Any, bits: int) -> Any:
        """As clear ones; its type is known."""
        result = values.view()
        self._given[id(result)] = result, Range.of_bits(bits, signed=bool(np.min(values) < 0))
        return result

    def lookup(self, values: Any, table: Table, bounds: tuple[int, int] | None = None) -> Any:
        """As clear ones; its type is what was seen."""
        _, seen = self._given.get(id(values), (values, Range.of(values)))
        if self._next == len(self.types):
            self.types.append(seen)
        known = self.types[self._next].reaching(*seen)
        self.types[self._next] = Range.of_bits(known.bits, signed=known.low < 0)
        self._next += 1
        return super().lookup(values, table, bounds)


class NoisyOperators(ClearOperators):
    """Clear operators whose lookups err as often as a circuit's may.

    A lookup reads its integer, in steps of what a rounding before it left, with normal noise that
    exceeds half a step with the probability ``p_error``: as the noisiest lookups of an encrypted
    circuit do, the others less often. Values near the middle between two steps go either way. What
    is read beyond an end of its type is read at the other end, and comes out negated.

    Args:
        p_error: how often a lookup may go wrong.
        types: of what each lookup reads, by order; without, none ends.
        seed: of the noise.
    """

    def __init__(self, p_error: float, types: Iterable[Range] = (), seed: int = 0) -> None:
        super().__init__()
        self._spread = -0.5 / NormalDist().inv_cdf(p_error / 2)
        self._random = np.random.default_rng(seed)
        self._types = list(types)
        self._next = 0
        self._rounded: dict[int, tuple[Any, Any, int]] = {}

    @classmethod
    def of(cls, run: Run, inputset: Iterable[Any], p_error: float, seed: int = 0) -> NoisyOperators:
        """For what ``run`` computes, its types as ``inputset`` shows them."""
        typed = TypedOperators()
        for values in inputset:
            typed.begin()
            run(values, typed)
        return cls(p_error, typed.types, seed)

    def summed(self, rounded: Any, read: Any, fitting: Range, step: int) -> Any:
        """As clear ones, but what doesn't fit comes out at the other end."""
        low, high = fitting
        read, rounded = ((one - low) % (high - low + 1) + low for one in (read, rounded))
        self._rounded[id(rounded)] = rounded, read, step
        return rounded

    def lookup(self, values: Any, table: Table, bounds: tuple[int, int] | None = None) -> Any:
        """``table`` of what is read."""
        _, read, step = self._rounded.get(id(values), (values, values, 1))
        noise = self._spread * self._random.standard_normal(read.shape)
        noisy = np.floor(read / step + 0.5 + noise).astype(np.int64) * step
        if not self._types:
            return super().lookup(noisy, table, bounds)
        low, high = self._types[self._next % len(self._types)]
        self._next += 1
        if self._next % len(self._types) == 0:
            # The run has no lookup more: nothing reads its sums again.
            self._rounded.clear()
        size = high - low + 1
        beyond = (noisy < low) | (noisy > high)
        found = super().lookup((noisy - low) % size + low, table, bounds)
        return np.where(beyond, -found, found)
