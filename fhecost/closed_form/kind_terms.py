"""What candidates for one partition's choice have in common where their bootstraps are of one kind.

The other partitions' choices stay. What depends on a candidate's ring alone, or on that and how its
bootstraps decompose, is worked out here, once for all of them;
:mod:`fhecost.closed_form.candidate_costs` adds what depends on its LWE dimension.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np

from fhecost.closed_form.search_space import BoolArray
from fhecost.closed_form.search_state import Choice, Choices, SearchedCircuit, Switch
from fhecost.quantization import FloatArray, IntArray

_FREE = Choice(0, 0, 0)
_UNKNOWN = Switch(0, 0.0, 0.0, (-1, -1))


class Conversions(NamedTuple):
    """Conversions between keys, shapes (conversions, rings): from one ``ring`` ``to`` another.

    ``dimension`` is that of the key that it comes from; between equal rings, where ``differs`` is
    0, there is none. ``variance`` and ``cost`` are as they are known for these rings, or the least;
    ``least`` and ``least_cost`` are these in any case.
    """

    ring: IntArray
    to: IntArray
    dimension: IntArray
    differs: BoolArray
    variance: FloatArray
    cost: FloatArray
    least: FloatArray
    least_cost: FloatArray

    @classmethod
    def between(cls, circuit: SearchedCircuit, now: Choices, ring: IntArray) -> Self:
        """Those of ``circuit`` beside what is chosen ``now``, by the ``ring`` of each partition."""
        own, target = circuit.from_to
        ring, to, times = ring[own], ring[target], circuit.conversion_times[:, None]
        differs, dimension = ring != to, circuit.space.dimension[ring]
        scale, table = differs * dimension, circuit.space.conversions
        least = scale * table.lowest[to]
        least_cost = times * (scale * table.slope[to] + differs * table.bias[to])
        known = [now.conversions.get(pair, _UNKNOWN) for pair in circuit.conversions]
        figures = np.array([(one.variance, one.cost, *one.rings) for one in known])
        known_variance, known_cost, known_ring, known_to = figures.reshape(-1, 4).T[:, :, None]
        # What is known holds for the rings that it was chosen for.
        holds = differs & (ring == known_ring) & (to == known_to)
        is_known = known_ring >= 0
        variance = np.where(is_known, holds * known_variance, least)
        cost = np.where(is_known, holds * (times * known_cost), least_cost)
        return cls(ring, to, dimension, differs, variance, cost, least, least_cost)

    def rows(self, columns: list[int]) -> Conversions:
        """Those of the ``columns``."""
        return Conversions._make(of_all[columns] for of_all in self)

    def of(self, ring: IntArray) -> tuple[IntArray, IntArray, BoolArray]:
        """``to``, ``dimension`` and ``differs`` of candidates of each ``ring``."""
        return (
            self.to.take(ring, axis=1),
            self.dimension.take(ring, axis=1),
            self.differs.take(ring, axis=1),
        )


class KindTerms:
    """Terms of candidates for ``partition`` beside what is chosen ``now`` for the others.

    What isn't chosen yet is taken to be as the candidate, with the least noise, at no cost; it is
    ``free`` (P,). ``ring`` and ``lwe`` (P,) are those of the others, as indices into the search
    space. Conversions that are chosen with the candidate are ``optimized``; the others, known or
    taken at their least, are given. The last axis is rings, those of which there are candidates, or
    kinds of bootstraps:

    * ``noise`` (constraints, rings), those of the circuit's result last, and what comes to it for
      each of the candidate's n, ``noise_slope`` (constraints, kinds): without optimized conversions
      and key switches;
    * ``cost`` (rings,) and, for each of n, ``cost_slope`` (kinds,) of bootstraps, given conversions
      and what key switches cost once;
    * ``dimension`` (pairs, rings): of the key that is switched from;
    * of optimized conversions the variance that there must be room for, ``required``, and what one
      level more of any costs at least, ``one_more`` (rings,).
    """

    def __init__(self, circuit: SearchedCircuit, now: Choices, partition: int) -> None:
        space, kinds = circuit.space, circuit.space.kinds
        others = [
            _FREE if one is None or of == partition else one
            for of, one in enumerate(now.partitions)
        ]
        self.free = np.array([one is _FREE for one in others])
        self.ring, self.lwe, level = np.array(others).T
        ring = np.where(self.free[:, None], kinds.rings, self.ring[:, None])
        conversions = Conversions.between(circuit, now, ring)
        columns = circuit.converted[partition].columns
        self.optimized = conversions.rows(columns)
        conversions.variance[columns] = conversions.cost[columns] = 0.0
        n = np.where(self.free, 0, space.lwe[self.lwe])
        fixed = n * space.bootstraps.noise[self.ring, level]
        step = np.where(self.free[:, None], kinds.least_noise, 0.0)
        step[partition] = kinds.noise
        of_bootstraps = circuit.coefficients[:, : circuit.count]
        of_others = circuit.coefficients[:, circuit.count :]
        self.noise_slope = of_bootstraps @ step
        self.noise = of_others @ np.concatenate([space.fresh[ring], conversions.variance])
        self.noise += (of_bootstraps @ fixed)[:, None]
        self.dimension = space.dimension[ring][circuit.sources]
        # Of what a lookup's key switch costs, n is subtracted once.
        of_reader = circuit.pair_times
        self.cost = conversions.cost.sum(axis=0)
        self.cost += float(circuit.times @ (n * space.bootstraps.cost[self.ring, level]))
        self.cost -= float(of_reader @ n[circuit.readers])
        self.cost_slope = circuit.times[partition] * kinds.cost
        self.cost_slope -= float(of_reader @ self.free[circuit.readers])
        each = space.conversions.slope[self.optimized.to] * self.optimized.dimension
        each *= circuit.conversion_times[columns, None]
        self.one_more = np.where(self.optimized.differs, each, np.inf).min(axis=0, initial=np.inf)
        self.required = self.optimized.variance
        pairs = [circuit.conversions[column] for column in columns]
        for row, (own, target) in enumerate(pairs):
            # The original looks only at candidates for which the known conversion does.
            if (own, target) not in now.conversions or (target, own) in pairs:
                self.required[row] = 0.0
