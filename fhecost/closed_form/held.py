"""What the tensors of a circuit hold: seen on sentences, or stated by rule.

A wire's width follows from the integers that it holds. Where weights are at hand, these are the
integers that calibration sentences give (:class:`Sampled`); for a shape alone they are what normal
values reach (:class:`Stated`). Both know the same operations, so a head's ``run`` asks neither.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from statistics import NormalDist
from typing import Any, NamedTuple, Protocol, Self

import numpy as np

from fhecost.heads.operators import Table, rounded_half_up
from fhecost.heads.pairs import Pairs
from fhecost.heads.stated import REACH, StatedMatrix
from fhecost.quantization import FloatArray, IntArray
from fhecost.quantization.ranges import Range

Shape = tuple[int, ...]
Bounds = tuple[int, int] | None


class Held(Protocol):
    """The integers of one tensor of ``shape``, as far as they are known."""

    @property
    def shape(self) -> Shape:
        """Of the tensor."""

    @property
    def range(self) -> Range:
        """The least and the largest integer."""

    def moved(self, shape: Shape, move: Callable[[Any], Any]) -> Self:
        """The same integers in other places; ``move`` takes an array with one axis more in front.

        Only :class:`Sampled` makes the move.
        """

    def joined(self, others: Sequence[Self], axis: int) -> Self:
        """This tensor and ``others`` behind each other along ``axis``."""

    def plus(self, other: Self | IntArray | int, sign: int = 1) -> Self:
        """The sum with another tensor or with constants, or the difference."""

    def times(self, other: Self) -> Self:
        """The product, element by element."""

    def matmul(self, other: Self) -> Self:
        """The matrix product with another tensor."""

    def matmul_clear(self, weight: Any) -> Self:
        """The matrix product with clear weights."""

    def summed(self, axis: int, keepdims: bool) -> Self:
        """The sums along ``axis``."""

    def row_sums(self, pairs: Pairs) -> Self:
        """The sums of the first axis over what each token attends to."""

    def looked_up(self, table: Table, bounds: Bounds) -> Self:
        """What ``table`` gives."""

    def rounded(self, dropped: int) -> Self:
        """Rounded to multiples of 2^``dropped``."""

    def within(self, low: int, high: int) -> Self:
        """The same, known to reach from ``low`` to ``high``."""

    def clipped(self, low: int, high: int) -> Self:
        """The same, known not to go beyond ``low`` and ``high``."""


@dataclass(frozen=True, eq=False)
class Sampled:
    """What calibration sentences give: ``values``, the sentences along the first axis."""

    values: IntArray

    @property
    def shape(self) -> Shape:
        return self.values.shape[1:]

    @cached_property
    def range(self) -> Range:
        return Range.of(self.values)

    def moved(self, shape: Shape, move: Callable[[Any], Any]) -> Sampled:
        return Sampled(move(self.values))

    def joined(self, others: Sequence[Sampled], axis: int) -> Sampled:
        parts = [self.values, *(other.values for other in others)]
        return Sampled(np.concatenate(parts, axis=axis + 1))

    def plus(self, other: Sampled | IntArray | int, sign: int = 1) -> Sampled:
        added = other.values if isinstance(other, Sampled) else other
        return Sampled(self.values + added if sign > 0 else self.values - added)

    def times(self, other: Sampled) -> Sampled:
        return Sampled(self.values * other.values)

    def matmul(self, other: Sampled) -> Sampled:
        return Sampled(_exact_product(self.values, other.values))

    def matmul_clear(self, weight: Any) -> Sampled:
        return Sampled(_exact_product(self.values, weight))

    def summed(self, axis: int, keepdims: bool) -> Sampled:
        return Sampled(self.values.sum(axis=axis + 1, keepdims=keepdims))

    def row_sums(self, pairs: Pairs) -> Sampled:
        starts = [start for start, _ in pairs.spans]
        return Sampled(np.add.reduceat(self.values, starts, axis=1))

    def looked_up(self, table: Table, bounds: Bounds) -> Sampled:
        return Sampled(np.rint(table(self.values)).astype(np.int64))

    def rounded(self, dropped: int) -> Sampled:
        return Sampled(rounded_half_up(self.values, dropped))

    def within(self, low: int, high: int) -> Sampled:
        return self

    def clipped(self, low: int, high: int) -> Sampled:
        return self


def column_norm2(weight: Any) -> float:
    """The largest sum of squares of a column of integers, or of what is stated of them."""
    stated = isinstance(weight, StatedMatrix)
    return weight.norm2 if stated else float((weight.astype(float) ** 2).sum(axis=-2).max())


def _exact_product(first: IntArray, second: IntArray) -> IntArray:
    """The product of integers in floating point, many times faster: sums stay far below 2^53."""
    product: IntArray = (first.astype(np.float64) @ second.astype(np.float64)).astype(np.int64)
    return product


class Stated(NamedTuple):
    """What values are taken to be: independent, about normal around ``mean``, within ``range``.

    ``spread`` is their standard deviation. A ``sum`` of many reaches ``REACH`` of its own
    deviations, but no further than its terms allow.
    """

    shape: Shape
    range: Range
    mean: float
    spread: float
    sum: bool = False

    @classmethod
    def symmetric(cls, shape: Shape, largest: int, spread: float) -> Stated:
        """Values around zero up to ``largest``."""
        return cls(shape, Range(-largest, largest), 0.0, spread)

    def moved(self, shape: Shape, move: Callable[[Any], Any]) -> Stated:
        return Stated(shape, self.range, self.mean, self.spread, self.sum)

    def joined(self, others: Sequence[Stated], axis: int) -> Stated:
        parts = [self, *others]
        size = sum(part.shape[axis] for part in parts)
        return Stated(
            (*self.shape[:axis], size, *self.shape[axis + 1 :]),
            Range(min(p.range.low for p in parts), max(p.range.high for p in parts)),
            max((part.mean for part in parts), key=abs),
            max(part.spread for part in parts),
        )

    def plus(self, other: Stated | IntArray | int, sign: int = 1) -> Stated:
        if isinstance(other, Stated):
            added, mean, spread = other.range, other.mean, other.spread
            shape = _broadcast(self.shape, other.shape)
        elif isinstance(other, int):
            added, mean, spread, shape = Range(other, other), float(other), 0.0, self.shape
        else:
            other = np.asarray(other)
            added, mean, spread = Range.of(other), float(other.sum()) / other.size, 0.0
            shape = _broadcast(self.shape, other.shape)
        ends = self.range + (added if sign > 0 else -added)
        mean, spread = self.mean + sign * mean, math.hypot(self.spread, spread)
        if not (isinstance(other, Stated) and self.sum and other.sum):
            return Stated(shape, ends, mean, spread)
        return Stated(shape, _reached(mean, spread, *ends), mean, spread, True)

    def times(self, other: Stated) -> Stated:
        ends = [a * b for a in self.range for b in other.range]
        mean = self.mean * other.mean
        squares = (self.mean**2 + self.spread**2) * (other.mean**2 + other.spread**2)
        shape = _broadcast(self.shape, other.shape)
        return Stated(shape, Range(min(ends), max(ends)), mean, math.sqrt(squares - mean**2))

    def matmul(self, other: Stated) -> Stated:
        terms = self.shape[-1]
        shape = (*self.shape[:-1], other.shape[-1])
        # The factors' own shapes don't fit each other element by element.
        product = self._replace(shape=()).times(other._replace(shape=()))
        return product._sum_of(terms, shape)

    def matmul_clear(self, weight: Any) -> Stated:
        spread = math.hypot(self.mean, self.spread) * math.sqrt(column_norm2(weight))
        shape = (*self.shape[:-1], weight.shape[-1])
        return Stated(shape, _reached(0.0, spread), 0.0, spread, True)

    def summed(self, axis: int, keepdims: bool) -> Stated:
        kept = (1,) if keepdims else ()
        return self._sum_of(self.shape[axis], (*self.shape[:axis], *kept, *self.shape[axis + 1 :]))

    def row_sums(self, pairs: Pairs) -> Stated:
        return self._sum_of(pairs.longest_row, (pairs.tokens, *self.shape[1:]))

    def looked_up(self, table: Table, bounds: Bounds) -> Stated:
        if bounds is not None:
            low, high = bounds
            return Stated(self.shape, Range(low, high), (low + high) / 2, (high - low) / 2 / REACH)
        low, high = self.range
        # A few numbers: what a call costs counts.
        points = _normal_quantiles() * self.spread
        points += self.mean
        np.rint(points, points)
        if points[1] < low or points[-2] > high:
            points = np.minimum(np.maximum(points, float(low)), float(high))
        points[0], points[-1] = low, high
        results = np.rint(table(points.reshape((-1, *(1,) * len(self.shape)))))
        every: list[float] = results.ravel().tolist()
        of_end = len(every) // len(points)
        of_normal = every[of_end:-of_end]
        mean = sum(of_normal) / len(of_normal)
        squares = sum([result * result for result in of_normal]) / len(of_normal)
        found = Range(int(min(every)), int(max(every)))
        return Stated(self.shape, found, mean, math.sqrt(max(0.0, squares - mean**2)))

    def rounded(self, dropped: int) -> Stated:
        return Stated(self.shape, self.range.rounded(dropped), self.mean, self.spread, self.sum)

    def within(self, low: int, high: int) -> Stated:
        return Stated(self.shape, Range(low, high), self.mean, self.spread, self.sum)

    def clipped(self, low: int, high: int) -> Stated:
        least, most = self.range
        if low <= least and most <= high:
            return self
        return self.within(*self.range.clipped(low, high))

    def _sum_of(self, terms: int, shape: Shape) -> Stated:
        mean, spread = terms * self.mean, math.sqrt(terms) * self.spread
        least, most = terms * self.range.low, terms * self.range.high
        return Stated(shape, _reached(mean, spread, least, most), mean, spread, True)


def _broadcast(first: Shape, second: Shape) -> Shape:
    return first if first == second else np.broadcast_shapes(first, second)


def _reached(mean: float, spread: float, *ends: int) -> Range:
    """What the integers of a normal distribution reach, between both ``ends`` where there are."""
    reached = Range(int(mean - REACH * spread), int(mean + REACH * spread))
    if not ends or (ends[0] <= reached.low and reached.high <= ends[1]):
        return reached
    return reached.clipped(*ends)


@cache
def _normal_quantiles(count: int = 16) -> FloatArray:
    """The middles of ``count`` equal parts of a normal distribution, and one value at each end."""
    quantile = NormalDist().inv_cdf
    return np.array([0.0, *(quantile((index + 0.5) / count) for index in range(count)), 0.0])
