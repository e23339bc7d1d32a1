"""One compact head from its float weights: what each choice is, and the integers it leads to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from pydantic import ConfigDict

from fhecost.errors import ImpossibleError
from fhecost.heads.attention_head import AttentionHead, attend, causal_mask, probabilities_of
from fhecost.heads.compact_circuit import CompactHead, HeadRun, largest_exponential
from fhecost.heads.head_columns import Calibration, columns_of, levelling, means_of, weights_of
from fhecost.heads.operators import ClearOperators
from fhecost.heads.pairs import Pairs
from fhecost.heads.rotary import TurnedWeights, multiplied_in_turn
from fhecost.quantization import (
    FloatArray,
    IntArray,
    Quantizer,
    largest_integer,
    least_error_quantizer,
    least_error_scales,
)

UNBOUNDED = 60
SPARE = 1.5
"""Accumulators get the bits for this many times the largest value seen in calibration."""
RIDGE = 0.1
"""How far calibration may change what values stand for: it sees few sentences."""
SOME_TOKENS = 8
"""Tokens whose turned weights the scales of weights are found on."""
SPARE_CODES = 1
"""Integers at the ends of types that heads that turn leave alone where lookups may go wrong: of a
real model's exponentials most are nothing or all, and would be read beyond an end."""
COARSER = 1.6
"""By how much the scale of a weight's column may grow to spare all products a bit."""


@dataclass(frozen=True)
class HeadSetting:
    """How a head is quantized.

    Weights have ``weight_bits``, or each column as many as its products need to fill
    ``product_bits``. ``score_bits`` are those of queries and keys; ``score_rank`` of their columns
    are kept and ``value_rank`` of the value's, None for all. Lookups read ``kept_bits`` of a
    product and ``kept_score_bits`` of a score, rounded exactly or, for nothing, nearly. Squares for
    scores are made so small that their sums fill ``score_sum_bits``, None for whole squares; those
    for weighted values go without their ``value_shift`` lowest bits.
    """

    input_bits: int
    score_bits: int
    value_bits: int
    exponential_bits: int
    kept_bits: int
    kept_score_bits: int
    weight_bits: int | None = None
    product_bits: int | None = None
    score_rank: int | None = None
    value_rank: int | None = None
    score_sum_bits: int | None = None
    value_shift: int = 0
    exact: bool = True

    # What else a file says of a setting is refused.
    __pydantic_config__ = ConfigDict(extra="forbid")

    def __post_init__(self) -> None:
        """Raise a ValueError unless all are in range."""
        if (self.weight_bits is None) == (self.product_bits is None):
            raise ValueError("one of weight_bits and product_bits is needed, not both")
        for name, value in vars(self).items():
            if value is None or name == "exact":
                continue
            signed = name.endswith("_bits") and not name.startswith(("kept", "exponential"))
            least = 2 if signed else int(name != "value_shift")
            most = 1024 if "rank" in name else 20
            if name == "value_shift":
                most = most_shift(self.value_bits)
            if isinstance(value, bool) or not least <= value <= most:
                raise ValueError(f"{name} must be from {least} to {most}, not {value}")


def most_shift(bits: int) -> int:
    """Bits that the square of the largest integer of ``bits`` can lose and stay above a half."""
    return (2 * largest_integer(bits) ** 2 - 1).bit_length() - 1


