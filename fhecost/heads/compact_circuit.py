"""The operations of one compact head, written once for every kind of operators.

Shapes: L tokens, E the width of the input, d the head dimension; pairs (i, j) with j <= i stand row
by row, L(L+1)/2 of them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from fhecost.heads.operators import Operators, Table
from fhecost.heads.pairs import Pairs
from fhecost.heads.rotary import HeadWeights, TurnedWeights, multiplied, part_of, token_rows
from fhecost.quantization import FloatArray, Quantizer


@dataclass(frozen=True)
class CompactHead:
    """One head's integers, scales and widths.

    ``weight`` holds the integers of ``rank`` query columns, as many key columns and v value
    columns, shape (E, 2 rank + v); a column's product p stands for the real value
    p * ``column_scale`` + ``column_offset``, to which turned weights add their means. Keys and
    queries of full rank have d columns, values too; what v columns stand for is values @
    ``value_basis``, shape (v, d); None for themselves.
    ``exponential_shift`` is c in e = 2^b exp(s - c), b = ``exponential_bits``; the products, the
    scores and the sums of values have ``projection_bits``, ``score_bits`` and ``attended_bits``.
    Squares are divided by ``score_divisor`` or ``value_divisor`` inside their tables, and scores
    have ``score_centre`` taken off, so that they fill their bits. Lookups read ``kept_bits`` of a
    product and ``kept_score_bits`` of a score, where these are given; ``exact`` is whether their
    rounding is. A projection behind the head takes its values in steps of ``output_scale``, (v,).
    ``first_mean``, (d,), is what the client adds to the first token's values besides.

    Exponentials keep ``spare`` integers away from both ends of their type, and values from the
    lower one: what a lookup reads beyond an end comes out as the negated other end.
    """

    weight: HeadWeights
    column_scale: FloatArray
    column_offset: FloatArray
    query: Quantizer
    key: Quantizer
    value: Quantizer
    value_scale: FloatArray
    value_mean: FloatArray
    score_unit: float
    exponential_shift: float
    exponential_bits: int
    projection_bits: int
    score_bits: int
    attended_bits: int
    rank: int
    value_basis: FloatArray | None = None
    score_divisor: float = 1.0
    score_centre: int = 0
    value_divisor: float = 1.0
    kept_bits: int | None = None
    kept_score_bits: int | None = None
    exact: bool = True
    output_scale: FloatArray | None = None
    first_mean: FloatArray | None = None
    spare: int = 0

    @property
    def largest_exponential(self) -> int:
        """The largest integer that stands for an exponential."""
        return largest_exponential(self.exponential_bits, self.spare)

    @property
    def value_rank(self) -> int:
        """V, the columns of value."""
        return int(self.weight.shape[1] - 2 * self.rank)

    def values_of(self, sums: Any, total: Any) -> FloatArray:
        """Real values in v columns of what :meth:`HeadRun.outputs` returned, shape (L, v)."""
        halves = np.asarray(sums, dtype=np.float64) * (self.value_divisor / 2)
        # No average lies beyond what it is of, unless a lookup went wrong.
        most = self.value.largest
        values: FloatArray = np.clip(halves / np.maximum(total, 1), -most, most) * self.value_scale
        return values

    def real_values(self, sums: Any, total: Any) -> FloatArray:
        """The head's real values of what :meth:`HeadRun.outputs` returned, shape (L, d)."""
        values = self.values_of(sums, total)
        real: FloatArray = values if self.value_basis is None else values @ self.value_basis
        real = real + self.value_mean
        if self.first_mean is not None:
            real[0] += self.first_mean
        return real

    def exponential(self, doubled_scores: Any) -> Any:
        """E of the integers that stand for twice a score."""
        largest = self.largest_exponential
        # The bound keeps the exponential finite on integers that no score reaches.
        scores = doubled_scores * (self.score_unit / 2)
        shift = self.exponential_shift - self.score_centre * self.score_unit / 2
        exponent = np.minimum(scores - shift, 1.0)
        return np.clip(np.rint(largest * np.exp(exponent)), 0, largest)


def largest_exponential(bits: int, spare: int) -> int:
    """The largest integer of ``bits`` that leaves ``spare`` of them at both ends."""
    return int(2**bits) - 1 - 2 * spare


@dataclass(frozen=True)
class Earlier:
    """What a circuit takes, encrypted, of the tokens before those that it computes.

    M of them: ``key`` has shape (M, rank), ``key_squares`` the sum of each key's squares, (M,);
    ``value``, from zero, and ``value_squares`` have shape (M, v).
    """

    key: Any
    key_squares: Any
    value: Any
    value_squares: Any


