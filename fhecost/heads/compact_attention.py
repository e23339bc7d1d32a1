"""The compact variant of a whole multi-head attention, its output projection included.

The heads of :mod:`fhecost.heads.compact`, normalized inside the circuit, since what comes after
them needs their real proportions: the logarithm r_i of the mean of a row's exponentials is looked
up in units of a rounded score, and the probability is one lookup of the difference::

    r_i = log((1 / (i + 1)) sum_j exp s_ij)
    p_ij = table(s_ij - r_i) = round(f_i / (i + 1) * exp(s_ij - r_i))

No inverse and no product of ciphertexts is needed. f_i grows with the number of tokens that row i
attends to, so that the small probabilities of long rows keep some of the integers. The weighted sum
is requantized to ``n_bits`` and multiplied by the quantized output projection in the clear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import ConfigDict

from fhecost.heads.attention_head import AttentionHead, check_all_heads, output_weight
from fhecost.heads.blocks import block_diagonal
from fhecost.heads.compact import (
    KEPT_BITS,
    CompactHeads,
    quantize_compact_heads,
    state_compact_heads,
)
from fhecost.heads.compact_circuit import CompactHead, EarlierOf, HeadRun
from fhecost.heads.head_quantization import SPARE, UNBOUNDED, refit, signed_bits
from fhecost.heads.operators import ClearOperators, Operators
from fhecost.heads.output_projection import (
    BehindHeads,
    clear_offsets,
    quantized_projection,
    stated_projection,
    without_means,
)
from fhecost.heads.pairs import Pairs
from fhecost.heads.stated import StatedHeads, StatedShape
from fhecost.quantization import (
    FloatArray,
    IntArray,
    Quantizer,
    least_error_quantizer,
    least_error_scales,
)

NAME = "compact-attention"

WIDER_OUTPUT = 1
"""Bits beyond ``n_bits`` of what the projection multiplies: no lookup reads its products."""


@dataclass(frozen=True)
class CompactAttention(BehindHeads):
    """All heads of a layer and the output projection, from hidden states to what c_proj returns.

    ``weight`` holds the integers of the output projection, shape (heads * v, E); a column's product
    stands for product * ``column_scale``, before offsets. ``output`` quantizes the heads' values,
    whose sums have ``attended_bits``; lookups read ``kept_bits`` of these. ``rounds_sums`` is
    whether the sums of exponentials are rounded before their logarithm: read whole, they are too
    wide beyond some 30 tokens.
    """

    probability_bits: int
    focus: float
    output: Quantizer
    weight: IntArray
    column_scale: FloatArray
    attended_bits: int
    product_bits: int
    kept_bits: int
    rounds_sums: bool = False

    def run(self, values: Any, operators: Operators) -> Any:
        """Quantized hidden states to the integers of the projection, shapes (L, E)."""
        products = self.products(values, operators)
        with operators.tag("output_projection"):
            return operators.accumulator("output_projection", products, self.product_bits)

    def products(self, values: Any, operators: Operators, earlier: EarlierOf | None = None) -> Any:
        """The projection's products, shapes (L, E), of as many bits as they take."""
        outputs = self.outputs(values, operators, earlier)
        with operators.tag("output_projection"):
            return np.concatenate(tuple(outputs), axis=1) @ self.weight

    def dequantize_output(self, integers: Any) -> FloatArray:
        """Real values of what :meth:`run` returned, shape (1, L, E)."""
        return self.with_offsets(np.asarray(integers) * self.column_scale)[None]

    def outputs(
        self, values: Any, operators: Operators, earlier: EarlierOf | None = None
    ) -> list[Any]:
        """The heads' values as integers of ``output``, each of shape (L, v).

        ``earlier`` gives what is known of the tokens before the computed ones, by head.
        """

        def run(one: HeadRun) -> Any:
            head = one.head
            attended, share = self.attended(one, values)
            # The mean value is added after the projection, in the clear.
            scale = self.output.scale if head.output_scale is None else head.output_scale
            largest, unit = self.output.largest, self.value_of(head, share) / scale

            def output_of(sums: Any) -> Any:
                return np.clip(np.rint(sums * unit), -largest, largest)

            with one.tag("output.requantize"):
                bits = self.attended_bits if head.exact else head.attended_bits
                rounded = one.accumulator("attended", attended, bits, self.kept_bits)
                return operators.lookup(rounded, output_of, (-largest, largest))

        return self.heads.each(values, operators, run, earlier)

    def value_of(self, head: CompactHead, share: FloatArray) -> FloatArray:
        """What 1 in a weighted sum of ``head`` stands for, shape (L, v)."""
        values: FloatArray = head.value_scale * head.value_divisor / (2 * share[:, None])
        return values

    def attended(self, one: HeadRun, values: Any) -> tuple[Any, FloatArray]:
        """Twice the sum of p v, shape (L, v), and what p is of 1 in each row, shape (L,)."""
        head, operators, pairs = one.head, one.operators, one.pairs
        kept = head.kept_score_bits or one.kept_bits
        dropped = max(0, head.score_bits - kept)
        scores, keys_and_values = one.scores(values)
        unit = head.score_unit / 2 * 2**dropped
        total = one.sum_of_exponentials(scores, one.exponential)
        largest_sum = head.largest_exponential
        lowest, highest = -(2 ** (kept - 1)), 2 ** (kept - 1) - 1
        tokens = pairs.earlier + np.arange(1, pairs.tokens + 1)

        def logarithm_of(sums: Any) -> Any:
            # e = largest_sum * exp(s - shift), so this is log mean exp(s) in units of a score. The
            # mean of a row lies among its scores; the sum would not, in rows of many low scores.
            mean = np.maximum(sums, 0.5) / (largest_sum * tokens[:, None])
            real = np.log(mean) + head.exponential_shift - head.score_centre * head.score_unit / 2
            return np.clip(np.rint(real / unit), lowest, highest)

        with one.tag("softmax.logarithm"):
            if self.rounds_sums:
                total = one.accumulator("total", total, one.sum_bits, kept, signed=False)
            logarithm = operators.lookup(total, logarithm_of, (lowest, highest))
        with one.tag("softmax.score"):
            score = operators.lookup(scores, lambda s: np.rint(s / 2**dropped))
        most = 2**self.probability_bits - 1
        share = most * np.maximum(1.0, tokens / self.focus)

        def probability_of(differences: Any) -> Any:
            rows = pairs.attending.numbers
            of_mean, largest = share[rows] / tokens[rows], np.log(tokens[rows])
            exponential = np.exp(np.minimum(differences * unit, largest))
            exponential = np.where(one.is_alone, 1.0, exponential)
            return np.clip(np.rint(of_mean * exponential), 0, most)

        with one.tag("softmax.probability"):
            flat = logarithm.reshape((pairs.tokens,))
            difference = score - operators.take(flat, pairs.attending)
            difference = operators.narrow(difference, kept + 1)
            probability = operators.lookup(difference, probability_of, (0, most))
        return one.weighted_values(probability, self.probability_bits, keys_and_values), share


