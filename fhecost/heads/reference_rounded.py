"""The reference variant with rounded lookups, as the published FHE times of 2024 have it.

Before every lookup of one tensor that is wider than 6 bits, the example's last version inserts an
approximate rounding to its 6 most significant bits (``InsertRounding`` in ``preprocessor.py`` of
zama-ai/concrete-ml, use_case_examples/llm, its defaults): the lookup stays one PBS, reads fewer
bits, and may be off by one in the last of them. Products of ciphertexts are not rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fhecost.heads.attention_head import AttentionHead
from fhecost.heads.reference import ReferenceHead, ReferenceHeads, quantize_reference_head
from fhecost.quantization import FloatArray

KEPT_BITS = 6
"""Most significant bits that lookups read, as published."""


def quantize_reference_rounded(
    heads: Sequence[AttentionHead], hidden: FloatArray, n_bits: int
) -> ReferenceHeads:
    """Quantize ``heads`` of one layer; the calibration sentences say how wide what is read is.

    Args:
        heads: the float weights.
        hidden: normalized hidden states of the calibration sentences, shape (sentences, L, E).
        n_bits: width of inputs, weights and activations.

    Raises:
        ImpossibleError: at this width some tensor of a head is zero for every sentence.
    """
    return ReferenceHeads(
        tuple(_rounded(quantize_reference_head(head, hidden, n_bits), hidden) for head in heads)
    )


def _rounded(head: ReferenceHead, hidden: FloatArray) -> ReferenceHead:
    """``head``, dropping what its lookups see on ``hidden`` beyond ``KEPT_BITS``."""
    lowest: dict[str, int] = {}
    highest: dict[str, int] = {}

    def read(stage: str, values: Any) -> Any:
        lowest[stage] = min(int(values.min()), lowest.get(stage, 0))
        highest[stage] = max(int(values.max()), highest.get(stage, 0))
        return values

    for sentence in head.quantize_input(hidden):
        head.run(np.asarray(sentence), read=read)
    widths = {stage: _bits(lowest[stage], highest[stage]) for stage in lowest}
    return replace(
        head,
        dropped={stage: bits - KEPT_BITS for stage, bits in widths.items() if bits > KEPT_BITS},
    )


def _bits(low: int, high: int) -> int:
    """Width of the integers from ``low`` to ``high``, with a sign where there are negative ones."""
    if low >= 0:
        return max(1, high.bit_length())
    return max((-low - 1).bit_length(), high.bit_length()) + 1
