"""Circuit profiles of quantized heads, from what their tensors hold on given sentences."""

from __future__ import annotations

from collections.abc import Sequence

from fhecost.closed_form.compact_plan import (
    AttentionRanges,
    CompactRanges,
    compact_attention,
    compact_head,
)
from fhecost.closed_form.measured import (
    attention_ranges,
    compact_ranges,
    norm2_of,
    projection_range,
    range_of,
    reference_ranges,
)
from fhecost.closed_form.plan import Plan, Wire
from fhecost.closed_form.ranges import Range
from fhecost.closed_form.reference_plan import ReferenceRanges, reference_head
from fhecost.closed_form.shapes import HeadShape, whole_sequence
from fhecost.errors import UsageError
from fhecost.heads.compact import CompactHeads
from fhecost.heads.compact_attention import CompactAttention
from fhecost.heads.reference import ReferenceHeads
from fhecost.heads.variants import QuantizedHeads
from fhecost.quantization import IntArray


def plan_of_quantized(heads: QuantizedHeads, sentences: IntArray) -> Plan:
    """The plan of ``heads``, with the widths that quantized ``sentences`` show.

    Args:
        heads: of any variant.
        sentences: quantized inputs, shape (sentences, L, E).

    Raises:
        UsageError: no closed form of such heads is known.
    """
    seq_len, width = sentences.shape[1:]
    hidden = range_of(sentences)
    if isinstance(heads, ReferenceHeads):
        shape = whole_sequence(width, heads.heads[0].dimension, seq_len)
        return plan_reference(
            shape, hidden, [reference_ranges(head, sentences) for head in heads.heads]
        )
    if isinstance(heads, CompactHeads):
        shape = whole_sequence(width, heads.heads[0].dimension, seq_len)
        return plan_compact(shape, hidden, compact_ranges(heads, sentences))
    if isinstance(heads, CompactAttention):
        shape = whole_sequence(width, heads.heads.heads[0].dimension, seq_len)
        return plan_attention(
            shape,
            hidden,
            attention_ranges(heads, sentences),
            projection_range(heads, sentences),
            heads.product_bits,
            norm2_of(heads.weight),
        )
    raise UsageError(
        f"--no-compile: no closed form of {type(heads).__name__} is known; leave it out"
    )


def plan_reference(shape: HeadShape, hidden: Range, heads: Sequence[ReferenceRanges]) -> Plan:
    """The plan of reference heads of one shape on one input."""
    plan = Plan()
    values = plan.input(shape.tokens * shape.width, hidden)
    outputs: list[Wire] = []
    weights: Wire | None = None
    for ranges, prefix in zip(heads, _prefixes(len(heads)), strict=True):
        output, own = reference_head(plan, values, shape, ranges, prefix, weights)
        outputs.append(output)
        weights = own if shape.tokens == 1 else None
    plan.output(outputs)
    return plan


def plan_compact(shape: HeadShape, hidden: Range, heads: Sequence[CompactRanges]) -> Plan:
    """The plan of compact heads of one shape on one input."""
    plan = Plan()
    values = plan.input(shape.tokens * shape.width, hidden)
    plan.output(
        [
            wire
            for ranges, prefix in zip(heads, _prefixes(len(heads)), strict=True)
            for wire in compact_head(plan, values, shape, ranges, prefix)
        ]
    )
    return plan


def plan_attention(
    shape: HeadShape,
    hidden: Range,
    heads: Sequence[AttentionRanges],
    product: Range,
    product_bits: int,
    product_norm2: float,
) -> Plan:
    """The plan of a whole compact attention."""
    plan = Plan()
    values = plan.input(shape.tokens * shape.width, hidden)
    plan.output(
        [compact_attention(plan, values, shape, heads, product, product_bits, product_norm2)]
    )
    return plan


def _prefixes(count: int) -> list[str]:
    """What stands before the names of each head's stages; nothing before a single head's."""
    return [""] if count == 1 else [f"head{index}." for index in range(count)]
