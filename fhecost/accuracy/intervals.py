"""How sure a figure of many positions is, when those of one sentence depend on each other.

A sentence is drawn as a whole: what varies is how sentences differ, not how positions do (W. G.
Cochran, Sampling Techniques, 3rd edition, 1977, sections 9A and 6.4). A ratio of sums over
sentences, sum(y) / sum(x), has the variance n/(n-1) sum((y - ratio x)^2) / sum(x)^2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from scipy.special import stdtrit

CONFIDENCE = 0.95

Interval = tuple[float, float]


def wilson_interval(successes: float, trials: float, reach: float | None = None) -> Interval:
    """Wilson's 95 % score interval of a share (E. B. Wilson, JASA 22, 1927).

    ``reach`` is how many standard deviations it goes to each side, for another share of certainty.
    """
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) if reach is None else reach
    share = successes / trials
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = (
        z * math.sqrt(share * (1 - share) / trials + (z / trials / 2) ** 2) / (1 + z * z / trials)
    )
    return max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share))


def share_interval(kept: Sequence[int], positions: Sequence[int]) -> Interval:
    """Wilson's interval of sum(kept) / sum(positions), for as many positions as these are worth.

    They are worth fewer than they are by as much as sentences differ more than chance has them. Of
    one sentence, and where all or none is kept, nothing is known of that.
    """
    successes, trials, sentences = sum(kept), sum(positions), len(positions)
    share = successes / trials
    if sentences == 1 or share in (0, 1):
        return wilson_interval(successes, trials)
    variance = _variance(kept, positions)
    worth = min(1.0, share * (1 - share) / trials / variance) if variance else 1.0
    reach = float(stdtrit(sentences - 1, (1 + CONFIDENCE) / 2))
    return wilson_interval(successes * worth, trials * worth, reach)


def ratio_interval(above: Sequence[float], below: Sequence[float]) -> Interval | None:
    """The 95 % interval of sum(above) / sum(below), from sentences; None of one alone."""
    if len(below) == 1:
        return None
    ratio = sum(above) / sum(below)
    reach = float(stdtrit(len(below) - 1, (1 + CONFIDENCE) / 2))
    half = reach * math.sqrt(_variance(above, below))
    return ratio - half, ratio + half


def _variance(above: Sequence[float], below: Sequence[float]) -> float:
    """Of sum(above) / sum(below)."""
    y, x = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    left = y - y.sum() / x.sum() * x
    variance = len(x) / (len(x) - 1) * float((left**2).sum()) / float(x.sum()) ** 2
    return variance
