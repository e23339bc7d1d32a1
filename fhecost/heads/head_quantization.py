"""One compact head from its float weights: what each choice is, and the integers it leads to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from pydantic import ConfigDict

from fhecost.errors import ImpossibleError
from fhecost.heads.attention_head import AttentionHead, attend, causal_mask
from fhecost.heads.blocks import block_diagonal
from fhecost.heads.compact_circuit import CompactHead, HeadRun
from fhecost.heads.low_rank import hadamard_rotation, principal_directions, reduced_scores
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


@dataclass(frozen=True)
class Calibration:
    """What the heads of a layer are calibrated on.

    ``centred`` are normalized hidden states of sentences without their ``mean``, shapes (sentences,
    L, E) and (E,); ``integers`` is what the client makes of them, turned by ``rotation`` and
    quantized in steps of ``scale``.
    """

    mean: FloatArray
    centred: FloatArray
    rotation: FloatArray
    integers: IntArray
    scale: float

    @property
    def length(self) -> int:
        """L, the tokens of a sentence."""
        return int(self.integers.shape[1])

    @classmethod
    def of(cls, hidden: FloatArray, n_bits: int) -> tuple[Calibration, Quantizer]:
        """On ``hidden``, shape (sentences, L, E), inputs of ``n_bits``; and their quantizer."""
        mean = hidden.mean(axis=(0, 1))
        rotation = hadamard_rotation(hidden.shape[-1])
        rotated = (hidden - mean) @ rotation
        quantizer = least_error_quantizer(rotated, n_bits)
        integers = quantizer.quantize(rotated)
        return cls(mean, hidden - mean, rotation, integers, quantizer.scale), quantizer


def quantize_head(head: AttentionHead, on: Calibration, setting: HeadSetting) -> CompactHead:
    """The integers of ``head`` with scales calibrated ``on`` sentences.

    Raises:
        ImpossibleError: at these widths the head's output is zero for a sentence.
    """
    d = head.dimension
    mean = on.mean @ head.weight + head.bias
    means, projected = _means(head, mean, on.length), head.turned(on.centred @ head.weight)
    directions, r, v = _directions(projected + means, setting)
    weight, turning = _weights(head, mean, directions, r, on)
    if setting.product_bits:
        weight_scale, weight_integers = _filling_weight(weight, on.integers, setting.product_bits)
    elif setting.weight_bits:
        weight_scale, weight_integers = _quantized_weight(weight, on.integers, setting.weight_bits)
    column_scale = weight_scale * on.scale
    product = multiplied_in_turn(on.integers, weight_integers) * column_scale
    wanted = projected @ directions
    # What the rounding of weights and inputs shifts on average is put right inside the tables.
    offset = (wanted - product).mean(axis=(0, 1))
    restored = product + offset + means @ directions
    if turning is None:
        offset = offset + means @ directions
    query, key, value = np.split(restored, (r, 2 * r), axis=-1)
    value_scale = least_error_scales(value.reshape(-1, v), setting.value_bits)
    query_quantizer = least_error_quantizer(query, setting.score_bits)
    key_quantizer = least_error_quantizer(key, setting.score_bits)
    integers = query_quantizer.quantize(query), key_quantizer.quantize(key)
    unit = query_quantizer.scale * key_quantizer.scale / np.sqrt(d) * head.score_scale
    values = Quantizer(scale=1.0, n_bits=setting.value_bits)
    restored_value = values.quantize(value / value_scale) * value_scale
    shift = best_shift(unit, *integers, restored_value, setting.exponential_bits)
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
        value_mean=mean[2 * d :],
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
    )
    seen, outputs = _run(compact, on, setting)
    basis = None
    if setting.value_rank:
        exact = attend(head, on.centred + on.mean) - compact.value_mean
        basis = refit(outputs, exact, directions[2 * d :, 2 * r :].T)
    return replace(
        compact,
        value_basis=basis,
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
        if not np.any(outputs[-1]):
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


def _means(head: AttentionHead, mean: FloatArray, tokens: int) -> FloatArray:
    """What of the ``mean`` query, key and value belongs to what is looked up, shape (..., 3d).

    A value's is added by the client. A key's adds the same to all scores of a row, unless it turns
    with its token's position: then there is one for each of ``tokens``, shape (tokens, 3d).
    """
    d = head.dimension
    kept = np.repeat([1.0, 0.0 if head.rotary is None else 1.0, 0.0], d) * mean
    return kept if head.rotary is None else head.turned(np.broadcast_to(kept, (tokens, 3 * d)))


def _weights(
    head: AttentionHead, mean: FloatArray, directions: FloatArray, r: int, on: Calibration
) -> tuple[FloatArray, Callable[[FloatArray, IntArray], TurnedWeights] | None]:
    """Float weights of ``head``, shape (E, 2r + v), or (L, E, 2r + v) where they turn.

    ``directions``, shape (3d, 2r + v), are what query, key and value go to. Where weights turn, the
    second makes turned ones of the scale of each column and the integers.
    """
    d = head.dimension
    if head.rotary is None:
        return on.rotation.T @ (head.weight @ directions), None
    weight = on.rotation.T @ head.weight
    value = weight[:, 2 * d :] @ directions[2 * d :, 2 * r :]
    made = TurnedWeights(
        rows=weight[:, : 2 * d],
        mean=mean[: 2 * d],
        frequencies=head.rotary.frequencies,
        of_query=directions[:d, :r],
        of_key=directions[d : 2 * d, r : 2 * r],
        scale=np.ones(2 * r),
        largest=None,
        value=np.zeros(value.shape, dtype=np.int64),
    )
    each = np.broadcast_to(value, (on.length, *value.shape))
    parts = (made.exact(0, on.length), made.exact(1, on.length), each)

    def turning(scale: FloatArray, integers: IntArray) -> TurnedWeights:
        # Clipped as those are that were seen; beyond the sentences' length none is larger.
        most = int(np.abs(integers).max())
        return replace(made, scale=scale[: 2 * r], largest=most, value=integers[0, :, 2 * r :])

    return np.concatenate(parts, axis=-1), turning


def _directions(projected: FloatArray, setting: HeadSetting) -> tuple[FloatArray, int, int]:
    """What query, key and value columns are multiplied with, shape (3d, 2r + v), and r and v.

    At full rank queries and keys are only turned alike, which spreads what is large in a few of
    their d dimensions over all, as the client's rotation does for the input.
    """
    d = projected.shape[-1] // 3
    query, key, value = np.split(projected.reshape(-1, 3 * d), 3, axis=-1)
    r, v = min(setting.score_rank or d, d), min(setting.value_rank or d, d)
    of_query = of_key = hadamard_rotation(d)
    if r < d:
        of_query, of_key = reduced_scores(query, key, r)
    of_value = principal_directions(value, v) if setting.value_rank else np.eye(d)
    return block_diagonal(of_query, of_key, of_value), r, v


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
    held = ridge * np.trace(moments) / len(moments) * np.eye(len(moments))
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