@dataclass(frozen=True)
class AttentionSetting:
    """How a whole attention is quantized, beyond its heads.

    Probabilities have ``probability_bits``; what the projection multiplies, and its weights, have
    ``output_bits``; lookups read ``kept_bits`` of a weighted sum.
    """

    probability_bits: int
    output_bits: int
    kept_bits: int

    # What else a file says of a setting is refused.
    __pydantic_config__ = ConfigDict(extra="forbid")

    def __post_init__(self) -> None:
        """Raise a ValueError unless all are in range."""
        for name, value in vars(self).items():
            if isinstance(value, bool) or not 2 <= value <= 20:
                raise ValueError(f"{name} must be from 2 to 20, not {value}")

    @classmethod
    def usual(cls, n_bits: int) -> AttentionSetting:
        """As the compact variant has it."""
        return cls(n_bits + 1, n_bits + WIDER_OUTPUT, max(KEPT_BITS, n_bits + 2))


def quantize_compact_attention(
    heads: Sequence[AttentionHead], hidden: FloatArray, n_bits: int
) -> CompactAttention:
    """Quantize all heads of a layer and their output projection, calibrated on ``hidden``.

    Args:
        heads: all heads of the layer, with their rows of the output projection.
        hidden: normalized hidden states of the calibration sentences, shape (sentences, L, E).
        n_bits: width of weights and of what comes out of lookups.

    Raises:
        FieldError: some heads of the layer are missing.
        ImpossibleError: at this width a tensor of a head is zero for every sentence.
    """
    check_all_heads(heads, hidden.shape[-1])
    compact = quantize_compact_heads(heads, hidden, n_bits)
    return quantize_projected(compact, heads, hidden, AttentionSetting.usual(n_bits))


