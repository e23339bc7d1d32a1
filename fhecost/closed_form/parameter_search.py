"""Steps of the optimizer: the best choice for a partition each while the others stay.

Where the original (:mod:`fhecost.closed_form.optimizer`) walks through all rings, LWE dimensions
and decompositions, lower bounds of cost leave some hundred candidates here.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple, Self

import numpy as np

from fhecost.closed_form.candidate_costs import Batch, CandidateCosts
from fhecost.closed_form.found_candidates import Found
from fhecost.closed_form.search_space import LEAST_N, MOST_N, BoolArray
from fhecost.quantization import FloatArray, IntArray

FEW, MANY = 500, 16_000
"""Candidates that are looked at all at once; from where on nearly equal ones are passed over."""

STRIDES = {FEW: (1,), MANY: (8, 1), math.inf: (32, 8, 1)}
"""Of up to so many, each so many-th is looked at first, then those between that may be cheaper."""

FIRST_RINGS, FIRST_OFFSETS = 3, np.arange(0, 512, 32)
"""What is looked at while no cost is known yet: rings, and LWE dimensions above the least."""

SMALL = 8
"""So many LWE dimensions beside each other are all looked at."""


class Windows(NamedTuple):
    """Kinds of bootstraps with the least n that could do, and of what costs have to be at least.

    That is a constant part, ``base``, and a ``slope`` for each of n. Candidates of one step come
    after the other.
    """

    least: Batch
    base: FloatArray
    slope: FloatArray

    def taken(self, which: BoolArray | IntArray) -> Self:
        """Some of them."""
        return self._replace(
            least=self.least.taken(which), base=self.base[which], slope=self.slope[which]
        )

    def may_cost(self, price: FloatArray) -> BoolArray:
        """Which may cost no more than the ``price`` of their step."""
        return self.least_cost() <= price[self.least.step]

    def least_cost(self) -> FloatArray:
        """What they cost at least."""
        cost: FloatArray = self.base + self.slope * (self.least.lwe + LEAST_N)
        return cost

    def ends(self, price: FloatArray) -> IntArray:
        """Behind which LWE dimension they cost more than the ``price`` of their step."""
        n = np.minimum((price[self.least.step] - self.base) / self.slope, MOST_N)
        ends: IntArray = n.astype(int) - (LEAST_N - 1)
        return ends


class Search:
    """The best candidates of the steps of ``costs`` that cost less than ``most`` (steps,) each."""

    def __init__(self, costs: CandidateCosts, most: FloatArray) -> None:
        self.costs = costs
        self.found = Found(costs, most)

    def narrow(self) -> Found:
        """Look at as few as prove what is best, as long as conversions are the cheapest."""
        windows = self._open()
        self._halve(windows.least, windows.ends(self.found.price) - 1)
        return self.found

    def wide(self) -> Found:
        """Look at all that simple bounds leave."""
        self._look_through(self._open())
        return self.found

    def _open(self) -> Windows:
        """All that could do and may cost less than what is known, of which some are looked at."""
        windows = self._windows()
        self._look_first(windows)
        return windows.taken(windows.may_cost(self.found.price))

    def _halve(self, least: Batch, last: IntArray) -> None:
        """Look at what may be best from the ``least`` n to the ``last``, half by half.

        Each is looked at but where a lower bound of cost is above what is found.
        """
        costs, found = self.costs, self.found
        while int((last + 1 - least.lwe).sum()) > FEW:
            base, slope, fits = costs.least_up_to(least, last)
            windows = Windows(least, base, slope)
            fits &= windows.may_cost(found.price)
            windows, last = windows.taken(fits), last[fits]
            least, last = windows.least, np.minimum(last, windows.ends(found.price) - 1)
            last = np.maximum(last, least.lwe)
            # What is dearer than the best of these falls away in the next turn.
            found.look(least._replace(lwe=last))
            small = last - least.lwe <= SMALL
            found.look(_from_least(least.taken(small), last[small], 1)[0])
            least, last = least.taken(~small), last[~small]
            middle = (least.lwe + last) // 2
            least = least.taken(np.arange(len(last)).repeat(2))
            least.lwe[1::2] = middle + 1
            last = np.stack([middle, last - 1], axis=1).ravel()
        found.look(_from_least(least, last + 1, 1)[0])

    def _windows(self) -> Windows:
        costs, kinds, most = self.costs, self.costs.space.kinds, self.found.most
        count = len(most)
        base, slope = costs.least
        room, noise = costs.room_of_rings()
        least, fits = costs.least_lwe(room, costs.allowed(room, room.noise)[0])
        least[~fits] = _BEYOND
        of_rings = least.reshape(count, -1)
        n = (of_rings + LEAST_N).take(kinds.place, axis=1)
        kept = base.reshape(count, -1) + slope.reshape(count, -1) * n <= most[:, None]
        kept &= kinds.noise * n <= noise.reshape(count, -1).take(kinds.place, axis=1)
        kept &= n < _BEYOND
        kept &= np.array([step.circuit.kinds for step in costs.terms.steps])
        (which,) = kept.ravel().nonzero()
        step, kind = np.divmod(which, len(kinds.place))
        batch = Batch(step, kind, n.ravel()[which] - LEAST_N)
        # With the noise of bootstraps of that n, key switches leave a larger one.
        room = costs.room(batch)
        allowed, enough = costs.allowed(room, room.noise)
        least, fits = costs.least_lwe(room, allowed)
        more = costs.more_fixed(room, allowed)
        windows = Windows(Batch(step, kind, least), base[which] + more, slope[which])
        return windows.taken(fits & enough & windows.may_cost(most))

    def _look_first(self, windows: Windows) -> None:
        """Of steps without a price, look at a few n of the first ``windows`` until one can do."""
        unknown = np.isinf(self.found.price)[windows.least.step]
        if not unknown.any():
            return
        windows = windows.taken(unknown)
        order = np.lexsort((windows.least_cost(), windows.least.step))
        batch = windows.least.taken(order)
        rank = np.arange(len(order)) - batch.step.searchsorted(batch.step)
        count = len(self.costs.space.lwe)
        for start in range(0, int(rank.max()) + 1, FIRST_RINGS):
            unknown = np.isinf(self.found.price)[batch.step]
            unknown &= (rank >= start) & (rank < start + FIRST_RINGS)
            if unknown.any():
                self.found.look(_spread(batch.taken(unknown), FIRST_OFFSETS, count)[0])

    def _look_through(self, windows: Windows) -> None:
        """Look at all n of ``windows`` from which lower bounds of cost don't keep."""
        # Up to where the lower bound of cost, which grows with n, exceeds the best known.
        ends = windows.ends(self.found.price)
        sizes = np.maximum(ends - windows.least.lwe, 0)
        of_step = np.bincount(windows.least.step, sizes, len(self.found.price))
        many = of_step[windows.least.step]
        least = 0.0
        for most, strides in STRIDES.items():
            which = (many > least) & (many <= most)
            least = most
            if which.any():
                self._look_by(strides, windows.taken(which), ends[which], many=most > MANY)

    def _look_by(
        self, strides: tuple[int, ...], windows: Windows, ends: IntArray, *, many: bool
    ) -> None:
        ends = np.minimum(ends + (strides[0] - 1), len(self.costs.space.lwe))
        batch, which = _from_least(windows.least, ends, strides[0])
        cost = self.found.look(batch)
        if len(strides) > 1:
            self._look_between(batch, cost, windows.base[which] if many else None, strides)

    def _look_between(
        self, batch: Batch, cost: FloatArray, base: FloatArray | None, strides: tuple[int, ...]
    ) -> None:
        """Look at what was passed over beside those of ``batch`` that are nearly the best.

        ``base`` is the part of ``cost`` that doesn't depend on n, at least, where it is of
        interest.
        """
        lwe = self.costs.space.lwe
        for stride, finer in pairwise(strides):
            # From one n to the next, cost hardly grows faster than n, and what depends on n least
            # so.
            part = (stride - 1) / lwe[batch.lwe]
            near = cost * (1 - part) + (0.0 if base is None else base * part)
            kept = near <= self.found.price[batch.step]
            batch, cost = batch.taken(kept), cost[kept]
            between, which = _spread(batch, np.arange(-finer, -stride, -finer), len(lwe))
            if base is not None:
                base = base[kept]
                base = np.concatenate([base, base[which]])
            order = np.concatenate([batch.step, between.step]).argsort(kind="stable")
            cost = np.concatenate([cost, self.found.look(between)])[order]
            batch = Batch(
                *(np.concatenate(both)[order] for both in zip(batch, between, strict=True))
            )
            base = None if base is None else base[order]


_BEYOND = 1 << 20
"""More than any LWE dimension."""


def _from_least(least: Batch, ends: IntArray, stride: int) -> tuple[Batch, IntArray]:
    """From the ``least`` n on each ``stride``-th, below ``ends``; and of which each one is."""
    sizes = np.maximum(-((least.lwe - ends) // stride), 0)
    which = np.arange(len(sizes)).repeat(sizes)
    lwe = np.arange(len(which)) - (sizes.cumsum() - sizes).take(which)
    return Batch(least.step[which], least.kind[which], least.lwe[which] + stride * lwe), which


def _spread(batch: Batch, offsets: IntArray, ends: int | IntArray) -> tuple[Batch, IntArray]:
    """``batch`` at its n plus each of ``offsets``, below ``ends``; and which of it each one is."""
    lwe = batch.lwe[:, None] + offsets
    shown = (lwe >= 0) & (lwe < np.reshape(ends, (-1, 1)))
    (places,) = shown.ravel().nonzero()
    which = places // len(offsets)
    return Batch(batch.step[which], batch.kind[which], lwe.ravel()[places]), which