def quantize_head(head: AttentionHead, on: Calibration, setting: HeadSetting) -> CompactHead:
    """The integers of ``head`` with scales calibrated ``on`` sentences.

    Raises:
        ImpossibleError: at these widths the head's output is zero for a sentence.
    """
    d = head.dimension
    mean = np.atleast_2d(on.mean) @ head.weight + head.bias
    means, projected = means_of(head, mean, on.length), head.turned(on.centred @ head.weight)
    exact = attend(head, on.hidden) - mean[-1, 2 * d :]
    directions, back, r, v = columns_of(
        head, projected + means, setting.score_rank, setting.value_rank
    )
    weight, turning = weights_of(head, mean, directions, r, on)
    if setting.product_bits:
        weight_scale, weight_integers = _filling_weight(weight, on.integers, setting.product_bits)
    elif setting.weight_bits:
        weight_scale, weight_integers = _quantized_weight(weight, on.integers, setting.weight_bits)
    column_scale = weight_scale * on.scale
    product = multiplied_in_turn(on.integers, weight_integers) * column_scale
    wanted = projected @ directions
    # What the rounding of weights and inputs shifts on average is put right inside the tables.
    offset = (wanted - product).mean(axis=(0, 1))
    offset = offset - levelling(head, (projected + means) @ directions, r)
    restored = product + offset + means @ directions
    if turning is None:
        offset = offset + means @ directions
    query, key, value = np.split(restored, (r, 2 * r), axis=-1)
    value_scale = least_error_scales(value.reshape(-1, v), setting.value_bits)
    # The first token attends to itself alone, whatever its score is.
    first_row = 0 if turning is None else 1
    query_quantizer = least_error_quantizer(query[:, first_row:], setting.score_bits)
    key_quantizer = least_error_quantizer(key, setting.score_bits)
    integers = query_quantizer.quantize(query), key_quantizer.quantize(key)
    unit = query_quantizer.scale * key_quantizer.scale / np.sqrt(d) * head.score_scale
    values = Quantizer(scale=1.0, n_bits=setting.value_bits)
    restored_value = values.quantize(value / value_scale) * value_scale
    spare = 0 if setting.exact or head.rotary is None else SPARE_CODES
    highest = largest_exponential(setting.exponential_bits, spare)
    shift = best_shift(unit, *integers, restored_value, highest, first_row)
    divisor, centre = 1.0, 0
    if setting.score_sum_bits:
        divisor, centre = _filling_scores(*integers, setting.score_sum_bits)
    compact = CompactHead(
        weight=weight_integers if turning is None else turning(weight_scale, weight_integers),
        column_scale=column_scale,
        column_offset=offset,
        query=query_quantizer,
        key=key_quantizer,
        value=values,
        value_scale=value_scale,
        value_mean=mean[-1, 2 * d :],
        score_unit=unit * divisor,
        exponential_shift=shift,
        exponential_bits=setting.exponential_bits,
        projection_bits=UNBOUNDED,
        score_bits=UNBOUNDED,
        attended_bits=UNBOUNDED,
        rank=r,
        score_divisor=divisor,
        score_centre=centre,
        value_divisor=2.0**setting.value_shift,
        exact=setting.exact,
        spare=spare,
    )
    seen, outputs = _run(compact, on, setting)
    basis, constant = back, np.zeros(d)
    if head.rotary is not None:
        # A row that attends to the first token alone, as most do in some heads, gives a constant.
        constant = (exact - outputs @ basis).mean(axis=(0, 1))
    if setting.value_rank:
        basis = refit(outputs, exact - constant, back)
    first_mean = None
    if head.rotary is not None:
        # The first token attends to itself alone.
        left = (exact - outputs @ basis).mean(axis=0)
        constant = left[1:].mean(axis=0)
        first_mean = left[0] - constant
    return replace(
        compact,
        value_basis=basis if setting.value_rank else None,
        value_mean=compact.value_mean + constant,
        first_mean=first_mean,
        projection_bits=signed_bits(SPARE * seen["projection"]),
        # Squares are rounded: that takes a bit of the reserve that filling left.
        score_bits=max(setting.score_sum_bits, signed_bits(seen["scores"]))
        if setting.score_sum_bits
        else signed_bits(SPARE * seen["scores"]),
        attended_bits=signed_bits(SPARE * seen["attended"]),
        kept_bits=setting.kept_bits,
        kept_score_bits=setting.kept_score_bits,
    )


