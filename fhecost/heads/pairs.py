"""The pairs of tokens that attend to each other, row by row.

L(L+1)/2 numbers are many for a long text, and a circuit from a shape alone needs only how many
there are: the numbers are made when somebody asks for them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fhecost.quantization import IntArray


@dataclass(frozen=True)
class Rows:
    """Which rows of a tensor are taken, in order: ``count`` numbers, made by ``make``."""

    count: int
    make: Callable[[], IntArray]

    @cached_property
    def numbers(self) -> IntArray:
        """The numbers, from 0."""
        return self.make()


@dataclass(frozen=True)
class Pairs:
    """Pairs (i, j) of each of ``tokens`` with itself, those before it, and ``earlier`` ones.

    Of L tokens in all, the last ``tokens`` are computed; they stand behind the ``earlier``.
    """

    tokens: int
    earlier: int = 0

    @property
    def longest_row(self) -> int:
        """L: what the last token attends to."""
        return self.earlier + self.tokens

    @property
    def count(self) -> int:
        """How many pairs there are."""
        return self.tokens * self.earlier + self.tokens * (self.tokens + 1) // 2

    @cached_property
    def attending(self) -> Rows:
        """I of each pair, among the computed tokens."""
        return Rows(self.count, lambda: self._indices[0])

    @cached_property
    def attended(self) -> Rows:
        """J of each pair, among all."""
        return Rows(self.count, lambda: self._indices[1])

    @property
    def spans(self) -> list[tuple[int, int]]:
        """The first pair of each row, and the first behind it."""
        ends = np.cumsum(np.arange(self.tokens) + self.earlier + 1).tolist()
        return list(zip([0, *ends[:-1]], ends, strict=True))

    @cached_property
    def _indices(self) -> tuple[IntArray, IntArray]:
        rows, columns = np.tril_indices(self.tokens, self.earlier, self.longest_row)
        return rows, columns
