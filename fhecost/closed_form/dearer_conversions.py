"""What the original chooses where it goes through conversions further than it has to.

For a candidate that is dearer than the best that it has met before, it goes on from one conversion
to the next as long as that keeps the cost lower; key switches may then be cheaper by more.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fhecost.closed_form.candidate_costs import Batch, CandidateCosts, Room
from fhecost.closed_form.found_candidates import Chosen, Found
from fhecost.closed_form.search_state import Switch
from fhecost.quantization import FloatArray, IntArray


class Switched(NamedTuple):
    """Switches of candidates, (..., candidates); see :class:`Switch`."""

    place: IntArray
    variance: FloatArray
    cost: FloatArray


def looked_later(costs: CandidateCosts, found: Found) -> Chosen | None:
    """The best for a single step of all that was ``found`` and of what may be cheaper later."""
    batch, cost, floor = _in_order(costs, found)
    price, most = float(found.price[0]), float(found.most[0])
    chosen, limit, before_price = None, most, np.inf
    for seen, at in found.best.values():
        chosen = found.seen[seen][0].taken([at])
    while price < before_price:
        before_price = price
        before = np.minimum.accumulate(np.concatenate([[most], cost[:-1]]))
        (which,) = np.nonzero((cost > before) & (floor <= price))
        if not len(which):
            break
        cost[which] = _within(costs, batch.taken(which), before[which])[0]
        at = which[int(cost[which].argmin())]
        if cost[at] < price:
            price, chosen, limit = float(cost[at]), batch.taken([at]), float(before[at])
    return None if chosen is None else limited(costs, chosen, limit, price)


def limited(costs: CandidateCosts, chosen: Batch, limit: float, price: float) -> Chosen:
    """The single candidate that is ``chosen``, with switches that cost up to ``limit`` in all."""
    (step,), optimized = costs.terms.steps, costs.terms.optimized
    circuit, room = step.circuit, costs.room(chosen)
    _, key_switches, conversions = _within(costs, chosen, np.array([limit]))
    rings = np.divmod(optimized.between[:, room.ring[0]], len(costs.space.dimension))
    of_pairs = map(Switch, *(of_all[:, 0].tolist() for of_all in key_switches))
    return Chosen(
        int(chosen.kind[0]),
        int(chosen.lwe[0]),
        price,
        dict(zip(circuit.pairs, of_pairs, strict=True)),
        {
            circuit.conversions[column]: Switch(
                switch.place[0].item(),
                switch.variance[0].item(),
                switch.cost[0].item(),
                (int(own), int(to)),
            )
            for column, switch, own, to in zip(
                circuit.optimized[step.partition].values(), conversions, *rings, strict=False
            )
        },
    )


def _in_order(costs: CandidateCosts, found: Found) -> tuple[Batch, FloatArray, FloatArray]:
    """What was seen, its cost and floor, as the original comes to it."""
    batch = Batch(*map(np.concatenate, zip(*(batch for batch, _ in found.seen), strict=True)))
    cost = np.concatenate([one.cost for _, one in found.seen])
    floor = np.concatenate([costs.floor(one, np.arange(len(one.cost))) for _, one in found.seen])
    kinds = costs.space.kinds
    order = np.lexsort((kinds.level[batch.kind], batch.lwe, kinds.ring[batch.kind]))
    return batch.taken(order), cost[order], floor[order]


def _within(
    costs: CandidateCosts, batch: Batch, limit: FloatArray
) -> tuple[FloatArray, Switched, list[Switched]]:
    """Costs up to a ``limit`` each, or infinite, and the switches that they are of.

    These are key switches by pair and optimized conversions. Of such a conversion, the original
    takes the first that leaves the cost no more than ``limit``, going from one key to the next;
    what is ahead costs the least.
    """
    (step,), room = costs.terms.steps, costs.room(batch)
    circuit, optimized = step.circuit, step.circuit.optimized[step.partition]
    cost, table = costs.base(batch, room), costs.space.key_switches
    times = np.array(circuit.pair_times, dtype=float)
    floors = times[:, None] * room.dimension * table.slope[room.lwe]
    ahead = costs.terms.optimized.cost.take(room.ring, axis=1)
    allowed, fits = costs.allowed(room, room.noise)
    switches = _key_switches(costs, room, slice(None), allowed)
    conversions = []
    for row, (target, column) in enumerate(optimized.items()):
        pairs = circuit.pairs_of(target)
        left = limit - cost - ahead[row + 1 :].sum(axis=0) - floors[pairs.stop :].sum(axis=0)
        left -= times[: pairs.start] @ switches.cost[: pairs.start]
        chosen, own = _first_below(costs, pairs, row, room, left)
        conversions.append(chosen)
        for of_all, of_own in zip(switches, own, strict=True):
            of_all[pairs] = of_own
        cost += circuit.conversion_times[column] * chosen.cost
    cost += times @ switches.cost
    if circuit.output.source not in optimized:
        cost[~fits] = np.inf
    switches.cost[:] += table.bias[room.lwe]
    return cost, switches, conversions


def _first_below(
    costs: CandidateCosts, pairs: slice, row: int, room: Room, limit: FloatArray
) -> tuple[Switched, Switched]:
    """The first conversion ``row`` that costs up to ``limit`` with the key switches of ``pairs``.

    And these. It costs infinitely much where there is none. All levels are tried at once: of
    each candidate, those of its conversion are columns beside each other.
    """
    terms, among = costs.terms, costs.space.between
    times, choices = terms.conversion_times[row], costs.space.conversions.levels.shape[1]
    begins = terms.optimized.between[row].take(room.ring) * choices
    # None that is too dear by itself, but one at least.
    by_level = times * among.cost.take(begins[:, None] + np.arange(choices))
    affordable = (by_level <= limit[:, None]) & (by_level < np.inf)
    width = max(1, int(affordable.sum(axis=1).max()))
    level = np.tile(np.arange(width), len(limit))
    room = Room._make(of_all.repeat(width, axis=-1) for of_all in room)
    place = terms.optimized.to[row].take(room.ring) * choices + level
    between = begins.repeat(width) + level
    each, variance = among.cost.take(between), among.variance.take(between)
    column = terms.circuits.times.shape[1] + terms.own.column[0, row]
    into = terms.circuits.of_others[0, :, column, None]
    allowed, fits = costs.allowed(room, room.noise + into * variance)
    own = _key_switches(costs, room, pairs, allowed)
    total = times * each + terms.circuits.pair_times[0, pairs] @ own.cost
    fits &= (total <= limit.repeat(width)) & np.isfinite(total)
    first = fits.reshape(-1, width).argmax(axis=1)
    first += np.arange(0, len(fits), width)
    cost = np.where(fits[first], each[first], np.inf)
    return (
        Switched(place[first], variance[first], cost),
        Switched._make(of_all[:, first] for of_all in own),
    )


def _key_switches(costs: CandidateCosts, room: Room, pairs: slice, allowed: FloatArray) -> Switched:
    """The cheapest key switches of ``pairs`` with the noise ``allowed``; their cost is by level."""
    table, dimension = costs.space.key_switches, room.dimension[pairs]
    place = table.cheapest(room.lwe[pairs], allowed[pairs])
    variance, cost = (of_all.ravel()[place] * dimension for of_all in (table.noise, table.cost))
    return Switched(place, variance, cost)
