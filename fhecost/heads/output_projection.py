"""What all heads of a layer share when their output projection is inside the circuit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fhecost.heads.attention_head import AttentionHead, output_weight
from fhecost.heads.compact import CompactHeads
from fhecost.heads.head_quantization import SPARE, signed_bits
from fhecost.heads.parameter_rules import ParameterRules
from fhecost.heads.stated import REACH, StatedMatrix, least_error_spread
from fhecost.quantization import FloatArray, IntArray, largest_integer, least_error_scales


@dataclass(frozen=True)
class BehindHeads:
    """What stands behind compact ``heads``, which have its input, width and rules."""

    heads: CompactHeads

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


def quantized_projection(weight: FloatArray, n_bits: int) -> tuple[FloatArray, IntArray]:
    """The scales of the columns of ``weight`` and its integers of ``n_bits``."""
    scale, limit = least_error_scales(weight, n_bits), largest_integer(n_bits)
    return scale, np.clip(np.rint(weight / scale), -limit, limit).astype(np.int64)


def clear_offset(
    heads: Sequence[AttentionHead], compact: CompactHeads, missing: FloatArray
) -> FloatArray:
    """What is added in the clear, shape (E,): the values' means, the bias, and rounding's shift.

    ``missing`` is what the quantized projection lacks of the float one's, shape (sentences, L, E).
    """
    both = zip(heads, compact.heads, strict=True)
    means = [quantized.value_mean @ output_weight(head) for head, quantized in both]
    offset: FloatArray = np.sum(means, axis=0) + heads[0].output_bias + missing.mean(axis=(0, 1))
    return offset


def stated_projection(rows: int, columns: int, n_bits: int) -> tuple[StatedMatrix, int]:
    """Weights of ``n_bits``, and the width of their sums with as wide values, with its reserve."""
    spread = least_error_spread(n_bits)
    return (
        StatedMatrix(rows, columns, spread),
        signed_bits(SPARE * REACH * math.sqrt(rows) * spread**2),
    )
