"""How likely at least one of many lookups goes wrong."""

from __future__ import annotations

import math
from collections.abc import Iterable


def error_of_any(errors: Iterable[tuple[float, int]]) -> float:
    """The probability that at least one of independent events happens, from 0 to 1.

    Args:
        errors: probabilities, each with how many events have it.

    Returns:
        1 - the product of (1 - p)^n, as a sum of logarithms: small probabilities aren't lost.
    """
    none = 0.0
    for p_error, count in errors:
        if p_error >= 1 and count > 0:
            return 1.0
        if count > 0:
            none += count * math.log1p(-p_error)
    # From zero, so that nothing is 0 and not -0.
    return 0.0 - math.expm1(none)
