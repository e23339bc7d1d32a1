"""The compact variant: heads whose circuit costs a fraction of the reference's and keeps more.

What differs from the reference, head by head (E = width, d = head dimension, L = tokens):

* the client rotates the centred hidden states by a Hadamard matrix and quantizes them; the weights
  take the inverse rotation. Outliers spread over all channels, the values stay what they were;
* scales minimize the squared error on the calibration sentences instead of covering the largest
  value; weights have one scale a column, which costs nothing: each column has its own table;
* queries and keys are turned alike by another one, inside the weights;
* the bias is inside the table that requantizes the product, not a second requantization;
* key biases are left out: they add the same to all scores of a row, which a softmax cannot see;
* only pairs (i, j) with j <= i are computed: L(L+1)/2 instead of L^2, and nothing is masked;
* a product of two ciphertexts is one lookup, by 2ab = (a+b)^2 - a^2 - b^2 with the squares of
  single values looked up once;
* the softmax has no maximum: the exponential is scaled by one constant a head. The circuit returns
  sum_j e_ij v_j and sum_j e_ij, and the client, who decrypts both, divides;
* accumulators are rounded to their top bits before a lookup.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg import block_diag, hadamard

from fhecost.errors import ImpossibleError
from fhecost.heads.attention_head import AttentionHead, causal_mask
from fhecost.heads.compact_circuit import CompactHead, HeadRun
from fhecost.heads.operators import ClearOperators, Operators
from fhecost.heads.pairs import Pairs
from fhecost.heads.stated import REACH, StatedHeads, StatedMatrix, StatedShape, least_error_spread
from fhecost.quantization import (
    FloatArray,
    IntArray,
    Quantizer,
    largest_integer,
    least_error_quantizer,
    least_error_scales,
)

KEPT_BITS = 6
"""Bits of an accumulator that a lookup reads at least; wider circuits keep ``n_bits`` + 2."""
UNBOUNDED = 60
SPARE = 1.5
"""Accumulators get the bits for this many times the largest value seen in calibration."""
COARSER = 1.6
"""By how much the scale of a weight's column may grow to spare all products a bit."""


@dataclass(frozen=True)
class CompactHeads:
    """Several compact heads of a layer on one encrypted input.

    The client quantizes (hidden - ``mean``) @ ``rotation``.
    """

    mean: FloatArray
    input: Quantizer
    heads: tuple[CompactHead, ...]
    n_bits: int

    projected = False

    @cached_property
    def rotation(self) -> FloatArray:
        """What the client turns hidden states by, shape (E, E)."""
        return hadamard_rotation(len(self.mean))

    def quantize_input(self, hidden: FloatArray) -> IntArray:
        """Integers of normalized hidden states, shape (..., L, E)."""
        integers: IntArray = self.input.quantize((hidden - self.mean) @ self.rotation)
        return integers

    def saturated(self, hidden: FloatArray) -> int:
        """How many input values fall outside the calibrated range."""
        values = (hidden - self.mean) @ self.rotation
        return int(np.count_nonzero(np.abs(values) > self.input.scale * (self.input.largest + 0.5)))

    def run(self, values: Any, operators: Operators) -> Any:
        """All heads on quantized hidden states.

        Args:
            values: integers of shape (L, E), or Concrete's tracer of one.
            operators: numpy or Concrete.

        Returns:
            integers of shape (L, heads * (d + 1)): twice the weighted sum of a head's values, then
            the sum of its weights.
        """
        pairs = Pairs(values.shape[0])
        parts = operators.side_by_side(
            self.heads, lambda head, prefix: self.of(head, operators, pairs, prefix).outputs(values)
        )
        return np.concatenate(tuple(output for part in parts for output in part), axis=1)

    def of(self, head: CompactHead, operators: Operators, pairs: Pairs, *more: Any) -> HeadRun:
        """``head``, one of these, on ``operators``; ``more`` are a prefix and earlier tokens."""
        return HeadRun(head, operators, pairs, self.projection_bits, self.kept_bits, *more)

    def dequantize_output(self, integers: Any) -> FloatArray:
        """Real values of what :meth:`run` returned, shape (heads, L, d)."""
        values = []
        start = 0
        for head in self.heads:
            d = head.dimension
            sums = np.asarray(integers[:, start : start + d], dtype=np.float64) / 2
            weights = np.maximum(integers[:, start + d : start + d + 1], 1)
            values.append(sums / weights * head.value_scale + head.value_mean)
            start += d + 1
        return np.stack(values)

    @property
    def projection_bits(self) -> int:
        """Bits of all products: they share an input, and Concrete gives them one width."""
        return max(head.projection_bits for head in self.heads)

    @property
    def kept_bits(self) -> int:
        """Bits of an accumulator that lookups read."""
        return max(KEPT_BITS, self.n_bits + 2)


