"""How many measured runs lie inside the stated range, and whether that fits what a range claims.

The range of a calibrated constant holds 90 % of what it was fitted to, see
:mod:`fhecost.measurement.fit`, so that is what the range of an estimate claims. The number of runs
inside is then binomial; it fits the claim unless it is among the smallest or the largest outcomes,
which together have 5 %. Runs on one machine aren't independent: a claim that one run misses isn't
refuted.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate
from math import comb

from fhecost.frozen import Frozen

CLAIMED = 0.9
_UNLIKELY = 0.025
"""At each end."""


class Coverage(Frozen):
    """``inside`` of ``runs`` lie in their range, which claims to hold the share ``claimed``.

    So many runs would have from ``least`` to ``most`` inside in 95 % of all cases.
    """

    runs: int
    inside: int
    claimed: float
    least: int
    most: int

    @property
    def fits(self) -> bool:
        """Whether the number is one that the claim lets expect."""
        return self.least <= self.inside <= self.most


def coverage(runs: Iterable[tuple[float, float, float]]) -> Coverage | None:
    """How many of ``runs``, each its low end, what was measured, its high end, are inside.

    None where there is no run.
    """
    inside = [low <= measured <= high for low, measured, high in runs]
    if not inside:
        return None
    least, most = expected(len(inside))
    return Coverage(runs=len(inside), inside=sum(inside), claimed=CLAIMED, least=least, most=most)


def expected(runs: int, claimed: float = CLAIMED) -> tuple[int, int]:
    """The fewest and the most of ``runs`` that are inside but in the unlikely cases."""
    chances = [comb(runs, k) * claimed**k * (1 - claimed) ** (runs - k) for k in range(runs + 1)]
    below = list(accumulate(chances))
    above = list(accumulate(reversed(chances)))
    least = next(k for k, chance in enumerate(below) if chance > _UNLIKELY)
    most = runs - next(k for k, chance in enumerate(above) if chance > _UNLIKELY)
    return least, most
