"""Heads from a shape alone, where there are no weights to look at.

A variant that can be stated makes heads whose weights are :class:`StatedMatrix`: how large they
are, not what they are. Values and weights are taken as independent and normal, and a sum to reach
``REACH`` standard deviations among all that calibration sees. Real weights are neither: their sums
come out up to a bit wider or narrower, which is why a profile of stated widths says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np

from fhecost.quantization import largest_integer

REACH = 4.5
"""Standard deviations that the largest of some ten thousand normal values reaches."""

COVERED = 4.0
"""Standard deviations that the largest integer stands for where a scale covers every value."""


@cache
def covered_at_least_error(n_bits: int) -> float:
    """Standard deviations that the largest integer stands for at the least squared error.

    For a symmetric uniform quantizer of 2^n_bits - 1 levels and a normal source, by search over
    the source's quantiles.
    """
    quantile = NormalDist().inv_cdf
    values = np.array([quantile((index + 0.5) / 2000) for index in range(1000, 2000)])
    largest = largest_integer(n_bits)

    def error(covered: float) -> float:
        scale = covered / largest
        restored = np.minimum(np.rint(values / scale), largest) * scale
        return float(((values - restored) ** 2).mean())

    return float(min(np.linspace(0.8, 6.0, 105), key=error))


def least_error_spread(n_bits: int) -> float:
    """Standard deviation of integers of ``n_bits`` whose scale has the least squared error."""
    return largest_integer(n_bits) / covered_at_least_error(n_bits)


@dataclass(frozen=True)
class StatedMatrix:
    """Integer weights of shape (rows, columns) with the standard deviation ``spread``."""

    rows: int
    columns: int
    spread: float

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows, self.columns

    @property
    def norm2(self) -> float:
        """The sum of squares of a column."""
        return self.rows * self.spread**2

    def __getitem__(self, index: tuple[slice, slice]) -> StatedMatrix:
        rows, columns = (
            len(range(size)[chosen]) for size, chosen in zip(self.shape, index, strict=True)
        )
        return StatedMatrix(rows, columns, self.spread)


@dataclass(frozen=True)
class StatedColumns:
    """One number for each of some columns, the same for all: a slice of them is that number.

    A table of all columns is then computed of one.
    """

    value: float

    def __getitem__(self, index: slice) -> float:
        return self.value


@dataclass(frozen=True)
class StatedShape:
    """What heads are stated for: E = ``width``, d = ``dimension``, how many, L and a width."""

    width: int
    dimension: int
    heads: int
    seq_len: int
    n_bits: int


@dataclass(frozen=True)
class StatedHeads:
    """Heads of a shape, and what their inputs hold: ``input_bits``, and how they spread."""

    heads: Any
    input_bits: int
    input_spread: float


ReadWidths = Callable[[StatedHeads], Mapping[str, int]]
"""By stage, the width of what the lookups of stated heads read."""

StateHeads = Callable[[StatedShape, ReadWidths], StatedHeads]
"""How a variant states its heads; one whose widths depend on others may look them up."""