def quantize_compact_heads(
    heads: Sequence[AttentionHead], hidden: FloatArray, n_bits: int
) -> CompactHeads:
    """Quantize ``heads`` of one layer with scales calibrated on ``hidden``.

    Args:
        heads: the float weights.
        hidden: normalized hidden states of the calibration sentences, shape (sentences, L, E).
        n_bits: width of weights and of what comes out of lookups; :data:`WIDER` has the rest.

    Raises:
        ImpossibleError: at this width a tensor of a head is zero for every sentence.
    """
    mean = hidden.mean(axis=(0, 1))
    rotation = hadamard_rotation(hidden.shape[-1])
    rotated = (hidden - mean) @ rotation
    input_quantizer = least_error_quantizer(rotated, n_bits + WIDER["input"])
    integers = input_quantizer.quantize(rotated)
    quantized = []
    for head in heads:
        compact = _quantize_head(
            head, hidden - mean, integers, mean, rotation, input_quantizer.scale, n_bits
        )
        quantized.append(compact)
    return CompactHeads(mean, input_quantizer, tuple(quantized), n_bits)


WIDER: Mapping[str, int] = {"input": 1, "value": 1, "exponential": 1}
"""Bits that a tensor has beyond ``n_bits``, where its rounding costs most accuracy.

The value's is nearly free: weight + value, which is looked up, has no more bits with it.
"""