def square_over(divisor: float) -> Table:
    """The table of squares over ``divisor``."""
    # A product of integers would be a table of its own for Concrete.
    return (lambda z: z**2) if divisor == 1 else (lambda z: (z * 1.0) ** 2 / divisor)


@dataclass(frozen=True)
class KeysAndValues:
    """Keys and values of the computed tokens, which heads may share, and what is squared of them.

    Shapes (L, rank) and (L, v). The value is :attr:`HeadRun.raised`: none is negative.
    ``key_squares`` has those of each key summed up, (L,), where the head's rounding is exact. A
    head alone squares only when it comes to that: both are None before.
    """

    key: Any
    value: Any
    key_squares: Any = None
    value_squares: Any = None


EarlierOf = Callable[[CompactHead], Earlier]
"""What is known of the tokens before those computed, by head."""


@dataclass(frozen=True)
class HeadRun:
    """One head on ``operators``, its stages' names behind ``prefix``.

    All heads' products have ``projection_bits``, since they share an input; lookups read
    ``kept_bits`` of a sum. ``pairs`` are the tokens that attend to each other; ``earlier`` is what
    is known of those before; ``shared`` are keys and values that another head made too.
    """

    head: CompactHead
    operators: Operators
    pairs: Pairs
    projection_bits: int
    kept_bits: int
    prefix: str = ""
    earlier: Earlier | None = None
    shared: KeysAndValues | None = None

    def tag(self, stage: str) -> AbstractContextManager[Any]:
        """The stage of the operations inside it."""
        return self.operators.tag(f"{self.prefix}{stage}")

    def accumulator(
        self, name: str, values: Any, bits: int, kept_bits: int | None = None, signed: bool = True
    ) -> Any:
        """A sum of the head, see :class:`Operators`."""
        name, exact = f"{self.prefix}{name}", self.head.exact
        return self.operators.accumulator(name, values, bits, kept_bits, signed, exact)

    def outputs(self, values: Any) -> tuple[Any, Any]:
        """Twice the weighted sums of values and the sums of weights, shapes (L, v) and (L, 1)."""
        scores, keys_and_values = self.scores(values)
        spare = self.head.spare
        with self.tag("softmax.exponential"):
            weights = self.operators.lookup(scores, lambda s: self.exponential(s) + spare)
        if self.head.exact:
            total = self.sum_of_exponentials(scores, self.exponential)
        else:
            # Read from the scores again, some would be rounded to the other side. An integer taken
            # off would be an operation before the table, which then had no spare integer below.
            total = self.sum_of_exponentials(weights, lambda e: e - float(spare))
        bits = self.head.exponential_bits
        attended = self.weighted_values(weights, bits, keys_and_values, spare)
        with self.tag("weighted_values"):
            return self.accumulator("attended", attended, self.head.attended_bits), total

    def exponential(self, scores: Any) -> Any:
        """The exponential of each pair's score, shape (pairs,)."""
        found = self.head.exponential(scores)
        return np.where(self.is_alone, self.head.largest_exponential, found)

    @cached_property
    def is_alone(self) -> Any:
        """Which pairs are alone in their row, shape (pairs,), or that none is treated so.

        The first token attends to itself alone, whatever its score is; but where that is far below
        other rows', its exponential is rounded to nothing, and the row with it. Heads that turn
        take a constant for it, which costs nothing: their first token often is far from all others.
        """
        if self.pairs.earlier or not isinstance(self.head.weight, TurnedWeights):
            return False
        return self.pairs.attending.numbers == 0

    def keys_and_values(self, values: Any) -> KeysAndValues:
        """Keys and values of the computed tokens."""
        return KeysAndValues(*(self._projected(part, values) for part in (1, 2)))

    def squared(self, own: KeysAndValues) -> KeysAndValues:
        """``own`` with its squares, in stages of their own: no query waits for them."""
        with self.tag("key.squares"):
            key_squares = self._squares(own.key)
        with self.tag("value.squares"):
            return replace(own, key_squares=key_squares, value_squares=self._value_squares(own))

    def _value_squares(self, own: KeysAndValues) -> Any:
        """Squares for weighted values, of values that come :attr:`raised`."""
        # A float, so that Concrete subtracts it in the table.
        square, zero = square_over(self.head.value_divisor), float(self.raised)
        return self.operators.lookup(own.value, lambda z: square(z - zero))

    @property
    def raised(self) -> int:
        """What is added to values, so that none is negative, and spare integers stay below them."""
        return self.head.value.largest + self.head.spare

    def _squares(self, integers: Any) -> Any:
        """Squares for scores, summed up over columns where rounding is exact."""
        squared = self.operators.lookup(integers, square_over(self.head.score_divisor))
        return np.sum(squared, axis=1) if self.head.exact else squared

    def scores(self, values: Any) -> tuple[Any, KeysAndValues]:
        """Twice the scores of all pairs (i, j), rounded, shape (pairs,); and keys and values."""
        head, operators, pairs = self.head, self.operators, self.pairs
        query = self._projected(0, values)
        own = self.shared or self.keys_and_values(values)
        with self.tag("scores"):
            # 2 q.k = sum (q+k)^2 - sum q^2 - sum k^2, with the single squares once a token.
            keys = self._with_earlier("key", own.key)
            sums = operators.take(query, pairs.attending) + operators.take(keys, pairs.attended)
            sums = operators.narrow(sums, head.query.n_bits + 1)
            squares, own_query = map(self._squares, (sums, query))
            own_key = self._squares(own.key) if own.key_squares is None else own.key_squares
            own_key = self._with_earlier("key_squares", own_key)
            scores = squares - operators.take(own_query, pairs.attending)
            scores = scores - operators.take(own_key, pairs.attended)
            if not head.exact:
                # Summed up last, a sum of squares never is wider than the scores.
                scores = np.sum(scores, axis=1) - head.score_centre
        with self.tag("scores.round"):
            kept = head.kept_score_bits or self.kept_bits
            return self.accumulator("scores", scores, head.score_bits, kept), own

    def sum_of_exponentials(self, pairs: Any, table: Table) -> Any:
        """The sum over j of e, which is ``table`` of what is known of ``pairs``, shape (L, 1)."""
        with self.tag("softmax.sum"):
            # Looked up for the sum alone: a sum of many is wide, and what it sums up is as wide.
            summed = self.operators.lookup(pairs, table)
            total = self.operators.row_sums(summed.reshape((self.pairs.count, 1)), self.pairs)
            return self.operators.narrow(total, self.sum_bits)

    @property
    def sum_bits(self) -> int:
        """Bits of the sum of as many exponentials as the longest row has."""
        return int(self.pairs.longest_row * (2**self.head.exponential_bits - 1)).bit_length()

    def weighted_values(
        self, weights: Any, weight_bits: int, own: KeysAndValues, spare: int = 0
    ) -> Any:
        """Twice the sum over j of weight times value, shapes (pairs,) and (L, v) to (L, v).

        ``weights`` are unsigned integers of ``weight_bits``, raised by ``spare``.
        """
        operators, pairs, largest = self.operators, self.pairs, self.head.value.largest
        with self.tag("weighted_values"):
            column = weights.reshape((pairs.count, 1))
            # Values come raised, so that none is negative: the sum is a bit narrower so.
            zero = float(self.raised + spare)
            most = 2**weight_bits - 1 + 2 * largest
            all_values = self._with_earlier("value", own.value)
            sums = column + operators.take(all_values, pairs.attended)
            sums = operators.narrow(sums, most.bit_length())
            square = square_over(self.head.value_divisor)
            squares = operators.lookup(sums, lambda z: square(z - zero))
            own_weight = operators.lookup(
                column, square if spare == 0 else lambda w: square(w - float(spare))
            )
            own_value = own.value_squares
            own_value = self._value_squares(own) if own_value is None else own_value
            own_value = self._with_earlier("value_squares", own_value)
            products = squares - own_weight - operators.take(own_value, pairs.attended)
            return operators.row_sums(products, pairs)

    def _value_from_zero(self, values: Any) -> Any:
        return (self.head.value.rounded(values) + self.raised).astype(np.int64)

    def _with_earlier(self, name: str, own: Any) -> Any:
        """``own`` behind what is known as ``name`` of the tokens before."""
        if self.earlier is None:
            return own
        return np.concatenate((getattr(self.earlier, name), own), axis=0)

    def _projected(self, part: int, values: Any) -> Any:
        """Query, key (``part`` 0, 1), shape (L, rank), or value (2), (L, v), from zero."""
        head, r, name = self.head, self.head.rank, ("query", "key", "value")[part]
        chosen = slice(part * r, (part + 1) * r) if part < 2 else slice(2 * r, None)
        tokens, first = values.shape[0], self.pairs.earlier
        weight = part_of(head.weight, part, r, tokens, first)
        rows = token_rows(values, weight)
        with self.tag(name):
            product = multiplied(rows, weight)
        scale, offset = head.column_scale[chosen], head.column_offset[chosen]
        if isinstance(head.weight, TurnedWeights):
            offset = offset + head.weight.means(part, tokens, first)
        quantize = (head.query.quantize, head.key.quantize, self._value_from_zero)[part]
        if part == 2:
            scale, offset = scale / head.value_scale, offset / head.value_scale
        kept = head.kept_bits or self.kept_bits
        with self.tag(f"{name}.requantize"):
            product = self.accumulator("projection", product, self.projection_bits, kept)
            return self.operators.lookup(product, lambda p: quantize(p * scale + offset))
