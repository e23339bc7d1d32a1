"""The operations of one compact head, written once for every kind of operators.

Shapes: L tokens, E the width of the input, d the head dimension; pairs (i, j) with j <= i stand row
by row, L(L+1)/2 of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fhecost.heads.operators import Operators
from fhecost.heads.pairs import Pairs
from fhecost.quantization import FloatArray, IntArray, Quantizer


@dataclass(frozen=True)
class CompactHead:
    """One head's integers, scales and widths.

    ``weight`` holds the integers of the query, key and value columns, shape (E, 3d); a column's
    product p stands for the real value p * ``column_scale`` + ``column_offset``.
    ``exponential_shift`` is c in e = 2^b exp(s - c), b = ``exponential_bits``; the products, the
    scores and the sums of values have ``projection_bits``, ``score_bits`` and ``attended_bits``.
    """

    weight: IntArray
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

    @property
    def dimension(self) -> int:
        """d, the head dimension."""
        return int(self.weight.shape[1] // 3)


@dataclass(frozen=True)
class Earlier:
    """What a circuit takes, encrypted, of the tokens before those that it computes.

    M of them: ``key`` has shape (M, d), ``key_squares`` the sum of each key's squares, (M,);
    ``value``, from zero, and ``value_squares`` have shape (M, d).
    """

    key: Any
    key_squares: Any
    value: Any
    value_squares: Any


def run_head(
    head: CompactHead,
    values: Any,
    operators: Operators,
    prefix: str,
    projection_bits: int,
    kept_bits: int,
) -> list[Any]:
    """The two outputs of one head, shapes (L, d) and (L, 1)."""
    pairs = Pairs(values.shape[0])
    scores, value = scores_and_value(
        head, values, operators, prefix, projection_bits, kept_bits, pairs
    )
    with operators.tag(f"{prefix}softmax.exponential"):
        weights = operators.lookup(scores, lambda s: exponential(head, s))
    total = sum_of_exponentials(head, scores, operators, prefix, pairs)
    attended = weighted_values(
        weights, head.exponential_bits, value, head.value, operators, prefix, pairs
    )
    with operators.tag(f"{prefix}weighted_values"):
        attended = operators.accumulator(f"{prefix}attended", attended, head.attended_bits)
    return [attended, total]


def scores_and_value(
    head: CompactHead,
    values: Any,
    operators: Operators,
    prefix: str,
    projection_bits: int,
    kept_bits: int,
    pairs: Pairs,
    earlier: Earlier | None = None,
) -> tuple[Any, Any]:
    """Twice the scores of all ``pairs`` (i, j), rounded, shape (pairs,); and the value.

    The value has shape (L, d) and is raised by its largest integer: none is negative.
    """
    query, key, value = (
        _project(head, part, values, operators, prefix, projection_bits, kept_bits)
        for part in range(3)
    )
    with operators.tag(f"{prefix}scores"):
        # 2 q.k = sum (q+k)^2 - sum q^2 - sum k^2, with the single squares once a token.
        keys = key if earlier is None else np.concatenate((earlier.key, key), axis=0)
        sums = operators.take(query, pairs.attending) + operators.take(keys, pairs.attended)
        sums = operators.narrow(sums, head.query.n_bits + 1)
        squares = np.sum(operators.lookup(sums, lambda z: z**2), axis=1)
        own_query = np.sum(operators.lookup(query, lambda z: z**2), axis=1)
        own_key = np.sum(operators.lookup(key, lambda z: z**2), axis=1)
        if earlier is not None:
            own_key = np.concatenate((earlier.key_squares, own_key), axis=0)
        scores = squares - operators.take(own_query, pairs.attending)
        scores = scores - operators.take(own_key, pairs.attended)
    with operators.tag(f"{prefix}scores.round"):
        scores = operators.accumulator(f"{prefix}scores", scores, head.score_bits, kept_bits)
    return scores, value


def sum_of_exponentials(
    head: CompactHead, scores: Any, operators: Operators, prefix: str, pairs: Pairs
) -> Any:
    """The sum of e over j, shape (L, 1)."""
    with operators.tag(f"{prefix}softmax.sum"):
        # Looked up for the sum alone: a sum of many is wide, and what it sums up is as wide.
        summed = operators.lookup(scores, lambda s: exponential(head, s))
        total = operators.row_sums(summed.reshape((pairs.count, 1)), pairs)
        return operators.narrow(total, sum_bits(head, pairs))


def sum_bits(head: CompactHead, pairs: Pairs) -> int:
    """Bits of the sum of as many exponentials as the longest row of ``pairs`` has."""
    return int(pairs.longest_row * (2**head.exponential_bits - 1)).bit_length()


def weighted_values(
    weights: Any,
    weight_bits: int,
    value: Any,
    quantizer: Quantizer,
    operators: Operators,
    prefix: str,
    pairs: Pairs,
    earlier: Earlier | None = None,
) -> Any:
    """Twice the sum over j of weight times value, shapes (pairs,) and (L, d) to (L, d).

    ``weights`` are unsigned integers of ``weight_bits``; ``value`` is raised by the largest integer
    of its ``quantizer``.
    """
    with operators.tag(f"{prefix}weighted_values"):
        column = weights.reshape((pairs.count, 1))
        # The values come raised by the largest one, which makes the sum a bit narrower.
        zero = float(quantizer.largest)  # a float, so that Concrete subtracts it in the table
        most = 2**weight_bits - 1 + 2 * quantizer.largest
        all_values = value if earlier is None else np.concatenate((earlier.value, value), axis=0)
        sums = column + operators.take(all_values, pairs.attended)
        sums = operators.narrow(sums, most.bit_length())
        squares = operators.lookup(sums, lambda z: (z - zero) ** 2)
        own_weight = operators.lookup(column, lambda z: z**2)
        own_value = operators.lookup(value, lambda z: (z - zero) ** 2)
        if earlier is not None:
            own_value = np.concatenate((earlier.value_squares, own_value), axis=0)
        products = squares - own_weight - operators.take(own_value, pairs.attended)
        return operators.row_sums(products, pairs)


def _project(
    head: CompactHead,
    part: int,
    values: Any,
    operators: Operators,
    prefix: str,
    projection_bits: int,
    kept_bits: int,
) -> Any:
    """Query, key or value (``part`` 0, 1, 2) as integers, shape (L, d); the value from zero."""
    name = f"{prefix}{('query', 'key', 'value')[part]}"
    d = head.dimension
    chosen = slice(part * d, (part + 1) * d)
    with operators.tag(name):
        product = values @ head.weight[:, chosen]
    scale, offset = head.column_scale[chosen], head.column_offset[chosen]
    quantizer = (head.query, head.key, head.value)[part]
    if part == 2:
        scale, offset = scale / head.value_scale, offset / head.value_scale
    with operators.tag(f"{name}.requantize"):
        product = operators.accumulator(f"{prefix}projection", product, projection_bits, kept_bits)
        quantize = quantizer.quantize_from_zero if part == 2 else quantizer.quantize
        return operators.lookup(product, lambda p: quantize(p * scale + offset))


def exponential(head: CompactHead, doubled_scores: Any) -> Any:
    """E of the integers that stand for twice a score."""
    largest = 2**head.exponential_bits - 1
    # The bound keeps the exponential finite on integers that no score reaches.
    exponent = np.minimum(doubled_scores * (head.score_unit / 2) - head.exponential_shift, 1.0)
    return np.clip(np.rint(largest * np.exp(exponent)), 0, largest)
