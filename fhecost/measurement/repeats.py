"""When a time has been repeated often enough."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from scipy.stats import quantile_test

CONFIDENCE = 0.95
TIGHT = 0.02
"""Half the width of a tight interval over its median."""


def median_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """The interval between two order statistics that holds the median with 95 % confidence.

    It needs no assumption on the distribution: the number of values below the median is binomial
    (Conover, Practical Nonparametric Statistics, section 3.2). Fewer than six values give None:
    even their whole range is less sure than that.
    """
    low, high = quantile_test(values, p=0.5).confidence_interval(CONFIDENCE)
    return None if math.isnan(low) else (low, high)


def is_tight(values: Sequence[float]) -> bool:
    """Whether the median is known to 2 %, with 95 % confidence."""
    interval = median_interval(values)
    if interval is None:
        return False
    low, high = interval
    return (high - low) / 2 <= TIGHT * statistics.median(values)
