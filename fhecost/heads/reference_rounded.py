"""The reference variant with rounded lookups, as the published FHE times of 2024 have it.

Before every lookup of one tensor that is wider than 6 bits, the example's last version inserts an
approximate rounding to its 6 most significant bits (``InsertRounding`` in ``preprocessor.py`` of
zama-ai/concrete-ml, use_case_examples/llm, its defaults): the lookup stays one PBS, reads fewer
bits, and may be off by one in the last of them. Products of ciphertexts are not rounded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from fhecost.heads.attention_head import AttentionHead
from fhecost.heads.operators import ClearOperators, Table
from fhecost.heads.reference import (
    ReferenceHead,
    ReferenceHeads,
    quantize_reference_head,
    state_reference_heads,
)
from fhecost.heads.stated import ReadWidths, StatedHeads, StatedShape
from fhecost.quantization import FloatArray
from fhecost.quantization.ranges import Range

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
    quantized = []
    for head in heads:
        reference, seen = quantize_reference_head(head, hidden, n_bits), _Reads()
        for sentence in reference.quantize_input(hidden):
            reference.run(np.asarray(sentence), seen)
        quantized.append(_rounded(reference, seen.widths))
    return ReferenceHeads(tuple(quantized))


def state_reference_rounded(shape: StatedShape, read_widths: ReadWidths) -> StatedHeads:
    """The reference heads of a shape, their lookups rounded."""
    stated = state_reference_heads(shape)
    widths = read_widths(replace(stated, heads=ReferenceHeads(stated.heads.heads[:1])))
    heads = tuple(_rounded(head, widths) for head in stated.heads.heads)
    return replace(stated, heads=ReferenceHeads(heads))


def _rounded(head: ReferenceHead, widths: Mapping[str, int]) -> ReferenceHead:
    """``head``, dropping what its lookups see beyond ``KEPT_BITS``; ``widths`` is by stage."""
    dropped = {stage: bits - KEPT_BITS for stage, bits in widths.items() if bits > KEPT_BITS}
    return replace(head, dropped=dropped)


class _Reads(ClearOperators):
    """Clear operators that remember what the lookups of each stage read."""

    def __init__(self) -> None:
        super().__init__()
        self._stage = ""
        self._seen: dict[str, Range] = defaultdict(lambda: Range(0, 0))

    @property
    def widths(self) -> dict[str, int]:
        """By stage, the width of all that its lookups read."""
        return {stage: seen.bits for stage, seen in self._seen.items()}

    @contextmanager
    def tag(self, name: str) -> Iterator[None]:
        before, self._stage = self._stage, name
        yield
        self._stage = before

    def lookup(self, values: Any, table: Table, bounds: tuple[int, int] | None = None) -> Any:
        self._seen[self._stage] = self._seen[self._stage].reaching(*Range.of(values))
        return super().lookup(values, table, bounds)