def hadamard_rotation(width: int) -> FloatArray:
    """An orthogonal matrix of shape (width, width): Hadamard blocks of the largest power of two."""
    block = width & -width
    blocks: FloatArray = block_diag(*[hadamard(block) / np.sqrt(block)] * (width // block))
    return blocks


def _quantize_head(
    head: AttentionHead,
    centred: FloatArray,
    integers: IntArray,
    mean: FloatArray,
    rotation: FloatArray,
    input_scale: float,
    n_bits: int,
) -> CompactHead:
    head, d = _with_rotated_queries(head), head.dimension
    weight = rotation.T @ head.weight
    weight_scale, weight_integers = _quantized_weight(weight, integers, n_bits)
    column_scale = weight_scale * input_scale
    wanted, product = centred @ head.weight, (integers @ weight_integers) * column_scale
    # What the rounding of weights and inputs shifts on average is put right inside the tables.
    offset = (wanted - product).mean(axis=(0, 1))
    own_mean = mean @ head.weight + head.bias
    offset[:d] += own_mean[:d]
    restored = product + offset
    query, key, value = np.split(restored, 3, axis=-1)
    value_scale = least_error_scales(value.reshape(-1, d), n_bits + WIDER["value"])
    query_quantizer = least_error_quantizer(query, n_bits)
    key_quantizer = least_error_quantizer(key, n_bits)
    compact = CompactHead(
        weight=weight_integers,
        column_scale=column_scale,
        column_offset=offset,
        query=query_quantizer,
        key=key_quantizer,
        value=Quantizer(scale=1.0, n_bits=n_bits + WIDER["value"]),
        value_scale=value_scale,
        value_mean=own_mean[2 * d :],
        score_unit=query_quantizer.scale * key_quantizer.scale / np.sqrt(d),
        exponential_shift=0.0,
        exponential_bits=n_bits + WIDER["exponential"],
        projection_bits=UNBOUNDED,
        score_bits=UNBOUNDED,
        attended_bits=UNBOUNDED,
    )
    compact = replace(
        compact,
        exponential_shift=best_shift(
            compact.score_unit,
            query_quantizer.quantize(query),
            key_quantizer.quantize(key),
            compact.value.quantize(value / value_scale) * value_scale,
            compact.exponential_bits,
        ),
    )
    seen, pairs = ClearOperators(), Pairs(integers.shape[1])
    for sentence in integers:
        attended, _ = HeadRun(compact, seen, pairs, UNBOUNDED, UNBOUNDED).outputs(sentence)
        if not np.any(attended):
            raise ImpossibleError(
                f"at {n_bits} bits the head's output is zero on a calibration sentence; use more "
                "bits, another head or another layer"
            )
    most = seen.largest
    return replace(
        compact,
        projection_bits=signed_bits(SPARE * most["projection"]),
        score_bits=signed_bits(SPARE * most["scores"]),
        attended_bits=signed_bits(SPARE * most["attended"]),
    )


def state_compact_heads(shape: StatedShape, _: object = None) -> StatedHeads:
    """Compact heads of a shape: every scale has the least squared error for normal values."""
    n_bits, d = shape.n_bits, shape.dimension
    input_bits, value_bits = n_bits + WIDER["input"], n_bits + WIDER["value"]
    exponential_bits = n_bits + WIDER["exponential"]
    inputs, weights = least_error_spread(input_bits), least_error_spread(n_bits)
    product = math.sqrt(shape.width) * inputs * weights
    scores = 2 * REACH * math.sqrt(d) * weights**2
    # Rows whose weights are all large are short: those of a long row sum up to some of the largest.
    largest_sum = 2 * min(shape.seq_len, 2) * (2**exponential_bits - 1)
    # In units of their own deviation, which least-error integers of a width spread by.
    factor = Quantizer(1 / least_error_spread(n_bits), n_bits)
    head = CompactHead(
        weight=StatedMatrix(shape.width, 3 * d, weights),  # type: ignore[arg-type]
        column_scale=np.full(3 * d, 1 / product),
        column_offset=np.zeros(3 * d),
        query=factor,
        key=factor,
        value=Quantizer(1.0, value_bits),
        value_scale=np.full(d, 1 / least_error_spread(value_bits)),
        value_mean=np.zeros(d),
        score_unit=factor.scale**2 / math.sqrt(d),
        exponential_shift=2.0,
        exponential_bits=exponential_bits,
        projection_bits=signed_bits(SPARE * REACH * product),
        score_bits=signed_bits(SPARE * scores),
        attended_bits=signed_bits(SPARE * largest_sum * largest_integer(value_bits)),
    )
    heads = tuple(replace(head) for _ in range(shape.heads))
    entering = Quantizer(1 / inputs, input_bits)
    return StatedHeads(
        CompactHeads(np.zeros(shape.width), entering, heads, n_bits), input_bits, inputs
    )


def _with_rotated_queries(head: AttentionHead) -> AttentionHead:
    """The same head: its queries and keys are turned alike, which no product of both can see.

    It spreads what is large in a few of their d dimensions over all, as the client's rotation does
    for the input; the scales of queries and keys then fit every dimension.
    """
    d = head.dimension
    rotation = block_diag(hadamard_rotation(d), hadamard_rotation(d), np.eye(d))
    return replace(head, weight=head.weight @ rotation, bias=head.bias @ rotation)


def _quantized_weight(
    weight: FloatArray, inputs: IntArray, n_bits: int
) -> tuple[FloatArray, IntArray]:
    """Scales of the columns of ``weight`` and its integers.

    Where a few columns' products with ``inputs`` need a bit more than all others', these columns
    get a larger scale: that bit would make the rounding of all products twice as coarse.
    """
    largest = largest_integer(n_bits)

    def integers(scale: FloatArray) -> IntArray:
        rounded: IntArray = np.clip(np.rint(weight / scale), -largest, largest).astype(np.int64)
        return rounded

    def reach(scale: FloatArray) -> FloatArray:
        of_columns: FloatArray = SPARE * np.abs(inputs @ integers(scale)).max(axis=(0, 1))
        return of_columns

    scale = least_error_scales(weight, n_bits)
    limit = 2 ** (signed_bits(reach(scale).max()) - 2) - 1
    coarser = scale
    while (over := reach(coarser) / limit).max() > 1:
        # Integers shrink in steps: some columns need more than the quotient.
        coarser = coarser * np.where(over > 1, 1.02 * over, 1.0)
        if (coarser > COARSER * scale).any():
            return scale, integers(scale)
    return coarser, integers(coarser)


def signed_bits(magnitude: float) -> int:
    """Bits of the narrowest signed integer that reaches ``magnitude`` to both sides."""
    return int(magnitude).bit_length() + 1


def best_shift(
    unit: float, query: IntArray, key: IntArray, value: FloatArray, exponential_bits: int
) -> float:
    """The constant c whose quantized softmax attends most nearly to what the exact one does."""
    scores = (query @ np.swapaxes(key, -1, -2)) * unit
    scores = np.where(causal_mask(scores.shape[-1]), scores, -np.inf)
    exact = np.exp(scores - scores.max(axis=-1, keepdims=True))
    exact = exact / exact.sum(axis=-1, keepdims=True) @ value
    largest = 2**exponential_bits - 1
    highest = float(scores[np.isfinite(scores)].max())

    def error(shift: float) -> float:
        weights = np.clip(np.rint(largest * np.exp(scores - shift)), 0, largest)
        total = np.maximum(weights.sum(axis=-1, keepdims=True), 1)
        return float((((weights / total) @ value - exact) ** 2).mean())

    return float(min(np.linspace(highest - 4, highest, 17), key=error))