def _run(
    compact: CompactHead, on: Calibration, setting: HeadSetting
) -> tuple[Mapping[str, int], FloatArray]:
    """What ``compact`` gives on the calibration sentences: largest sums by name, and its values."""
    seen, pairs, outputs = ClearOperators(), Pairs(on.integers.shape[1]), []
    for sentence in on.integers:
        run = HeadRun(compact, seen, pairs, UNBOUNDED, UNBOUNDED)
        outputs.append(compact.values_of(*run.outputs(sentence)))
    silent = [not np.any(output) for output in outputs]
    # Heads that turn are taken from what they give where they attend to the first token alone.
    if all(silent) if isinstance(compact.weight, TurnedWeights) else any(silent):
        raise ImpossibleError(
            f"at {setting.weight_bits or setting.value_bits} bits the head's output is zero on "
            "a calibration sentence; use more bits, another head or another layer"
        )
    return seen.largest, np.stack(outputs)


def _filling_scores(query: IntArray, key: IntArray, bits: int) -> tuple[float, int]:
    """What to divide squares by, and what to take off a score, so that scores fill ``bits``."""
    doubled = 2 * (query @ np.swapaxes(key, -1, -2))[:, causal_mask(query.shape[-2])]
    low, high = int(doubled.min()), int(doubled.max())
    divisor = max(1.0, SPARE * (high - low) / 2 / (2 ** (bits - 1) - 1))
    return divisor, round((low + high) / 2 / divisor)


def refit(
    values: FloatArray, wanted: FloatArray, before: FloatArray, ridge: float = RIDGE
) -> FloatArray:
    """What ``values`` are best multiplied with to give ``wanted``, not far from ``before``.

    Args:
        values: quantized values, shape (..., v).
        wanted: what the float head gives, shape (..., d).
        before: what values that aren't quantized would be multiplied with, shape (v, d).
        ridge: how far to hold back, in units of the columns' mean square.
    """
    columns = values.reshape(-1, values.shape[-1])
    left = wanted.reshape(len(columns), -1) - columns @ before
    moments = columns.T @ columns
    # Where all are zero there is nothing to fit.
    held = (ridge * np.trace(moments) / len(moments) or 1.0) * np.eye(len(moments))
    change: FloatArray = np.linalg.solve(moments + held, columns.T @ left)
    return before + change


def _filling_weight(
    weight: FloatArray, inputs: IntArray, product_bits: int
) -> tuple[FloatArray, IntArray]:
    """Scales of the columns of ``weight`` and its integers, so that all products are as wide."""
    limit = 2 ** (product_bits - 1) - 1
    scale = SPARE * np.abs(multiplied_in_turn(inputs, weight)).max(axis=(0, 1)) / limit
    while True:
        integers = np.rint(weight / scale).astype(np.int64)
        over = SPARE * np.abs(multiplied_in_turn(inputs, integers)).max(axis=(0, 1)) / limit
        if over.max() <= 1:
            return scale, integers
        scale = np.where(over > 1, 1.01 * over, 1.0) * scale


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
        products = multiplied_in_turn(inputs, integers(scale))
        of_columns: FloatArray = SPARE * np.abs(products).max(axis=(0, 1))
        return of_columns

    # Of weights that turn, a few tokens' say how large they are.
    some = weight if weight.ndim == 2 else weight[:: -(-len(weight) // SOME_TOKENS)]
    scale = least_error_scales(some.reshape(-1, weight.shape[-1]), n_bits)
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
    unit: float,
    query: IntArray,
    key: IntArray,
    value: FloatArray,
    largest: int,
    first_row: int = 0,
) -> float:
    """The constant c whose quantized softmax attends most nearly to what the exact one does.

    ``largest`` is the largest integer of an exponential; rows before ``first_row`` don't matter.
    """
    scores = (query @ np.swapaxes(key, -1, -2)) * unit
    scores = np.where(causal_mask(scores.shape[-1]), scores, -np.inf)[:, first_row:]
    exact = probabilities_of(scores) @ value
    highest = float(scores[np.isfinite(scores)].max())

    def error(shift: float) -> float:
        weights = np.clip(np.rint(largest * np.exp(scores - shift)), 0, largest)
        total = np.maximum(weights.sum(axis=-1, keepdims=True), 1)
        return float((((weights / total) @ value - exact) ** 2).mean())

    return float(min(np.linspace(highest - 4, highest, 17), key=error))
