"""The compact variant: heads whose circuit costs a fraction of the reference's and keeps more.

What differs from the reference, head by head (E = width, d = head dimension, L = tokens):

* the client rotates the centred hidden states by a Hadamard matrix and quantizes them; the weights
  take the inverse rotation. Outliers spread over all channels, the values stay what they were;
* scales minimize the squared error on the calibration sentences instead of covering the largest
  value; weights have one scale a column, which costs nothing: each column has its own table;
* queries and keys are turned alike by another one, inside the weights;
* the bias is inside the table that requantizes the product, not a second requantization;
* key biases are left out: they add the same to all scores of a row, which a softmax cannot see;
  those that turn with their token's position don't, and stay;
* only pairs (i, j) with j <= i are computed: L(L+1)/2 instead of L^2, and nothing is masked;
* a product of two ciphertexts is one lookup, by 2ab = (a+b)^2 - a^2 - b^2 with the squares of
  single values looked up once;
* the softmax has no maximum: the exponential is scaled by one constant a head. The circuit returns
  sum_j e_ij v_j and sum_j e_ij, and the client, who decrypts both, divides;
* accumulators are rounded to their top bits before a lookup.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np

from fhecost.heads.attention_head import AttentionHead
from fhecost.heads.compact_circuit import CompactHead, Earlier, EarlierOf, HeadRun
from fhecost.heads.head_columns import Calibration, of_tokens
from fhecost.heads.head_quantization import (
    SPARE,
    SPARE_CODES,
    HeadSetting,
    quantize_head,
    signed_bits,
)
from fhecost.heads.low_rank import hadamard_rotation
from fhecost.heads.operators import Operators
from fhecost.heads.pairs import Pairs
from fhecost.heads.parameter_rules import USUAL, ParameterRules
from fhecost.heads.stated import (
    REACH,
    StatedColumns,
    StatedHeads,
    StatedMatrix,
    StatedShape,
    least_error_spread,
)
from fhecost.quantization import FloatArray, IntArray, Quantizer, largest_integer

KEPT_BITS = 6
"""Bits of an accumulator that a lookup reads at least; wider circuits keep ``n_bits`` + 2."""


@dataclass(frozen=True)
class CompactHeads:
    """Several compact heads of a layer on one encrypted input.

    The client quantizes (hidden - ``mean``) @ ``rotation``; a ``mean`` of shape (2, E) is that of
    the first token and that of the others. Each ``sharing`` of them have one key
    and one value, which are computed once.
    """

    mean: FloatArray
    input: Quantizer
    heads: tuple[CompactHead, ...]
    n_bits: int
    rules: ParameterRules = USUAL
    sharing: int = 1

    projected = False

    @cached_property
    def rotation(self) -> FloatArray:
        """What the client turns hidden states by, shape (E, E)."""
        return hadamard_rotation(self.mean.shape[-1])

    def quantize_input(self, hidden: FloatArray) -> IntArray:
        """Integers of normalized hidden states, shape (..., L, E)."""
        integers: IntArray = self.input.quantize(self._turned(hidden))
        return integers

    def saturated(self, hidden: FloatArray) -> int:
        """How many input values fall outside the calibrated range."""
        values = self._turned(hidden)
        return int(np.count_nonzero(np.abs(values) > self.input.scale * (self.input.largest + 0.5)))

    def _turned(self, hidden: FloatArray) -> FloatArray:
        turned: FloatArray = (hidden - of_tokens(self.mean, hidden.shape[-2])) @ self.rotation
        return turned

    def run(self, values: Any, operators: Operators) -> Any:
        """All heads on quantized hidden states.

        Args:
            values: integers of shape (L, E), or Concrete's tracer of one.
            operators: numpy or Concrete.

        Returns:
            integers of shape (L, heads * (d + 1)): twice the weighted sum of a head's values, then
            the sum of its weights.
        """
        parts = self.each(values, operators, lambda one: one.outputs(values))
        return np.concatenate(tuple(output for part in parts for output in part), axis=1)

    def each(
        self,
        values: Any,
        operators: Operators,
        run: Callable[[HeadRun], Any],
        earlier: EarlierOf | None = None,
    ) -> list[Any]:
        """What ``run`` makes of each head on quantized hidden states, side by side.

        ``earlier`` gives what is known of the tokens before those in ``values``, by head.
        """
        alone = Pairs(values.shape[0])

        def of(head: CompactHead, prefix: str, known: Earlier | None) -> HeadRun:
            pairs = alone if known is None else Pairs(alone.tokens, known.key.shape[0])
            return self.of(head, operators, pairs, prefix, known)

        def run_alone(head: CompactHead, prefix: str) -> Any:
            return run(of(head, prefix, earlier and earlier(head)))

        def run_group(heads: tuple[CompactHead, ...], prefix: str) -> list[Any]:
            prefix, known = prefix.replace("head", "group"), earlier and earlier(heads[0])
            first = of(heads[0], prefix, known)
            shared = first.squared(first.keys_and_values(values))
            return operators.side_by_side(
                heads,
                lambda head, inner: run(replace(of(head, prefix + inner, known), shared=shared)),
            )

        if self.sharing == 1:
            return operators.side_by_side(self.heads, run_alone)
        groups = operators.side_by_side(self._groups, run_group)
        return [output for group in groups for output in group]

    @property
    def _groups(self) -> list[tuple[CompactHead, ...]]:
        """The heads by the keys and values that they share; of equal heads, equal groups."""
        size, count = self.sharing, len(self.heads) // self.sharing
        if all(head is self.heads[0] for head in self.heads):
            return [self.heads[:size]] * count
        return [self.heads[start : start + size] for start in range(0, size * count, size)]

    def of(self, head: CompactHead, operators: Operators, pairs: Pairs, *more: Any) -> HeadRun:
        """``head``, one of these, on ``operators``; ``more`` are a prefix and earlier tokens."""
        # Rounding by lookups costs as little in a wider block: each head keeps its own width.
        bits = self.projection_bits if head.exact else head.projection_bits
        return HeadRun(head, operators, pairs, bits, self.kept_bits, *more)

    def dequantize_output(self, integers: Any) -> FloatArray:
        """Real values of what :meth:`run` returned, shape (heads, L, d)."""
        values = []
        start = 0
        for head in self.heads:
            v = head.value_rank
            sums, total = integers[:, start : start + v], integers[:, start + v : start + v + 1]
            values.append(head.real_values(sums, total))
            start += v + 1
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
    return quantize_with(heads, hidden, [compact_setting(n_bits)] * len(heads), n_bits)


def quantize_with(
    heads: Sequence[AttentionHead],
    hidden: FloatArray,
    settings: Sequence[HeadSetting],
    n_bits: int,
    rules: ParameterRules = USUAL,
) -> CompactHeads:
    """Quantize ``heads`` of one layer, each by its own setting, calibrated on ``hidden``.

    They share an input, of the most bits that one of them asks for.

    Raises:
        ImpossibleError: at these widths a tensor of a head is zero for every sentence.
    """
    bits, turns = max(setting.input_bits for setting in settings), heads[0].rotary is not None
    on, entering = Calibration.of(hidden, bits, first_apart=turns)
    quantized = tuple(map(quantize_head, heads, [on] * len(heads), settings))
    return CompactHeads(on.mean, entering, quantized, n_bits, rules)


@cache
def compact_setting(n_bits: int) -> HeadSetting:
    """How this variant quantizes a head when it is asked for ``n_bits``."""
    return HeadSetting(
        input_bits=n_bits + WIDER["input"],
        weight_bits=n_bits,
        score_bits=n_bits,
        value_bits=n_bits + WIDER["value"],
        exponential_bits=n_bits + WIDER["exponential"],
        kept_bits=max(KEPT_BITS, n_bits + 2),
        kept_score_bits=max(KEPT_BITS, n_bits + 2),
    )


WIDER: Mapping[str, int] = {"input": 1, "value": 1, "exponential": 1}
"""Bits that a tensor has beyond ``n_bits``, where its rounding costs most accuracy.

