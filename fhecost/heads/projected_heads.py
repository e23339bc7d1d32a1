"""Compact heads with their output projection, head by head: the client divides.

The output projection is a sum over heads, and a division by a row's sum of exponentials can wait
until after it. So each head's weighted sums go through its rows of the projection as they are, in
the clear weights of the circuit, and the client, who decrypts a head's projected sums and its sum
of exponentials, divides and adds the heads up::

    attention(x)_i = sum_h (sum_j e_hij v_hj W_h) / (sum_j e_hij) + constant

No logarithm, no probability and no second requantization is looked up, and none of them costs
accuracy: what :mod:`fhecost.heads.compact_attention` needs since a layer goes on after it, this
does without. It pays with what it returns, E + 1 integers a head and token instead of E.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import ConfigDict

from fhecost.heads.attention_head import AttentionHead, output_weight
from fhecost.heads.compact import CompactHeads
from fhecost.heads.compact_circuit import CompactHead
from fhecost.heads.head_quantization import SPARE, refit, signed_bits
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
from fhecost.quantization import FloatArray, IntArray

HELD_BACK = 1.0
"""How far calibration may not change the projection: the columns of all heads are too many for few
sentences. On unseen text 0.1 errs more, and so does 10."""


@dataclass(frozen=True)
class HeadwiseSetting:
    """How each head's rows of the output projection are quantized: in ``weight_bits``."""

    weight_bits: int

    # What else a file says of a setting is refused.
    __pydantic_config__ = ConfigDict(extra="forbid")

    def __post_init__(self) -> None:
        """Raise a ValueError unless the width is in range."""
        if isinstance(self.weight_bits, bool) or not 2 <= self.weight_bits <= 20:
            raise ValueError(f"weight_bits must be from 2 to 20, not {self.weight_bits}")


@dataclass(frozen=True)
class ProjectedHead:
    """A head and its rows of the output projection.

    ``weight`` are integers of shape (v, E); what a projected sum of column c over a row's sum of
    exponentials stands for is that times ``column_scale`` of c, shape (E,). Projected sums have
    ``product_bits``.
    """

    head: CompactHead
    weight: IntArray
    column_scale: FloatArray
    product_bits: int


@dataclass(frozen=True)
class ProjectedHeads(BehindHeads):
    """All heads of a layer, each with its part of the output projection."""

    parts: tuple[ProjectedHead, ...]

    def run(self, values: Any, operators: Operators) -> Any:
        """Quantized hidden states, shape (L, E), to integers of shape (L, heads * (E + 1)).

        Of each head twice the projected sums, then the sum of exponentials.
        """
        pairs = Pairs(values.shape[0])

        def run(part: ProjectedHead, prefix: str) -> tuple[Any, Any]:
            one = self.heads.of(part.head, operators, pairs, prefix)
            sums, total = one.outputs(values)
            with one.tag("output_projection"):
                product = sums @ part.weight
                return one.accumulator("output_projection", product, part.product_bits), total

        parts = operators.side_by_side(self.parts, run)
        return np.concatenate(tuple(output for part in parts for output in part), axis=1)

    def dequantize_output(self, integers: Any) -> FloatArray:
        """Real values of what :meth:`run` returned, shape (1, L, E)."""
        width = len(self.column_offset)
        by_head = np.asarray(integers).reshape(len(integers), len(self.parts), width + 1)
        ratios = by_head[..., :-1] / np.maximum(by_head[..., -1:], 1)
        scales = np.stack([part.column_scale for part in self.parts])
        return self.with_offsets((ratios * scales).sum(axis=1))[None]


def project_headwise(
    compact: CompactHeads,
    heads: Sequence[AttentionHead],
    hidden: FloatArray,
    setting: HeadwiseSetting,
) -> ProjectedHeads:
    """``compact`` heads, which were made of all ``heads`` of a layer, with their projection.

    The projection is fitted anew to what the quantized heads give on ``hidden``, normalized hidden
    states of shape (sentences, L, E).

    Raises:
        FieldError: the heads come without their output projection.
    """
    integers, pairs = compact.quantize_input(hidden), Pairs(hidden.shape[1])
    both = list(zip(heads, compact.heads, strict=True))
    sums, averages = [], []
    for head in compact.heads:
        one = compact.of(head, ClearOperators(), pairs)
        of_sentences, totals = map(np.stack, zip(*map(one.outputs, integers), strict=True))
        sums.append(of_sentences)
        averages.append(of_sentences / np.maximum(totals, 1))
    # The float heads' values without the quantized ones' means, through the projection.
    wanted = np.sum(
        [without_means(head, one, hidden) @ output_weight(head) for head, one in both], axis=0
    )
    before = np.concatenate([_unquantized(head, one) for head, one in both])
    every = np.concatenate(averages, axis=-1)
    # The fit holds back all columns alike, so they have to be of a size.
    spread = np.maximum(every.std(axis=(0, 1)), np.finfo(float).tiny)
    fitted = refit(every / spread, wanted, before * spread[:, None], HELD_BACK) / spread[:, None]

    parts, given, row = [], np.zeros_like(wanted), 0
    for (_, quantized), of_one, average in zip(both, sums, averages, strict=True):
        weight = fitted[row : row + quantized.value_rank]
        row += quantized.value_rank
        scale, whole = quantized_projection(weight, setting.weight_bits)
        bits = signed_bits(SPARE * float(np.abs(of_one @ whole).max()))
        parts.append(ProjectedHead(quantized, whole, scale, bits))
        given = given + (average @ whole) * scale
    offsets = clear_offsets(heads, compact, wanted - given)
    return ProjectedHeads(compact, tuple(parts), **offsets._asdict())


def state_headwise(
    shape: StatedShape, stated: StatedHeads, setting: HeadwiseSetting
) -> StatedHeads:
    """The projected heads of ``stated`` compact heads of a shape.

    Raises:
        FieldError: some heads of the layer are missing.
    """
    shape.check_all_heads("an output projection")
    compact: CompactHeads = stated.heads
    head = compact.heads[0]
    weight, _ = stated_projection(head.value_rank, shape.width, setting.weight_bits)
    # As far as a sum of that many independent columns goes beyond one.
    bits = signed_bits(2 ** (head.attended_bits - 1) * np.sqrt(weight.norm2))
    part = ProjectedHead(head, weight, np.ones(shape.width), bits)  # type: ignore[arg-type]
    parts = tuple(replace(part, head=one) for one in compact.heads)
    projected = ProjectedHeads(compact, parts, column_offset=np.zeros(shape.width))
    return replace(stated, heads=projected)


def _unquantized(head: AttentionHead, compact: CompactHead) -> FloatArray:
    """What averages of ``compact`` are multiplied with if nothing is fitted, shape (v, E)."""
    of_one = compact.value_scale * (compact.value_divisor / 2)
    rows = output_weight(head)
    values: FloatArray = rows if compact.value_basis is None else compact.value_basis @ rows
    return of_one[:, None] * values
