"""When a time has been repeated often enough."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from scipy.stats import binom

CONFIDENCE = 0.95
TIGHT = 0.02
"""Half the width of a tight interval over its median."""


def median_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """The interval between two order statistics that holds the median with 95 % confidence.

    It needs no assumption on the distribution: the number of values below the median is binomial
    (Conover, Practical Nonparametric Statistics, section 3.2). Fewer than six values give None:
    even their whole range is less sure than that.
    """
    count = len(values)
    # The k-th smallest lies above the median when fewer than k of the values are below it.
    cut = int(binom.ppf((1 - CONFIDENCE) / 2, count, 0.5))
    if 2 * binom.cdf(cut - 1, count, 0.5) > 1 - CONFIDENCE or cut == 0:
        return None
    ordered = sorted(values)
    return ordered[cut - 1], ordered[count - cut]


def is_tight(values: Sequence[float]) -> bool:
    """Whether the median is known to 2 %, with 95 % confidence."""
    interval = median_interval(values)
    if interval is None:
        return False
    low, high = interval
    return (high - low) / 2 <= TIGHT * statistics.median(values)
