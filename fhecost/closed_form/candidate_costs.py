"""What candidates for one partition's choice cost while the other partitions' choices stay.

Columns of all arrays are candidates; rows are partitions, pairs of them (key switches from the key
of the first before bootstraps of the second), conversions, or constraints on noise.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fhecost.closed_form.noise_constraints import Indices
from fhecost.closed_form.search_state import Choices, Group, SearchedCircuit, Switch
from fhecost.quantization import FloatArray, IntArray

Switches = dict[Indices, Switch]


class Batch(NamedTuple):
    """Candidates (candidates,), as indices into the search space."""

    ring: IntArray
    lwe: IntArray
    level: IntArray

    def taken(self, which: Any) -> Batch:
        """Some of them."""
        return Batch(self.ring[which], self.lwe[which], self.level[which])

    @property
    def rank(self) -> IntArray:
        """In which order the original comes to them."""
        rank: IntArray = (self.ring * 4096 + self.lwe) * 64 + self.level
        return rank


class View(NamedTuple):
    """A batch as the whole circuit sees it: by partition, shapes (P, candidates).

    ``ring`` and ``lwe`` are indices, ``variance`` is what a bootstrap leaves.
    """

    ring: IntArray
    lwe: IntArray
    n: IntArray
    dimension: IntArray
    modulus_switch: FloatArray
    variance: FloatArray
    fresh: FloatArray


class CandidateCosts:
    """Candidates for ``partition`` beside what is chosen ``now`` for the others.

    What isn't chosen yet is taken to be as the candidate, with the least noise, at no cost; it is
    ``free``. ``optimized`` are the conversions that are chosen with the candidate, by where they
    lead to; the other conversions are ``given``.
    """

    def __init__(self, circuit: SearchedCircuit, now: Choices, partition: int) -> None:
        self.circuit, self.partition = circuit, partition
        self.optimized = circuit.optimized[partition]
        self.given = np.ones(len(circuit.conversions), dtype=bool)
        self.given[list(self.optimized.values())] = False
        others = [one if of != partition else None for of, one in enumerate(now.partitions)]
        self.free = np.array([one is None for one in others])[:, None]
        self._own = (np.arange(circuit.count) == partition)[:, None]
        self._fixed = np.array([one or (0, 0, -1) for one in others]).T[:, :, None]
        space = circuit.space
        self._others_cost = sum(
            times * float(space.lwe[one.lwe] * space.bootstraps.cost[one.ring, one.level])
            for times, one in zip(circuit.times, others, strict=True)
            if one
        )
        unknown = Switch(0, 0.0, 0.0, (-1, -1))
        known = [now.conversions.get(pair, unknown) for pair in circuit.conversions]
        self._known_variance = np.array([one.variance for one in known])[:, None]
        self._known_cost = np.array([one.cost for one in known])[:, None]
        self._known_rings = np.array([one.rings for one in known]).reshape(-1, 2).T[:, :, None]

    def view(self, batch: Batch) -> View:
        """``batch`` as all partitions see it."""
        space = self.circuit.space
        ring = np.where(self.free, batch.ring, self._fixed[0])
        lwe = np.where(self.free, batch.lwe, self._fixed[1])
        level = np.where(self._own, batch.level, self._fixed[2])
        n = space.lwe[lwe]
        return View(
            ring,
            lwe,
            n,
            space.dimension[ring],
            space.modulus_switch[ring, lwe],
            n * space.bootstraps.noise[ring, level],
            space.fresh[ring],
        )

    def noise(self, view: View, conversions: FloatArray) -> tuple[FloatArray, FloatArray]:
        """By constraint, what is there without optimized conversions and without switches.

        And how much optimized ``conversions``, of which these are the variances, may add to the
        circuit's result.
        """
        circuit, given = self.circuit, conversions[self.given]
        noise = self._noise(circuit.rows, view) + circuit.into[:, self.given] @ given
        output = self._noise(circuit.output.tightest, view).max(axis=0)
        return noise, circuit.output_bound - output - circuit.output_into[self.given] @ given

    def _noise(self, rows: FloatArray, view: View) -> FloatArray:
        count = self.circuit.count
        noise: FloatArray = rows[:, :count] @ view.variance
        noise += rows[:, count : 2 * count] @ view.fresh
        return noise

    def least(self, batch: Batch) -> tuple[FloatArray, FloatArray]:
        """Of bootstraps, and key switches of one level: the constant part, and for each of n."""
        circuit, view = self.circuit, self.view(batch)
        dimension, free = view.dimension[circuit.sources], self.free[circuit.readers]
        n = np.where(free, 0, view.n[circuit.readers])
        base = circuit.pair_times @ (dimension * (2.0 * n + 3) - n) + self._others_cost
        slope = circuit.pair_times @ np.where(free, 2.0 * dimension - 1, 0.0)
        each = circuit.space.bootstraps.cost[batch.ring, batch.level]
        return base, slope + circuit.times[self.partition] * each

    def more(self, view: View, allowed: FloatArray, known: FloatArray) -> FloatArray:
        """What conversions, and key switches to known partitions beyond one level, cost at least.

        ``allowed`` (pairs, candidates) is the noise of key switches at most, for each coefficient;
        ``known`` are the costs of conversions as they are.
        """
        circuit, table = self.circuit, self.circuit.space.key_switches
        (fixed,) = np.nonzero(~self.free[circuit.readers, 0])
        lwe = view.lwe[circuit.readers[fixed]]
        cost = table.cost.ravel()[table.cheapest(lwe, allowed[fixed])] - table.cost[lwe, 0]
        cost *= view.dimension[circuit.sources[fixed]]
        more: FloatArray = circuit.pair_times[fixed] @ cost + known[self.given].sum(axis=0)
        for target, column in self.optimized.items():
            ring, own = view.ring[target], circuit.conversions[column][0]
            to, differs = circuit.space.conversions, view.ring[own] != ring
            cheapest = view.dimension[own] * to.cost[ring, 0] + to.bias[ring]
            more += circuit.conversion_times[column] * differs * cheapest
        return more

    def first_feasible(self, batch: Batch) -> tuple[FloatArray, FloatArray]:
        """Costs with the cheapest conversions that leave a solution; what others can't go below.

        Infinite where there is no solution, or nothing to choose.
        """
        circuit, space = self.circuit, self.circuit.space
        view = self.view(batch)
        variance, cost = self.known_conversions(view)
        noise, output_left = self.noise(view, variance)
        left = circuit.bounds[:, None] - view.modulus_switch[circuit.readers]
        lwe, dimension = view.lwe[circuit.readers], view.dimension[circuit.sources]

        def switched(noise: FloatArray) -> FloatArray:
            """The key switches for which ``noise`` leaves room."""
            table = space.key_switches
            allowed = (left - np.maximum.reduceat(noise, circuit.starts, axis=0)) / dimension
            levels = table.cost.ravel()[table.cheapest(lwe, allowed)]
            total: FloatArray = circuit.pair_times @ (dimension * levels + table.bias[lwe])
            return total

        if not self.optimized:
            total = self._bootstraps(batch) + cost.sum(axis=0) + switched(noise)
            infinite = np.full(len(total), np.inf)
            return np.where(output_left >= 0, total, infinite), infinite
        # By constraint, what conversions may add where key switches add the least.
        lowest = space.key_switches.noise[:, -1][lwe]
        room = (left - dimension * lowest)[circuit.row_pairs] - noise
        fits = np.ones(len(batch.ring), dtype=bool)
        more = np.full(len(batch.ring), np.inf)
        least_variance = np.empty_like(variance)
        for target, column in self.optimized.items():
            rows, into = circuit.converted[column]
            allowed = (room[rows] / into).min(axis=0, initial=np.inf)
            if circuit.output_into[column]:
                allowed = np.minimum(allowed, output_left / circuit.output_into[column])
            if self._is_required(column):
                fits &= variance[column] <= allowed
            fits &= allowed >= 0
            own, table = circuit.conversions[column][0], space.conversions
            ring, each = view.ring[target], view.dimension[own]
            differs = view.ring[own] != ring
            index = table.cheapest(ring, allowed / each)
            variance[column] = differs * each * table.noise.ravel()[index]
            least_variance[column] = differs * each * table.noise[ring, -1]
            with_level = each * table.cost.ravel()[index] + table.bias[ring]
            times = circuit.conversion_times[column]
            cost[column] = times * np.where(differs, with_level, 0.0)
            one_more = times * each * table.slope[ring]
            more = np.minimum(more, np.where(differs, one_more, np.inf))
        columns = ~self.given
        into, output_into = circuit.into[:, columns], circuit.output_into[columns]
        base = self._bootstraps(batch) + cost.sum(axis=0)
        fits &= output_left >= output_into @ variance[columns]
        total = base + switched(noise + into @ variance[columns])
        floor = base + more + switched(noise + into @ least_variance[columns])
        return np.where(fits, total, np.inf), np.where(fits, floor, np.inf)

    def switches(self, chosen: Batch, limit: FloatArray) -> tuple[Switches, Switches]:
        """Key switches and conversions of a single candidate."""
        key_switches: Switches = {}
        conversions: Switches = {}
        self.below(chosen, limit, key_switches, conversions)
        return key_switches, conversions

    def below(
        self,
        batch: Batch,
        limit: FloatArray,
        key_switches: Switches | None = None,
        conversions: Switches | None = None,
    ) -> FloatArray:
        """Costs up to a ``limit`` each, or infinite; of a single candidate the switches are kept.

        Of a conversion to be chosen, the original takes the first that leaves the cost no more than
        ``limit``, going from one key to the next; what is ahead costs the least.
        """
        circuit, view = self.circuit, self.view(batch)
        variance, conversion_cost = self.known_conversions(view)
        noise, output_left = self.noise(view, variance)
        floors = self._switch_floors(view)
        cost: FloatArray = self._bootstraps(batch) + conversion_cost[self.given].sum(axis=0)
        ahead = floors.sum(axis=0) + conversion_cost[~self.given].sum(axis=0)
        for group in circuit.groups:
            ahead = ahead - floors[group.pairs].sum(axis=0)
            column = self.optimized.get(group.source)
            if column is None:
                own = self._switched(group, view, noise, output_left, key_switches)
            else:
                ahead = ahead - conversion_cost[column]
                room = limit - cost - ahead
                own = self._chosen(
                    group, view, column, noise, output_left, room, key_switches, conversions
                )
            cost = cost + own
        return cost

    def _chosen(
        self,
        group: Group,
        view: View,
        column: int,
        noise: FloatArray,
        output_left: FloatArray,
        limit: FloatArray,
        key_switches: Switches | None,
        conversions: Switches | None,
    ) -> FloatArray:
        """Cost of the first conversion below ``limit``, and of the switches after it."""
        circuit, table = self.circuit, self.circuit.space.conversions
        own, target = circuit.conversions[column]
        ring, dimension = view.ring[target], view.dimension[own]
        differs = view.ring[own] != ring
        best = np.full(len(ring), np.inf)
        for level in range(table.noise.shape[1]):
            each = dimension * table.cost[ring, level] + table.bias[ring]
            cost = np.where(differs, each, 0.0)
            total = circuit.conversion_times[column] * cost
            open_ = np.isinf(best) & (total <= limit)
            if not open_.any():
                break
            variance = differs * dimension * table.noise[ring, level]
            after = noise + circuit.into[:, column, None] * variance
            left = output_left - circuit.output_into[column] * variance
            total = total + self._switched(group, view, after, left, key_switches)
            taken = open_ & (total <= limit) & np.isfinite(total)
            best[taken] = total[taken]
            if conversions is not None and taken.any():
                rings = int(view.ring[own][0]), int(ring[0])
                index = rings[1] * table.noise.shape[1] + level
                conversions[own, target] = Switch(index, float(variance[0]), float(cost[0]), rings)
        return best

    def _switched(
        self,
        group: Group,
        view: View,
        noise: FloatArray,
        output_left: FloatArray,
        kept: Switches | None,
    ) -> FloatArray:
        """The cost of the cheapest key switches for which ``noise`` leaves room, or infinite."""
        circuit, table = self.circuit, self.circuit.space.key_switches
        cost = np.zeros(len(output_left))
        if group.starts.size:
            readers = circuit.readers[group.pairs]
            worst = np.maximum.reduceat(noise[group.rows], group.starts, axis=0)
            left = circuit.bounds[group.pairs, None] - worst - view.modulus_switch[readers]
            lwe, dimension = view.lwe[readers], view.dimension[group.source]
            index = table.cheapest(lwe, left / dimension)
            each = dimension * table.cost.ravel()[index] + table.bias[lwe]
            cost = circuit.pair_times[group.pairs] @ each
            if kept is not None:
                variances = dimension * table.noise.ravel()[index]
                columns = (column[:, 0].tolist() for column in (index, variances, each))
                for pair, switch in zip(
                    circuit.pairs[group.pairs], zip(*columns, strict=True), strict=True
                ):
                    kept[pair] = Switch(*switch)
        if group.source == circuit.output.source:
            cost = np.where(output_left >= 0, cost, np.inf)
        return cost

    def _is_required(self, column: int) -> bool:
        """Whether the original looks only at candidates for which the known conversion does."""
        own, target = self.circuit.conversions[column]
        back = self.optimized.get(own)
        known = bool(self._known_rings[0, column, 0] >= 0)
        return known and (back is None or self.circuit.conversions[back][0] != target)

    def _bootstraps(self, batch: Batch) -> FloatArray:
        """The cost of all bootstraps."""
        space = self.circuit.space
        each = space.lwe[batch.lwe] * space.bootstraps.cost[batch.ring, batch.level]
        cost: FloatArray = self.circuit.times[self.partition] * each + self._others_cost
        return cost

    def _switch_floors(self, view: View) -> FloatArray:
        """By pair: what its key switches cost with one level."""
        circuit = self.circuit
        n = view.n[circuit.readers]
        each = view.dimension[circuit.sources] * (2.0 * n + 3) - n
        floors: FloatArray = circuit.pair_times[:, None] * each
        return floors

    def known_conversions(self, view: View) -> tuple[FloatArray, FloatArray]:
        """Variance of each conversion and cost of all such, as they are known.

        Else the least of both; and none where what is known holds for other rings.
        """
        circuit, table = self.circuit, self.circuit.space.conversions
        ring, target = view.ring[circuit.from_to[0]], view.ring[circuit.from_to[1]]
        dimension = view.dimension[circuit.from_to[0]]
        known = self._known_rings[0] >= 0
        holds = (ring == self._known_rings[0]) & (target == self._known_rings[1])
        least = dimension * table.noise[target, -1]
        variance = np.where(known, holds * self._known_variance, least)
        cheapest = dimension * table.cost[target, 0] + table.bias[target]
        cost = np.where(known, holds * self._known_cost, cheapest)
        differs = ring != target
        return variance * differs, cost * differs * circuit.conversion_times[:, None]
