"""The reference head, operation by operation: what :mod:`fhecost.heads.reference` compiles to.

Where all scores of every row are equal (one token; or scores too coarse for their differences),
the exponential is a constant, and the compiler drops all that led to it. With one token the weights
of all heads are the same constants, which it computes once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from fhecost.closed_form.plan import Plan, Wire
from fhecost.closed_form.ranges import Range
from fhecost.closed_form.shapes import HeadShape


@dataclass(frozen=True)
class MaximumStep:
    """One step of the running maximum: the difference, its positive part, the new maximum."""

    difference: Range
    positive: Range
    maximum: Range


@dataclass(frozen=True)
class ReferenceRanges:
    """What each tensor of one head holds; ``maximum`` has L - 1 steps.

    ``factor_bits`` is what a hint makes of the width of the weights that multiply the values,
    ``weight_norm2`` the largest sum of squares of a column of the projection. ``dropped`` is by
    stage what approximate rounding takes from its lookups; empty where they read all bits.
    """

    input: Range
    projection: Range
    projected: Range
    biased: Range
    query_read: Range
    key_read: Range
    value_read: Range
    query: Range
    key: Range
    value: Range
    scores: Range
    masked: Range
    maximum: tuple[MaximumStep, ...]
    shifted: Range
    exponential: Range
    total: Range
    inverse: Range
    product: Range
    weights: Range
    output: Range
    factor_bits: int
    weight_norm2: float
    dropped: Mapping[str, int] = field(default_factory=dict)

    def look_up(self, plan: Plan, prefix: str, stage: str, source: Wire, values: Range) -> Wire:
        """A lookup of ``source``, of whose bits the stage drops what it does."""
        return plan.nearly_rounded_lookup(
            f"{prefix}{stage}", source, values, self.dropped.get(stage, 0)
        )

    @property
    def all_scores_equal(self) -> bool:
        """Whether no score differs from the largest of its row."""
        return self.shifted == (0, 0)


def reference_head(
    plan: Plan,
    hidden: Wire,
    shape: HeadShape,
    ranges: ReferenceRanges,
    prefix: str = "",
    weights: Wire | None = None,
) -> tuple[Wire, Wire]:
    """Write one reference head down.

    Args:
        plan: what it is written into.
        hidden: the encrypted input.
        shape: of the head.
        ranges: of its tensors.
        prefix: what stands before the names of its stages.
        weights: those of another head where the compiler finds both to be the same.

    Returns:
        the result, L * d integers, and the attention weights.
    """
    size, d = shape.tokens, shape.dimension
    biased = _projected(plan, hidden, shape, ranges, prefix)
    value = _part(plan, biased, shape, ranges, prefix, "value")
    if weights is None:
        weights = _weights(plan, biased, shape, ranges, prefix)
    stage = f"{prefix}weighted_values"
    # The program adds a zero so that the hint on the width holds: it costs nothing.
    factors = plan.linear(stage, (weights,), size * size, ranges.weights, width=ranges.factor_bits)
    return plan.product(stage, factors, value, size * d, ranges.output, terms=size), weights


def _weights(
    plan: Plan, biased: Wire, shape: HeadShape, ranges: ReferenceRanges, prefix: str
) -> Wire:
    """The attention weights, L * L integers."""
    size, d = shape.tokens, shape.dimension
    if ranges.all_scores_equal:
        # The exponential of 0 is the largest value that its scale has.
        largest = ranges.exponential.high
        exponential = plan.constant(f"{prefix}softmax.exponential", biased, size * size, largest)
    else:
        query = _part(plan, biased, shape, ranges, prefix, "query")
        key = _part(plan, biased, shape, ranges, prefix, "key")
        scores = plan.product(f"{prefix}scores", query, key, size * size, ranges.scores, terms=d)
        masked = ranges.look_up(plan, prefix, "scores.scale_and_mask", scores, ranges.masked)
        shifted = _without_maximum(plan, masked, shape, ranges, prefix)
        exponential = ranges.look_up(
            plan, prefix, "softmax.exponential", shifted, ranges.exponential
        )
    return _normalized(plan, exponential, shape, ranges, prefix)


def _projected(
    plan: Plan, hidden: Wire, shape: HeadShape, ranges: ReferenceRanges, prefix: str
) -> Wire:
    """The projection with its bias, 3 * L * d integers."""
    n = 3 * shape.dimension * shape.tokens
    product = plan.linear(
        f"{prefix}projection",
        (hidden,),
        n,
        ranges.projection,
        norm2=ranges.weight_norm2,
        tensor=3 * shape.dimension * shape.width,
        clear_multiplication=n * shape.width,
        encrypted_addition=n * shape.width,
    )
    projected = ranges.look_up(plan, prefix, "projection.requantize", product, ranges.projected)
    return plan.linear(f"{prefix}projection.bias", (projected,), n, ranges.biased, clear_addition=n)


def _part(
    plan: Plan,
    biased: Wire,
    shape: HeadShape,
    ranges: ReferenceRanges,
    prefix: str,
    name: Literal["query", "key", "value"],
) -> Wire:
    """Query, key or value, L * d integers."""
    stage, n = f"{name}.requantize", shape.tokens * shape.dimension
    read: Range = getattr(ranges, f"{name}_read")
    result: Range = getattr(ranges, name)
    centred = plan.linear(f"{prefix}{stage}", (biased,), n, read, clear_addition=n)
    return ranges.look_up(plan, prefix, stage, centred, result)


def _without_maximum(
    plan: Plan, scores: Wire, shape: HeadShape, ranges: ReferenceRanges, prefix: str
) -> Wire:
    """Scores less the running maximum of their row, L * L integers."""
    size, pairs = shape.tokens, shape.tokens**2
    maximum, stage = scores, f"{prefix}softmax.maximum"
    for step in ranges.maximum:
        difference = plan.linear(
            stage,
            (scores, maximum),
            size,
            step.difference,
            encrypted_negation=size,
            encrypted_addition=size,
        )
        positive = ranges.look_up(plan, prefix, "softmax.maximum", difference, step.positive)
        maximum = plan.linear(
            stage, (maximum, positive), size, step.maximum, encrypted_addition=size
        )
    plan.waits_for_itself(stage, len(ranges.maximum))
    return plan.linear(
        f"{prefix}softmax.subtract",
        (maximum, scores),
        pairs,
        ranges.shifted,
        encrypted_negation=pairs,
        encrypted_addition=pairs,
    )


def _normalized(
    plan: Plan, exponential: Wire, shape: HeadShape, ranges: ReferenceRanges, prefix: str
) -> Wire:
    """The attention weights of the exponentials, L * L integers."""
    size, pairs = shape.tokens, shape.tokens**2
    if size == 1:
        # The sum of one constant is that constant, and so is its inverse.
        inverse = plan.linear("", (exponential,), 1, ranges.inverse)
    else:
        total = plan.linear(
            f"{prefix}softmax.sum",
            (exponential,),
            size,
            ranges.total,
            norm2=float(size),
            encrypted_addition=pairs,
        )
        inverse = ranges.look_up(plan, prefix, "softmax.inverse", total, ranges.inverse)
    product = plan.product(f"{prefix}softmax.product", inverse, exponential, pairs, ranges.product)
    return ranges.look_up(plan, prefix, "softmax.requantize", product, ranges.weights)
