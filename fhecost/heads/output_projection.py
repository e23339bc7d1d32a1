"""What all heads of a layer share when their output projection is inside the circuit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from fhecost.heads.attention_head import AttentionHead, attend, output_weight
from fhecost.heads.compact import CompactHeads
from fhecost.heads.compact_circuit import CompactHead
from fhecost.heads.head_quantization import SPARE, signed_bits
from fhecost.heads.parameter_rules import ParameterRules
from fhecost.heads.stated import REACH, StatedMatrix, least_error_spread
from fhecost.quantization import FloatArray, IntArray, largest_integer, least_error_scales


@dataclass(frozen=True)
class BehindHeads:
    """What stands behind compact ``heads``, which have its input, width and rules.

    ``column_offset``, shape (E,), is added in the clear: the means of the values, the bias, and
    what rounding shifts on average. ``first_offset``, (E,), is what the first token gets besides,
    behind heads that turn; None behind others.
    """

    heads: CompactHeads
    column_offset: FloatArray = field(kw_only=True)
    first_offset: FloatArray | None = field(default=None, kw_only=True)

    projected = True

    @property
    def rules(self) -> ParameterRules:
        """Those of its heads."""
        return self.heads.rules

    @property
    def n_bits(self) -> int:
        """The width that was asked for."""
        return self.heads.n_bits

    def quantize_input(self, hidden: FloatArray) -> IntArray:
        """Integers of normalized hidden states, shape (L, E)."""
        return self.heads.quantize_input(hidden)

    def saturated(self, hidden: FloatArray) -> int:
        """How many input values fall outside the calibrated range."""
        return self.heads.saturated(hidden)

    def with_offsets(self, values: FloatArray) -> FloatArray:
        """``values`` of a sentence, shape (L, E), and what is added to them in the clear."""
        added: FloatArray = values + self.column_offset
        if self.first_offset is not None:
            added[0] += self.first_offset
        return added


def quantized_projection(weight: FloatArray, n_bits: int) -> tuple[FloatArray, IntArray]:
    """The scales of the columns of ``weight`` and its integers of ``n_bits``."""
    scale, limit = least_error_scales(weight, n_bits), largest_integer(n_bits)
    return scale, np.clip(np.rint(weight / scale), -limit, limit).astype(np.int64)


def without_means(head: AttentionHead, quantized: CompactHead, hidden: FloatArray) -> FloatArray:
    """The float values of ``head`` without the means of the ``quantized`` one's.

    Shape (sentences, L, E) of ``hidden`` to (sentences, L, d).
    """
    values: FloatArray = attend(head, hidden) - quantized.value_mean
    if quantized.first_mean is not None:
        values[:, 0] -= quantized.first_mean
    return values


class ClearOffsets(NamedTuple):
    """What :class:`BehindHeads` adds in the clear, shapes (E,)."""

    column_offset: FloatArray
    first_offset: FloatArray | None


def clear_offsets(
    heads: Sequence[AttentionHead], compact: CompactHeads, missing: FloatArray
) -> ClearOffsets:
    """What is added in the clear: the values' means, the bias, and rounding's shift.

    ``missing`` is what the quantized projection lacks of the float one's, shape (sentences, L, E).
    """
    both = list(zip(heads, compact.heads, strict=True))
    means = np.sum([one.value_mean @ output_weight(head) for head, one in both], axis=0)
    first_means = [
        one.first_mean @ output_weight(head) for head, one in both if one.first_mean is not None
    ]
    if not first_means:
        return ClearOffsets(means + heads[0].output_bias + missing.mean(axis=(0, 1)), None)
    # The first token attends to itself alone: what rounding shifts there is no other token's.
    shift = missing[:, 1:].mean(axis=(0, 1))
    first_offset = np.sum(first_means, axis=0) + missing[:, 0].mean(axis=0) - shift
    return ClearOffsets(means + heads[0].output_bias + shift, first_offset)


def stated_projection(rows: int, columns: int, n_bits: int) -> tuple[StatedMatrix, int]:
    """Weights of ``n_bits``, and the width of their sums with as wide values, with its reserve."""
    spread = least_error_spread(n_bits)
    return (
        StatedMatrix(rows, columns, spread),
        signed_bits(SPARE * REACH * math.sqrt(rows) * spread**2),
    )
