"""Ranges of a head's tensors from its shape and bits alone, where there are no weights to look at.

Each rests on one of two statements: what a quantizer can give, or how far a sum of many products
reaches. For the second, values and weights are taken as independent and normal, and a sum to reach
``REACH`` standard deviations among all that calibration sees. Real weights are neither: their sums
come out up to a bit wider or narrower, which is why a profile of stated widths says so.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from statistics import NormalDist

import numpy as np

from fhecost.closed_form.compact_plan import AttentionRanges, CompactRanges
from fhecost.closed_form.ranges import Range, symmetric, unsigned
from fhecost.closed_form.reference_plan import MaximumStep, ReferenceRanges
from fhecost.closed_form.shapes import HeadShape
from fhecost.heads.compact import KEPT_BITS, SPARE, WIDER, signed_bits
from fhecost.heads.compact_attention import WIDER_OUTPUT
from fhecost.heads.reference_rounded import KEPT_BITS as ROUNDED_TO
from fhecost.quantization import largest_integer

REACH = 4.5
"""Standard deviations that the largest of some ten thousand normal values reaches."""

COVERED = 4.0
"""Standard deviations that the largest integer stands for where a scale covers every value."""


@cache
def covered_at_least_error(n_bits: int) -> float:
    """Standard deviations that the largest integer stands for at the least squared error.

    For a symmetric uniform quantizer of 2^n_bits - 1 levels and a normal source, by search over
    the source's quantiles.
    """
    quantile = NormalDist().inv_cdf
    values = np.array([quantile((index + 0.5) / 2000) for index in range(1000, 2000)])
    largest = largest_integer(n_bits)

    def error(covered: float) -> float:
        scale = covered / largest
        restored = np.minimum(np.rint(values / scale), largest) * scale
        return float(((values - restored) ** 2).mean())

    return float(min(np.linspace(0.8, 6.0, 105), key=error))


def stated_reference(shape: HeadShape, n_bits: int) -> ReferenceRanges:
    """Ranges of a reference head at ``n_bits``."""
    largest, d, size = largest_integer(n_bits), shape.dimension, shape.tokens
    spread = largest / COVERED
    sums = _within(REACH * math.sqrt(shape.width) * spread**2)
    biased = Range(0, 3 * largest)
    centred = Range(-int(1.5 * largest), int(1.5 * largest))
    masked, positive = Range(0, 2 * largest), Range(0, largest)
    difference = Range(-2 * largest, 2 * largest)
    return ReferenceRanges(
        input=symmetric(n_bits),
        projection=sums,
        projected=Range(0, 2 * largest),
        biased=biased,
        query_read=centred,
        key_read=centred,
        value_read=centred,
        query=symmetric(n_bits),
        key=symmetric(n_bits),
        value=symmetric(n_bits),
        scores=_within(REACH * math.sqrt(d) * spread**2),
        masked=masked,
        maximum=(MaximumStep(difference, masked, masked),) * (size - 1),
        shifted=Range(-2 * largest, 0) if size > 1 else Range(0, 0),
        exponential=positive,
        # A row of equal scores sums up to as many of the largest integer.
        total=Range(largest, largest * size),
        inverse=positive,
        product=Range(0, largest**2),
        weights=positive,
        output=_within(float(largest**2)),
        factor_bits=n_bits + 1,
        weight_norm2=shape.width * spread**2,
    )


def stated_reference_rounded(shape: HeadShape, n_bits: int) -> ReferenceRanges:
    """Ranges of a reference head whose lookups are rounded, at ``n_bits``."""
    ranges = stated_reference(shape, n_bits)
    read = {
        "projection.requantize": ranges.projection,
        "query.requantize": ranges.query_read,
        "key.requantize": ranges.key_read,
        "value.requantize": ranges.value_read,
        "scores.scale_and_mask": ranges.scores,
        "softmax.maximum": ranges.maximum[0].difference if ranges.maximum else Range(0, 0),
        "softmax.exponential": ranges.shifted,
        "softmax.inverse": ranges.total,
        "softmax.requantize": ranges.product,
    }
    dropped = {stage: values.bits - ROUNDED_TO for stage, values in read.items()}
    return replace(ranges, dropped={stage: bits for stage, bits in dropped.items() if bits > 0})


def stated_compact(shape: HeadShape, n_bits: int) -> CompactRanges:
    """Ranges of a compact head at ``n_bits``."""
    d, attended = shape.dimension, shape.longest_row
    input_bits, value_bits = n_bits + WIDER["input"], n_bits + WIDER["value"]
    weight_bits = n_bits + WIDER["exponential"]
    inputs, weights, factor = (_spread(bits) for bits in (input_bits, n_bits, n_bits))
    largest, most_weight = largest_integer(n_bits), 2**weight_bits - 1
    twice_scores = 2 * REACH * math.sqrt(d) * factor**2
    square = (2 * largest) ** 2
    # d squares of sums of two, whose mean is twice that of one square; some rows have twice that.
    squares = Range(0, min(d * square, int(4 * d * factor**2)))
    value = Range(0, 2 * largest_integer(value_bits))
    weighted = Range(0, most_weight + value.high)
    # Rows whose weights are all large are short: those of a long row sum up to some of the largest.
    sums = 2 * min(attended, 2) * most_weight * largest_integer(value_bits)
    total = attended * most_weight
    squared = Range(0, (most_weight + value.high // 2) ** 2)
    return CompactRanges(
        input=symmetric(input_bits),
        query=symmetric(n_bits),
        key=symmetric(n_bits),
        value=value,
        sums=Range(-2 * largest, 2 * largest),
        squares=squares,
        partial_scores=Range(-int(twice_scores), squares.high // 2),
        scores=_within(twice_scores),
        weights=unsigned(weight_bits),
        total=Range(0, total),
        weighted=weighted,
        squared=squared,
        partial_products=_within(float(squared.high)),
        attended=_within(float(sums)),
        weight_norm2=shape.width * weights**2,
        kept_bits=max(KEPT_BITS, n_bits + 2),
        projection_bits=signed_bits(SPARE * REACH * math.sqrt(shape.width) * inputs * weights),
        sum_bits=n_bits + 1,
        score_bits=signed_bits(SPARE * twice_scores),
        total_bits=total.bit_length(),
        weighted_bits=weighted.bits,
        attended_bits=signed_bits(SPARE * sums),
    )


def stated_attention(shape: HeadShape, n_bits: int) -> AttentionRanges:
    """Ranges of a head of a compact attention at ``n_bits``."""
    head = stated_compact(shape, n_bits)
    kept = symmetric(head.kept_bits)
    return AttentionRanges(
        head=head,
        logarithm=kept,
        score=kept,
        difference=symmetric(head.kept_bits + 1),
        output=symmetric(n_bits + WIDER_OUTPUT),
    )


def stated_product(shape: HeadShape, n_bits: int) -> tuple[Range, int, float]:
    """Of a projection from E to E columns: the range, the width with its reserve, the norm."""
    bits = n_bits + WIDER_OUTPUT
    spread = _spread(bits)
    sums = REACH * math.sqrt(shape.width) * spread**2
    return _within(sums), signed_bits(SPARE * sums), shape.width * spread**2


def _spread(n_bits: int) -> float:
    """Standard deviation of least-error integers of ``n_bits``."""
    return largest_integer(n_bits) / covered_at_least_error(n_bits)


def _within(magnitude: float) -> Range:
    return Range(-int(magnitude), int(magnitude))
