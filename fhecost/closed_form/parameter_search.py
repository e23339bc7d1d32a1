"""One step of the optimizer: the best choice for one partition while the others stay.

Where the original (:mod:`fhecost.closed_form.optimizer`) walks through all rings, LWE dimensions
and decompositions, a lower bound of cost leaves a few hundred candidates here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from fhecost.closed_form.candidate_costs import Batch, CandidateCosts
from fhecost.closed_form.search_state import Choice, Choices, SearchedCircuit
from fhecost.quantization import FloatArray, IntArray

FEW, MANY = 500, 16_000
"""Candidates that are looked at all at once; from where on nearly equal ones are passed over."""

STRIDES = {FEW: (1,), MANY: (8, 1), math.inf: (32, 8, 1)}
"""Of up to so many, each so many-th is looked at first, then those between that may be cheaper."""

FIRST_RINGS, FIRST_OFFSETS = 3, np.arange(0, 512, 32)
"""What is looked at while no cost is known yet: rings, and LWE dimensions above the least."""


def improved(circuit: SearchedCircuit, now: Choices, partition: int, most: float) -> Choices | None:
    """``now`` with the best choice for ``partition`` that costs less than ``most``, if any."""
    costs = CandidateCosts(circuit, now, partition)
    found = _best(costs, most)
    if found.chosen is None:
        return None
    key_switches, chosen = costs.switches(found.chosen, np.array([found.limit]))
    kind, kinds = int(found.chosen.kind[0]), circuit.space.kinds
    choice = Choice(int(kinds.ring[kind]), int(found.chosen.lwe[0]), int(kinds.level[kind]))
    partitions = (*now.partitions[:partition], choice, *now.partitions[partition + 1 :])
    rings = [one and one.ring for one in partitions]
    # What was chosen for other rings holds no more.
    conversions = {
        (own, target): switch
        for (own, target), switch in {**now.conversions, **chosen}.items()
        if switch.rings == (rings[own], rings[target])
    }
    complete = None not in partitions and len(conversions) == len(circuit.conversions)
    return Choices(partitions, key_switches, conversions, found.price, complete)


@dataclass(eq=False)
class _Found:
    """The best candidate so far, its price, and the ``limit`` of cost under which it has it.

    ``seen`` are batches with their costs and what these can't fall below.
    """

    most: float
    price: float = field(init=False)
    chosen: Batch | None = None
    limit: float = math.inf
    seen: list[tuple[Batch, FloatArray, FloatArray]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.price = self.most * (1 - 1e-12)

    def note(self, batch: Batch, cost: FloatArray, limit: FloatArray | None = None) -> None:
        """Take the best of ``batch`` if it is better; its limit is ``most`` unless it has one."""
        at = int(cost.argmin())
        if cost[at] < self.price:
            self.price, self.chosen = float(cost[at]), batch.taken([at])
            self.limit = self.most if limit is None else float(limit[at])


def _best(costs: CandidateCosts, most: float) -> _Found:
    """The cheapest candidate below ``most``."""
    found = _Found(most)
    lwe = costs.circuit.space.lwe
    pairs, base, slope = _windows(costs, most)
    least = base + slope * lwe[pairs.lwe]
    if math.isinf(most):
        _look_first(costs, found, pairs.taken(least.argsort(kind="stable")))
    near = least <= found.price
    if not near.any():
        return found
    pairs, base, slope = pairs.taken(near), base[near], slope[near]
    # Up to where the lower bound of cost, which grows with n, exceeds the best known.
    ends = np.minimum((found.price - base) / slope, lwe[-1]).astype(int) - (lwe[0] - 1)
    sizes = ends - pairs.lwe
    count = int(sizes.sum())
    strides = next(strides for most_of, strides in STRIDES.items() if count <= most_of)
    reach = int(sizes.max()) + strides[0]
    batch, which = _spread(
        pairs, np.arange(0, reach, strides[0]), np.minimum(ends + (strides[0] - 1), len(lwe))
    )
    cost = _look(costs, found, batch)
    if len(strides) > 1:
        _look_between(costs, found, batch, cost, base[which] if count > MANY else None, strides)
    if costs.optimized:
        _look_later(costs, found)
    return found


def _look_first(costs: CandidateCosts, found: _Found, pairs: Batch) -> None:
    """Look at a few n of the first ``pairs``, until one can do."""
    count = len(costs.circuit.space.lwe)
    for start in range(0, len(pairs.kind), FIRST_RINGS):
        first = pairs.taken(slice(start, start + FIRST_RINGS))
        _look(costs, found, _spread(first, FIRST_OFFSETS, count)[0])
        if not math.isinf(found.price):
            return


def _look_between(
    costs: CandidateCosts,
    found: _Found,
    batch: Batch,
    cost: FloatArray,
    base: FloatArray | None,
    strides: tuple[int, ...],
) -> None:
    """Look at what was passed over beside those of ``batch`` that are nearly the best.

    ``base`` is the part of ``cost`` that doesn't depend on n, at least, where it is of interest.
    """
    lwe = costs.circuit.space.lwe
    for stride, finer in pairwise(strides):
        # From one n to the next, cost hardly grows faster than n, and what depends on n least so.
        part = (stride - 1) / lwe[batch.lwe]
        near = cost * (1 - part) + (0.0 if base is None else base * part) <= found.price
        batch, cost = batch.taken(near), cost[near]
        between, which = _spread(batch, np.arange(-finer, -stride, -finer), len(lwe))
        batch = Batch(*(np.concatenate(both) for both in zip(batch, between, strict=True)))
        if base is not None:
            base = base[near]
            base = np.concatenate([base, base[which]])
        cost = np.concatenate([cost, _look(costs, found, between)])


def _spread(batch: Batch, offsets: IntArray, ends: int | IntArray) -> tuple[Batch, IntArray]:
    """``batch`` at its n plus each of ``offsets``, below ``ends``; and which of it each one is."""
    lwe = batch.lwe[:, None] + offsets
    shown = (lwe >= 0) & (lwe < np.reshape(ends, (-1, 1)))
    (places,) = shown.ravel().nonzero()
    which = places // len(offsets)
    return Batch(batch.kind[which], lwe.ravel()[places]), which


def _look(costs: CandidateCosts, found: _Found, batch: Batch) -> FloatArray:
    """What ``batch`` costs, the best of it being kept in ``found``."""
    if not len(batch.kind):
        return np.empty(0)
    cost, floor = costs.first_feasible(batch)
    found.seen.append((batch, cost, floor))
    found.note(batch, cost)
    return cost


def _look_later(costs: CandidateCosts, found: _Found) -> None:
    """Look again at candidates that are dearer than the best that the original has met before.

    For those it goes further through conversions, as long as these keep them cheaper.
    """
    if all(floor.min() > found.price for _, _, floor in found.seen):
        return
    batches, each_cost, each_floor = zip(*found.seen, strict=True)
    batch = Batch(*(np.concatenate(column) for column in zip(*batches, strict=True)))
    # In the order in which the original comes to them.
    kinds = costs.circuit.space.kinds
    order = np.lexsort((kinds.level[batch.kind], batch.lwe, kinds.ring[batch.kind]))
    batch = batch.taken(order)
    cost, floor = np.concatenate(each_cost)[order], np.concatenate(each_floor)[order]
    price = math.inf
    while found.price < price:
        price = found.price
        before = np.minimum.accumulate(np.concatenate([[found.most], cost[:-1]]))
        (which,) = np.nonzero((cost > before) & (floor <= price))
        if not len(which):
            return
        cost[which] = costs.below(batch.taken(which), before[which])[0]
        found.note(batch.taken(which), cost[which], before[which])


def _windows(costs: CandidateCosts, most: float) -> tuple[Batch, FloatArray, FloatArray]:
    """Rings and decompositions with the least n that could do.

    Along come, by candidate, the constant part and the slope of their least cost, linear in n; what
    costs more than ``most`` is left out.
    """
    lwe = costs.circuit.space.lwe
    base, slope = costs.least
    batch = Batch(np.arange(len(base)), np.zeros(len(base), dtype=int))
    kept = base + slope * lwe[0] <= most
    # Of the least n that key switches leave, other noise is larger: a second time tells more.
    for _ in range(2):
        batch, base, slope = batch.taken(kept), base[kept], slope[kept]
        room = costs.room(batch)
        allowed = costs.allowed(room)
        least, kept = costs.least_lwe(room, allowed)
        least = np.minimum(least, len(lwe) - 1)
        kept &= base + slope * lwe[least] <= most
        batch = Batch(batch.kind, least)
    base = base + costs.more(room, allowed)
    kept &= base + slope * lwe[least] <= most
    return batch.taken(kept), base[kept], slope[kept]
