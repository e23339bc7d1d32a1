"""The best candidates that a search has found so far, and the switches that go with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fhecost.closed_form.candidate_costs import Batch, CandidateCosts, Feasible
from fhecost.closed_form.noise_constraints import Indices
from fhecost.closed_form.search_space import BoolArray
from fhecost.closed_form.search_state import Switch
from fhecost.quantization import FloatArray, IntArray

Switches = dict[Indices, Switch]


class Chosen(NamedTuple):
    """A candidate, what all lookups cost with it, and the switches that go with it."""

    kind: int
    lwe: int
    price: float
    key_switches: Switches
    conversions: Switches


class Found:
    """By step, the ``price`` (steps,) of the best candidate so far, below ``most``.

    ``seen`` are the batches that were looked at, with what they cost; ``best`` is by step in which
    of them the best candidate is, and where there.
    """

    def __init__(self, costs: CandidateCosts, most: FloatArray) -> None:
        self._costs, self.most = costs, most
        self.price = most * (1 - 1e-12)
        self.seen: list[tuple[Batch, Feasible]] = []
        self.best: dict[int, tuple[int, int]] = {}

    def look(self, batch: Batch) -> FloatArray:
        """What ``batch``, sorted by step, costs; the best of a step is kept if it is better."""
        if not len(batch.step):
            return np.empty(0)
        feasible = self._costs.first_feasible(batch)
        cost = feasible.cost
        self.seen.append((batch, feasible))
        starts = np.flatnonzero(np.diff(batch.step, prepend=-1))
        steps, least = batch.step[starts], np.minimum.reduceat(cost, starts)
        better = least < self.price[steps]
        if better.any():
            self.price[steps[better]] = least[better]
            is_better = np.zeros(len(self.price), dtype=bool)
            is_better[steps[better]] = True
            (places,) = ((cost == self.price[batch.step]) & is_better[batch.step]).nonzero()
            of_steps, first = np.unique(batch.step[places], return_index=True)
            last = len(self.seen) - 1
            for step, at in zip(of_steps.tolist(), places[first].tolist(), strict=True):
                self.best[step] = last, at
        return cost

    def others_may_do(self) -> list[int]:
        """Steps where dearer conversions may leave a cost of no more than the best."""
        costs, may = self._costs, np.zeros(len(self.price), dtype=bool)
        if costs.one_more.min() == np.inf:
            return []
        slope = costs.space.key_switches.slope
        into = costs.converted_into()
        for batch, feasible in self.seen:
            room, price = feasible.room, self.price[batch.step]
            # Key switches have one level at least.
            with np.errstate(invalid="ignore"):
                saved = feasible.by_level - room.dimension * slope.take(room.lwe)
                saved *= costs.pair_times(room)
                saved *= into.take(batch.step, axis=1)
                least = feasible.cost + costs.one_more.take(room.ring) - saved.sum(axis=0)
            (which,) = ((least <= price) & (price < np.inf)).nonzero()
            if len(which):
                which = which[costs.floor(feasible, which) <= price[which]]
                may[batch.step[which]] = True
        found: list[int] = may.nonzero()[0].tolist()
        return found

    def chosen(self) -> Iterator[tuple[int, Chosen]]:
        """The best candidate of each step that has one that the original would come to."""
        of_batches: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for step, (seen, at) in self.best.items():
            of_batches[seen].append((step, at))
        for seen, chosen in of_batches.items():
            yield from self._chosen(*self.seen[seen], np.array([at for _, at in chosen]))

    def _chosen(
        self, batch: Batch, feasible: Feasible, at: IntArray
    ) -> Iterator[tuple[int, Chosen]]:
        costs, room, batch = self._costs, feasible.room, batch.taken(at)
        space, optimized = costs.space, costs.terms.optimized
        dimension, lwe, ring = room.dimension[:, at], room.lwe[:, at], room.ring[at]
        place, by_level = feasible.place[:, at], feasible.by_level[:, at]
        table, rings = space.key_switches, len(space.dimension)
        converted, between = (
            of_all[:, at] for of_all in (feasible.converted.place, feasible.converted.between)
        )
        cost = space.between.cost.take(between)
        own, to = np.divmod(optimized.between[:, ring], rings)
        met = self._met(batch, feasible, at, cost)
        figures = zip(
            *(
                of_all.T.tolist()
                for of_all in (
                    *(place, table.noise.ravel().take(place) * dimension),
                    by_level + table.bias.take(lwe),
                    *(converted, space.between.variance.take(between), cost, own, to),
                )
            ),
            strict=True,
        )
        candidates = zip(*(of_all.tolist() for of_all in (*batch, met)), figures, strict=True)
        for step, kind, n, is_met, (places, variances, costs_of, *of_conversions) in candidates:
            if not is_met:
                continue
            circuit, partition = costs.terms.steps[step].circuit, costs.terms.steps[step].partition
            # What is behind those of this circuit fills up the arrays.
            switches = map(Switch, places, variances, costs_of)
            columns = zip(circuit.optimized[partition].values(), *of_conversions, strict=False)
            yield (
                step,
                Chosen(
                    kind,
                    n,
                    float(self.price[step]),
                    dict(zip(circuit.pairs, switches, strict=False)),
                    {
                        circuit.conversions[column]: Switch(to, noise, spent, (own_ring, ring))
                        for column, to, noise, spent, own_ring, ring in columns
                    },
                ),
            )

    def _met(
        self, batch: Batch, feasible: Feasible, at: IntArray, conversions: FloatArray
    ) -> BoolArray:
        """Whether the original comes to these candidates with their ``conversions``, by their cost.

        It takes what is known for what is ahead, which may be dearer and beyond the limit then.
        """
        costs, room = self._costs, feasible.room
        terms, step = costs.terms, batch.step
        ring, dimension = room.ring[at], room.dimension[:, at]
        table = costs.space.key_switches
        beyond = feasible.by_level[:, at] - dimension * table.slope.take(room.lwe[:, at])
        beyond *= terms.circuits.pair_times.T[:, step]
        known = terms.optimized.cost[:, ring] - terms.conversion_times[:, step] * conversions
        behind = np.arange(len(beyond))[:, None]
        met = np.ones(len(at), dtype=bool)
        for column in range(len(known) - 1):
            ahead = known[column + 1 :].sum(axis=0)
            ends = terms.own.ends[step, column]
            ahead -= np.where(behind >= ends, beyond, 0.0).sum(axis=0)
            met &= feasible.cost[at] + ahead <= self.most[step]
        return met
