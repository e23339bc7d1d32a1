"""What candidates for one partition's choice have in common where they have one ring.

The other partitions' choices stay. What depends on a candidate's ring alone is worked out here,
once for all of them; :mod:`fhecost.closed_form.candidate_costs` adds what depends on its LWE
dimension and the decomposition of its bootstraps.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fhecost.closed_form.search_state import Choice, Choices, SearchedCircuit, Switch
from fhecost.quantization import FloatArray, IntArray

_NOTHING = Choice(0, 0, 0)
_UNKNOWN = Switch(0, 0.0, 0.0, (-1, -1))


class OptimizedConversion(NamedTuple):
    """A conversion that is chosen with the candidate: its ``column`` among the circuit's.

    Shapes (rings,): the rings where it comes from and ``to`` which it leads, the ``dimension`` of
    the key that it comes from, and whether the rings differ: between equal ones it is nothing. ``known_cost`` is as it is
    known, or the least. Where ``required`` isn't None, only candidates are looked at that leave
    room for that variance.
    """

    column: int
    ring: IntArray
    to: IntArray
    dimension: IntArray
    differs: IntArray
    known_cost: FloatArray
    required: FloatArray | None

    def of(self, ring: IntArray) -> tuple[IntArray, IntArray, IntArray]:
        """``to``, ``dimension`` and ``differs`` of candidates of that ``ring``."""
        return self.to.take(ring), self.dimension.take(ring), self.differs.take(ring)


class RingTerms:
    """Terms of candidates for ``partition`` beside what is chosen ``now`` for the others.

    What isn't chosen yet is taken to be as the candidate, with the least noise, at no cost; it is
    ``free`` (P,). ``fixed_ring`` and ``fixed_lwe`` (P,) are those of the others, as indices into
    the search space. The last axis of all other arrays is rings:

    * ``noise`` by constraint, those of the circuit's result last, and ``given_cost``: what comes of
      all but the candidate's own bootstraps, of fixed choices and of given conversions;
    * ``dimension`` by pair: of the keys from which key switches come;
    * ``least_variance`` and ``least_cost`` of each conversion;
    * ``one_more``: the least that one more level of any optimized conversion costs.

    ``optimized`` are the conversions that are chosen with the candidate, by where they lead to;
    those that are known or taken at their least are given.
    """

    def __init__(self, circuit: SearchedCircuit, now: Choices, partition: int) -> None:
        self.circuit, space = circuit, circuit.space
        others = [
            _NOTHING if one is None or of == partition else one
            for of, one in enumerate(now.partitions)
        ]
        self.free = np.array([one is _NOTHING for one in others])
        self.fixed_ring, self.fixed_lwe, level = np.array(others).T
        n = np.where(self.free, 0, space.lwe[self.fixed_lwe])
        self.others_cost = float(circuit.times @ (n * space.bootstraps.cost[self.fixed_ring, level]))
        ring = np.where(self.free[:, None], np.arange(len(space.k)), self.fixed_ring[:, None])
        variance, cost = self._conversions(now, partition, ring)
        self.given_cost = cost.sum(axis=0)
        bootstraps = n * space.bootstraps.noise[self.fixed_ring, level]
        of_all = np.concatenate([space.fresh[ring], variance])
        self.noise = (circuit.coefficients[:, : circuit.count] @ bootstraps)[:, None]
        self.noise = self.noise + circuit.coefficients[:, circuit.count :] @ of_all
        self.dimension = space.dimension[ring][circuit.sources]

    def _conversions(
        self, now: Choices, partition: int, ring: IntArray
    ) -> tuple[FloatArray, FloatArray]:
        """Variance and cost of given conversions, 0 for the others, (conversions, rings)."""
        circuit, table = self.circuit, self.circuit.space.conversions
        own, target = circuit.from_to
        ring, to = ring[own], ring[target]
        differs, dimension = ring != to, circuit.space.dimension[ring]
        scale, times = differs * dimension, circuit.conversion_times[:, None]
        self.least_variance = scale * table.lowest[to]
        self.least_cost = times * (scale * table.cost[to, 0] + differs * table.bias[to])
        known = [now.conversions.get(pair, _UNKNOWN) for pair in circuit.conversions]
        place, known_variance, known_cost, rings = zip(*known, strict=True) if known else ((),) * 4
        rings = np.array(rings, dtype=int).reshape(-1, 2, 1)
        is_known = rings[:, 0] >= 0
        # What is known holds for the rings that it was chosen for.
        holds = differs & (ring == rings[:, 0]) & (to == rings[:, 1])
        variance = np.where(is_known, holds * np.reshape(known_variance, (-1, 1)), self.least_variance)
        cost = np.where(is_known, holds * times * np.reshape(known_cost, (-1, 1)), self.least_cost)
        columns = circuit.optimized[partition]
        self.optimized: dict[int, OptimizedConversion] = {}
        for led_to, column in columns.items():
            source, _ = circuit.conversions[column]
            # The original looks only at candidates for which the known conversion does.
            back = columns.get(source)
            required = is_known[column, 0] and (
                back is None or circuit.conversions[back][0] != led_to
            )
            self.optimized[led_to] = OptimizedConversion(
                column, ring[column], to[column], dimension[column], differs[column],
                cost[column].copy(), variance[column].copy() if required else None,
            )  # fmt: skip
            variance[column] = cost[column] = 0.0
        self.optimized_columns = list(columns.values())
        one_more = np.where(differs, times * dimension * table.slope[to], np.inf)
        self.one_more = one_more[self.optimized_columns].min(axis=0, initial=np.inf)
        return variance, cost