def quantize_projected(
    compact: CompactHeads,
    heads: Sequence[AttentionHead],
    hidden: FloatArray,
    setting: AttentionSetting,
) -> CompactAttention:
    """The attention of ``compact`` heads, which were made of ``heads``, with their projection.

    Raises:
        FieldError: the heads come without their output projection.
    """
    width, output_bits = hidden.shape[-1], setting.output_bits
    columns = sum(head.value_rank for head in compact.heads)
    weight = np.concatenate([output_weight(head) for head in heads])
    blank = CompactAttention(
        heads=compact,
        probability_bits=setting.probability_bits,
        focus=1.0,
        output=Quantizer(scale=1.0, n_bits=output_bits),
        weight=np.zeros((columns, width), dtype=np.int64),
        column_scale=np.ones(width),
        column_offset=np.zeros(width),
        attended_bits=UNBOUNDED,
        product_bits=UNBOUNDED,
        kept_bits=setting.kept_bits,
    )
    # The float heads' values without the quantized ones' means, shape (sentences, L, E).
    exact = [
        without_means(head, quantized, hidden)
        for head, quantized in zip(heads, compact.heads, strict=True)
    ]
    integers = compact.quantize_input(hidden)

    def outputs(attention: CompactAttention) -> tuple[list[FloatArray], list[int]]:
        """Each head's real values without their means, and its largest sum."""
        largest, values, pairs = [], [], Pairs(integers.shape[1])
        for head in compact.heads:
            one = compact.of(head, ClearOperators(), pairs)
            sums, shares = zip(
                *(attention.attended(one, one_of) for one_of in integers), strict=True
            )
            largest.append(int(np.abs(sums).max()))
            values.append(np.stack(sums) * attention.value_of(head, shares[0]))
        return values, largest

    def error(values: list[FloatArray]) -> float:
        """What is lost of the heads' values."""
        restored = (
            value if head.value_basis is None else value @ head.value_basis
            for value, head in zip(values, compact.heads, strict=True)
        )
        return sum(
            float(((one - wanted) ** 2).mean()) for one, wanted in zip(restored, exact, strict=True)
        )

    candidates = [replace(blank, focus=focus) for focus in (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)]
    tried = [(candidate, *outputs(candidate)) for candidate in candidates]
    chosen, values, largest = min(tried, key=lambda one: error(one[1]))
    attended, wanted = np.concatenate(values, axis=-1), np.concatenate(exact, axis=-1) @ weight
    output = least_error_quantizer(attended, output_bits)
    quantized = output.quantize(attended)
    if any(head.value_basis is not None for head in compact.heads):
        # What the heads' columns stand for is left to the projection: each has its own scale.
        scales = [least_error_scales(one.reshape(-1, one.shape[-1]), output_bits) for one in values]
        output = Quantizer(1.0, output_bits)
        quantized = output.quantize(attended / np.concatenate(scales))
        bases = [basis for head in compact.heads if (basis := head.value_basis) is not None]
        before = block_diagonal(*bases) @ weight
        weight = refit(quantized, wanted, np.concatenate(scales)[:, None] * before)
        with_scales = [
            replace(head, output_scale=scale, attended_bits=signed_bits(SPARE * most))
            for head, scale, most in zip(compact.heads, scales, largest, strict=True)
        ]
        chosen = replace(chosen, heads=replace(compact, heads=tuple(with_scales)))
    weight_scale, weight_integers = quantized_projection(weight, output_bits)
    column_scale = weight_scale * output.scale
    products = quantized @ weight_integers
    return replace(
        chosen,
        output=output,
        weight=weight_integers,
        column_scale=column_scale,
        **clear_offsets(heads, compact, wanted - products * column_scale)._asdict(),
        attended_bits=signed_bits(SPARE * max(largest)),
        product_bits=signed_bits(SPARE * float(np.abs(products).max())),
    )


def state_compact_attention(shape: StatedShape, _: object = None) -> StatedHeads:
    """A whole compact attention of a shape.

    Raises:
        FieldError: some heads of the layer are missing.
    """
    return state_projected(shape, state_compact_heads(shape), AttentionSetting.usual(shape.n_bits))


def state_projected(
    shape: StatedShape, stated: StatedHeads, setting: AttentionSetting
) -> StatedHeads:
    """The attention of ``stated`` compact heads of a shape.

    Raises:
        FieldError: some heads of the layer are missing.
    """
    shape.check_all_heads(NAME)
    columns = sum(head.value_rank for head in stated.heads.heads)
    weight, product_bits = stated_projection(columns, shape.width, setting.output_bits)
    attention = CompactAttention(
        heads=stated.heads,
        probability_bits=setting.probability_bits,
        focus=1.0,
        output=Quantizer(1.0, setting.output_bits),
        weight=weight,  # type: ignore[arg-type]
        column_scale=np.ones(shape.width),
        column_offset=np.zeros(shape.width),
        attended_bits=stated.heads.heads[0].attended_bits,
        product_bits=product_bits,
        kept_bits=setting.kept_bits,
    )
    return replace(stated, heads=attention)
