"""Heads from a shape alone, where there are no weights to look at.

A variant that can be stated makes heads whose weights are :class:`StatedMatrix`: how large they
are, not what they are. Values and weights are taken as independent and normal, and a sum to reach
``REACH`` standard deviations among all that calibration sees. Real weights are neither: their sums
come out up to a bit wider or narrower, which is why a profile of stated widths says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np

from fhecost.errors import FieldError
from fhecost.models.model_shape import Family
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
    """Integer weights of shape (rows, columns) with the standard deviation ``spread``.

    ``tokens`` is how many such matrices there are, one for each token; None for one of all tokens.
    Where ``turns``, queries and keys have one for each; these are no larger or smaller.
    """

    rows: int
    columns: int
    spread: float
    turns: bool = False
    tokens: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns, behind the number of tokens where each has its own."""
        each = () if self.tokens is None else (self.tokens,)
        return *each, self.rows, self.columns

    @property
    def norm2(self) -> float:
        """The sum of squares of a column."""
        return self.rows * self.spread**2

    def __getitem__(self, index: tuple[slice, slice]) -> StatedMatrix:
        rows, columns = (
            len(range(size)[chosen])
            for size, chosen in zip((self.rows, self.columns), index, strict=True)
        )
        return replace(self, rows=rows, columns=columns)

    def for_each(self, tokens: int) -> StatedMatrix:
        """As many such matrices, one for each token."""
        return replace(self, tokens=tokens)


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
    """What heads are stated for: E = ``width``, d = ``dimension``, how many, L and a width.

    A layer of their ``family`` has ``of_layer`` heads, None for as many as divide its width, which
    share ``kv_heads`` keys and values, None for one each.
    """

    width: int
    dimension: int
    heads: int
    seq_len: int
    n_bits: int
    family: Family = "gpt2"
    of_layer: int | None = None
    kv_heads: int | None = None

    @property
    def turns(self) -> bool:
        """Whether queries and keys turn with their token's position."""
        return self.family == "llama"

    @property
    def sharing(self) -> int:
        """How many of the heads have one key and one value; 1 where groups would be cut."""
        layer = self.of_layer or self.heads
        group = layer // (self.kv_heads or layer)
        if self.heads <= group:
            return self.heads
        return group if self.heads % group == 0 else 1

    def check_all_heads(self, what: str) -> None:
        """Raise a FieldError unless ``heads`` are all of a layer, which ``what`` needs."""
        if self.heads != (self.of_layer or self.width // self.dimension):
            raise FieldError("heads", f"{what} needs all heads of a layer")


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
