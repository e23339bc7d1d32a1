"""The compact head and attention, operation by operation: what :mod:`fhecost.gpt2` compiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fhecost.closed_form.plan import Plan, Wire
from fhecost.closed_form.ranges import Range, unsigned
from fhecost.closed_form.shapes import HeadShape


@dataclass(frozen=True)
class CompactRanges:
    """What each tensor of one head holds, and the widths that the program gives its sums.

    ``sums`` is the range of query + key, ``squares`` that of the sums of their squares,
    ``partial_scores`` what is left of these without the queries' own; ``weighted`` is the range of
    weight + value, ``squared`` that of their squares, ``partial_products`` what comes between these
    and the products. ``kept_bits`` is what rounding leaves of a sum.
    """

    input: Range
    query: Range
    key: Range
    value: Range
    sums: Range
    squares: Range
    partial_scores: Range
    scores: Range
    weights: Range
    total: Range
    weighted: Range
    squared: Range
    partial_products: Range
    attended: Range
    weight_norm2: float
    kept_bits: int
    projection_bits: int
    sum_bits: int
    score_bits: int
    total_bits: int
    weighted_bits: int
    attended_bits: int


@dataclass(frozen=True)
class AttentionRanges:
    """What a head of a whole attention holds besides: logarithm, score, probability, output.

    ``head.weights`` are the probabilities.
    """

    head: CompactRanges
    logarithm: Range
    score: Range
    difference: Range
    output: Range


def compact_head(
    plan: Plan, hidden: Wire, shape: HeadShape, ranges: CompactRanges, prefix: str = ""
) -> tuple[Wire, Wire]:
    """Write one compact head down; it returns L * d weighted sums and L sums of weights."""
    scores, value = _scores_and_value(plan, hidden, shape, ranges, prefix)
    weights = plan.lookup(
        f"{prefix}softmax.exponential", scores, ranges.weights, kept=_kept(ranges, scores)
    )
    total = _sum_of_exponentials(plan, scores, shape, ranges, prefix)
    return _weighted_values(plan, weights, value, shape, ranges, prefix), total


def compact_attention(
    plan: Plan,
    hidden: Wire,
    shape: HeadShape,
    heads: Sequence[AttentionRanges],
    product: Range,
    product_bits: int,
    product_norm2: float,
) -> Wire:
    """Write a whole attention down: all heads and the output projection, L * E integers."""
    outputs = [
        attention_head(plan, hidden, shape, ranges, f"head{index}.")
        for index, ranges in enumerate(heads)
    ]
    n = shape.tokens * shape.width
    return plan.linear(
        "output_projection",
        outputs,
        n,
        product,
        width=product_bits,
        norm2=product_norm2,
        tensor=shape.width**2,
        clear_multiplication=n * shape.width,
        encrypted_addition=n * shape.width,
    )


def attention_head(
    plan: Plan,
    hidden: Wire,
    shape: HeadShape,
    ranges: AttentionRanges,
    prefix: str = "",
    *,
    round_sums: bool = False,
) -> Wire:
    """Write one head of an attention down: normalized inside the circuit and requantized.

    ``round_sums`` rounds the sums of exponentials before their logarithm, which the program that
    compiles doesn't do: it reads their whole width, too much beyond some 30 tokens.
    """
    head, pairs = ranges.head, shape.scores
    scores, value = _scores_and_value(plan, hidden, shape, head, prefix)
    total = _sum_of_exponentials(plan, scores, shape, head, prefix)
    stage = f"{prefix}softmax.logarithm"
    if round_sums:
        logarithm = requantized(plan, stage, total, ranges.logarithm, head)
    else:
        logarithm = plan.lookup(stage, total, ranges.logarithm)
    score = plan.lookup(
        f"{prefix}softmax.score", scores, ranges.score, kept=_kept(head, scores)
    )  # fmt: skip
    stage = f"{prefix}softmax.probability"
    difference = plan.linear(
        stage,
        (score, logarithm),
        pairs,
        ranges.difference,
        width=head.kept_bits + 1,
        encrypted_negation=pairs,
        encrypted_addition=pairs,
    )
    probability = plan.lookup(stage, difference, head.weights)
    attended = _weighted_values(plan, probability, value, shape, head, prefix)
    stage = f"{prefix}output.requantize"
    return requantized(plan, stage, attended, ranges.output, head)


def _scores_and_value(
    plan: Plan, hidden: Wire, shape: HeadShape, ranges: CompactRanges, prefix: str
) -> tuple[Wire, Wire]:
    """Rounded scores of all pairs, and values, L * d."""
    d, pairs = shape.dimension, shape.scores
    query, key, value = (
        _projected(plan, hidden, shape, ranges, f"{prefix}{name}", result)
        for name, result in (("query", ranges.query), ("key", ranges.key), ("value", ranges.value))
    )
    stage = f"{prefix}scores"
    sums = plan.linear(
        stage,
        (query, key),
        shape.products,
        ranges.sums,
        width=ranges.sum_bits,
        encrypted_addition=shape.products,
    )
    squares = plan.lookup(stage, sums, ranges.squares)
    own = [plan.lookup(stage, wire, Range(0, 0)) for wire in (query, key)]
    partial = plan.linear(stage, (squares, own[0]), pairs, ranges.partial_scores, norm2=2.0 * d)
    scores = plan.linear(
        stage,
        (partial, own[1]),
        pairs,
        ranges.scores,
        width=ranges.score_bits,
        norm2=3.0 * d,
        encrypted_addition=shape.products + 2 * shape.values + 2 * pairs,
        encrypted_negation=2 * pairs,
    )
    return plan.rounded(f"{prefix}scores.round", scores, ranges.kept_bits), value


def _projected(
    plan: Plan, hidden: Wire, shape: HeadShape, ranges: CompactRanges, stage: str, result: Range
) -> Wire:
    """Query, key or value, L * d integers."""
    n = shape.values
    product = plan.linear(
        stage,
        (hidden,),
        n,
        Range(-1, 0),
        width=ranges.projection_bits,
        norm2=ranges.weight_norm2,
        tensor=shape.width * shape.dimension * shape.heads,
        clear_multiplication=n * shape.width,
        encrypted_addition=n * shape.width,
    )
    return requantized(plan, f"{stage}.requantize", product, result, ranges)


def requantized(plan: Plan, stage: str, sums: Wire, result: Range, ranges: CompactRanges) -> Wire:
    """Sums, rounded to the kept bits and looked up."""
    rounded = plan.rounded(stage, sums, ranges.kept_bits)
    looked_up = plan.lookup(stage, rounded, result, kept=_kept(ranges, sums))
    plan.waits_for_itself(stage, max(0, sums.width - ranges.kept_bits) + 1)
    return looked_up


def _kept(ranges: CompactRanges, sums: Wire) -> int | None:
    """Bits that a lookup reads after rounding; None where there is nothing to round."""
    return ranges.kept_bits if sums.width > ranges.kept_bits else None


def _sum_of_exponentials(
    plan: Plan, scores: Wire, shape: HeadShape, ranges: CompactRanges, prefix: str
) -> Wire:
    """The sums of the exponentials, L integers."""
    stage = f"{prefix}softmax.sum"
    summed = plan.lookup(stage, scores, unsigned(1), kept=_kept(ranges, scores))
    return plan.linear(
        stage,
        (summed,),
        shape.rows,
        ranges.total,
        width=ranges.total_bits,
        norm2=float(shape.longest_row),
        encrypted_addition=shape.scores,
    )


def _weighted_values(
    plan: Plan,
    weights: Wire,
    value: Wire,
    shape: HeadShape,
    ranges: CompactRanges,
    prefix: str,
) -> Wire:
    """Twice the sums of weight times value, L * d integers."""
    stage, products = f"{prefix}weighted_values", shape.products
    sums = plan.linear(
        stage,
        (weights, value),
        products,
        ranges.weighted,
        width=ranges.weighted_bits,
        encrypted_addition=products,
    )
    squares = plan.lookup(stage, sums, ranges.squared)
    own = [plan.lookup(stage, wire, Range(0, 0)) for wire in (weights, value)]
    partial = plan.linear(stage, (squares, *own), products, ranges.partial_products)
    return plan.linear(
        stage,
        (partial,),
        shape.values,
        ranges.attended,
        width=ranges.attended_bits,
        norm2=3.0 * shape.longest_row,
        encrypted_addition=3 * products,
        encrypted_negation=2 * products,
    )
