"""Axes that figures share."""

from __future__ import annotations

import math
from collections.abc import Iterable

_FEW_DECADES = 2.5


def log_ticks(values: Iterable[float]) -> int | str:
    """Plotly's ``dtick`` for a log axis: every decade, or 2 and 5 as well where decades are few."""
    known = [value for value in values if value > 0]
    decades = math.log10(max(known) / min(known)) if known else 0.0
    return 1 if decades > _FEW_DECADES else "D2"