The value's is nearly free: weight + value, which is looked up, has no more bits with it.
"""


def state_compact_heads(shape: StatedShape, _: object = None) -> StatedHeads:
    """Compact heads of a shape: every scale has the least squared error for normal values."""
    return state_with(shape, compact_setting(shape.n_bits))


def state_with(
    shape: StatedShape, setting: HeadSetting, rules: ParameterRules = USUAL
) -> StatedHeads:
    """Heads of a shape as ``setting`` quantizes them, for normal values.

    Columns that are left out are taken to have held nothing: those that are kept then hold as much
    each as all of them would together.
    """
    d, value_bits, exponential_bits = shape.dimension, setting.value_bits, setting.exponential_bits
    r, v = min(setting.score_rank or d, d), min(setting.value_rank or d, d)
    inputs = least_error_spread(setting.input_bits)
    factors = least_error_spread(setting.score_bits)
    if setting.weight_bits:
        product = math.sqrt(shape.width) * inputs * least_error_spread(setting.weight_bits)
    elif setting.product_bits:
        product = (2 ** (setting.product_bits - 1) - 1) / (SPARE * REACH)
    weights = product / (math.sqrt(shape.width) * inputs)
    scores = 2 * REACH * math.sqrt(r) * factors**2
    # Rows whose weights are all large are short: those of a long row sum up to some of the largest.
    largest_sum = 2 * min(shape.seq_len, 2) * (2**exponential_bits - 1)
    attended = largest_sum * largest_integer(value_bits)
    score_divisor, value_divisor = 1.0, 2.0**setting.value_shift
    if setting.score_sum_bits:
        score_divisor = max(1.0, SPARE * scores / (2 ** (setting.score_sum_bits - 1) - 1))
    # In units of their own deviation, which least-error integers of a width spread by.
    factor = Quantizer(1 / factors, setting.score_bits)
    head = CompactHead(
        weight=StatedMatrix(shape.width, 2 * r + v, weights, shape.turns),  # type: ignore[arg-type]
        column_scale=StatedColumns(1 / product),  # type: ignore[arg-type]
        column_offset=StatedColumns(0.0),  # type: ignore[arg-type]
        query=factor,
        key=factor,
        value=Quantizer(1.0, value_bits),
        value_scale=np.full(1, 1 / least_error_spread(value_bits)),
        value_mean=np.zeros(d),
        score_unit=factor.scale**2 / math.sqrt(r) * score_divisor,
        exponential_shift=2.0,
        exponential_bits=exponential_bits,
        projection_bits=signed_bits(SPARE * REACH * product),
        score_bits=signed_bits(SPARE * scores / score_divisor),
        attended_bits=signed_bits(SPARE * attended / value_divisor),
        rank=r,
        value_basis=np.zeros((v, d)) if v < d else None,
        score_divisor=score_divisor,
        value_divisor=value_divisor,
        kept_bits=setting.kept_bits,
        kept_score_bits=setting.kept_score_bits,
        exact=setting.exact,
        spare=SPARE_CODES if shape.turns and not setting.exact else 0,
    )
    heads = (head, *(replace(head) for _ in range(1, shape.heads)))
    entering = Quantizer(1 / inputs, setting.input_bits)
    # Columns that are left out are another head's others; so is what a head that isn't exact fits
    # its columns and their scales to, though it keeps them all.
    sharing = shape.sharing if setting.exact and r == v == d else 1
    stated = CompactHeads(np.zeros(shape.width), entering, heads, shape.n_bits, rules, sharing)
    return StatedHeads(stated, setting.input_bits, inputs)
