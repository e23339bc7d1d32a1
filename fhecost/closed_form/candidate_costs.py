"""What candidates for one partition's choice cost while the other partitions' choices stay.

Columns of all arrays are candidates; rows are pairs of partitions (key switches from the key of the
first before bootstraps of the second), conversions, or constraints on noise.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np

from fhecost.closed_form.kind_terms import Conversions, KindTerms
from fhecost.closed_form.noise_constraints import Indices
from fhecost.closed_form.search_space import BoolArray
from fhecost.closed_form.search_state import Choices, Group, SearchedCircuit, Switch
from fhecost.quantization import FloatArray, IntArray

Switches = dict[Indices, Switch]


class Batch(NamedTuple):
    """Candidates (candidates,): a kind of bootstraps and an LWE dimension each.

    Both are indices into the search space.
    """

    kind: IntArray
    lwe: IntArray

    def taken(self, which: Any) -> Batch:
        """Some of them."""
        return Batch(self.kind[which], self.lwe[which])


class Room(NamedTuple):
    """What candidates leave for switches.

    By constraint the ``noise`` that is there without optimized conversions and without key
    switches, and how much these ``may_add`` to the circuit's result (candidates,). By pair, what is
    ``left`` of a lookup's bound, and the ``lwe`` and ``dimension`` between which a key switch is.
    """

    noise: FloatArray
    may_add: FloatArray
    left: FloatArray
    lwe: IntArray
    dimension: IntArray


class SwitchBatch(NamedTuple):
    """Switches of candidates, (pairs or conversions, candidates); see :class:`Switch`."""

    place: IntArray
    variance: FloatArray
    cost: FloatArray

    @classmethod
    def none(cls, rows: int, candidates: int) -> Self:
        """No switch yet, at infinite cost."""
        shape = rows, candidates
        return cls(np.zeros(shape, dtype=int), np.zeros(shape), np.full(shape, np.inf))

    def write(self, rows: slice | int, taken: BoolArray, others: SwitchBatch) -> None:
        """Put those ``others`` that are ``taken`` (candidates,) into ``rows``."""
        for own, other in zip(self, others, strict=True):
            own[rows][..., taken] = other[..., taken]


class CandidateCosts:
    """Candidates for ``partition`` beside what is chosen ``now`` for the others.

    ``terms`` are what those of a kind have in common; ``free`` (pairs,) is whether a pair's reader
    has the LWE dimension of the candidate.
    """

    def __init__(self, circuit: SearchedCircuit, now: Choices, partition: int) -> None:
        self.circuit = circuit
        self.terms = KindTerms(circuit, now, partition)
        self._converted = circuit.converted[partition]
        self.optimized = circuit.optimized[partition]
        self.free = self.terms.free[circuit.readers]
        self._free = self.free[:, None].astype(int)
        lwe, ring = (fixed[circuit.readers] for fixed in (self.terms.lwe, self.terms.ring))
        self._lwe = lwe[:, None]
        switched = np.where(self.free, 0.0, circuit.space.modulus_switch[ring, lwe])
        self._left = (circuit.bounds - switched)[:, None]

    def least(self) -> tuple[FloatArray, FloatArray]:
        """By kind, what candidates cost at least: the constant part, and for each of n."""
        circuit, terms = self.circuit, self.terms
        by_level = circuit.space.key_switches.slope[self._lwe[:, 0]]
        constant = circuit.pair_times * np.where(self.free, 3.0, by_level)
        each = circuit.pair_times * self._free[:, 0] * 2.0
        conversions = terms.optimized.least_cost.sum(axis=0)
        return (
            terms.cost + conversions + constant @ terms.dimension,
            terms.cost_slope + each @ terms.dimension,
        )

    def room(self, batch: Batch) -> Room:
        """What ``batch`` leaves for switches."""
        circuit, terms, space = self.circuit, self.terms, self.circuit.space
        kind, lwe = batch
        noise = terms.noise_slope.take(kind, axis=1)
        noise *= space.lwe.take(lwe)
        noise += terms.noise.take(kind, axis=1)
        count = circuit.row_count
        switched = space.modulus_switch.ravel().take(space.kinds.switch.take(kind) + lwe)
        return Room(
            noise[:count],
            circuit.output_bound - noise[count:].max(axis=0),
            self._left - self._free * switched,
            self._lwe + self._free * lwe,
            terms.dimension.take(kind, axis=1),
        )

    def allowed(self, room: Room) -> FloatArray:
        """By pair, the noise of key switches at most, for each coefficient."""
        allowed: FloatArray = room.left - self.circuit.worst(room.noise)
        allowed /= room.dimension
        return allowed

    def more(self, batch: Batch, allowed: FloatArray) -> FloatArray | float:
        """What key switches to known partitions cost at least beyond one level.

        ``allowed`` (pairs, candidates) is the noise of key switches at most, for each coefficient.
        """
        fixed, table = ~self.free, self.circuit.space.key_switches
        if self.free.all():
            return 0.0
        lwe = self._lwe[fixed]
        cost = table.cost.ravel()[table.cheapest(lwe, allowed[fixed])] - table.slope[lwe]
        cost *= self.terms.dimension[fixed].take(batch.kind, axis=1)
        more: FloatArray = self.circuit.pair_times[fixed] @ cost
        return more

    def first_feasible(self, batch: Batch) -> tuple[FloatArray, FloatArray]:
        """Costs with the cheapest conversions that leave a solution; what others can't go below.

        Infinite where there is no solution, or nothing to choose.
        """
        circuit, terms, room, cost = self.circuit, self.terms, self.room(batch), self._base(batch)
        if not self.optimized:
            cost += self._switched(room, room.noise)
            infinite = np.full(len(cost), np.inf)
            return np.where(room.may_add >= 0, cost, infinite), infinite
        # By constraint, what conversions may add where key switches add the least.
        lowest = room.dimension * circuit.space.key_switches.lowest[room.lwe]
        left = (room.left - lowest)[circuit.row_pairs] - room.noise
        allowed = np.concatenate([left, [room.may_add]])[self._converted.rows]
        allowed /= self._converted.into
        allowed = np.minimum.reduceat(allowed, self._converted.starts, axis=0)
        fits = (allowed >= terms.required.take(batch.kind, axis=1)).all(axis=0)
        optimized = terms.optimized.of(batch.kind)
        table = circuit.space.conversions
        index = table.cheapest(optimized.to, allowed / optimized.dimension)
        each = optimized.dimension * table.cost.ravel()[index] + table.bias[optimized.to]
        columns = self._converted.columns
        cost += circuit.conversion_times[columns] @ np.where(optimized.differs, each, 0.0)
        scale = optimized.differs * optimized.dimension
        variance = np.stack([scale * table.noise.ravel()[index], scale * table.lowest[optimized.to]])
        fits &= room.may_add >= circuit.output_into[columns] @ variance[0]
        switched = self._switched(room, room.noise + circuit.into[:, columns] @ variance)
        floor = cost + terms.one_more.take(batch.kind) + switched[1]
        return np.where(fits, cost + switched[0], np.inf), np.where(fits, floor, np.inf)

    def switches(self, chosen: Batch, limit: FloatArray) -> tuple[Switches, Switches]:
        """Key switches and conversions of a single candidate."""
        circuit, space = self.circuit, self.circuit.space
        _, *found = self.below(chosen, limit)
        key_switches, conversions = (
            [Switch(*one) for one in zip(*(column[:, 0].tolist() for column in of_all), strict=True)]
            for of_all in found
        )
        width = space.key_switches.levels.shape[1]
        bias = space.key_switches.bias
        optimized = self.terms.optimized.of(chosen.kind)
        rings = zip(optimized.ring[:, 0].tolist(), optimized.to[:, 0].tolist(), strict=True)
        return (
            {
                pair: one._replace(cost=one.cost + float(bias[one.place // width]))
                for pair, one in zip(circuit.pairs, key_switches, strict=True)
            },
            {
                circuit.conversions[column]: one._replace(rings=between)
                for column, one, between in zip(
                    self._converted.columns, conversions, rings, strict=True
                )
            },
        )

    def below(
        self, batch: Batch, limit: FloatArray
    ) -> tuple[FloatArray, SwitchBatch, SwitchBatch]:
        """Costs up to a ``limit`` each, or infinite, and the switches that they are of.

        These are key switches by pair, with what they take by level, and optimized conversions. Of
        such a conversion, the original takes the first that leaves the cost no more than ``limit``,
        going from one key to the next; what is ahead costs the least.
        """
        circuit, room, cost = self.circuit, self.room(batch), self._base(batch)
        floors = room.dimension * circuit.space.key_switches.slope[room.lwe]
        floors *= circuit.pair_times[:, None]
        known = self.terms.optimized.cost.take(batch.kind, axis=1)
        ahead = known.sum(axis=0)
        switches = self._key_switches(room, slice(None), circuit.worst(room.noise))
        conversions = SwitchBatch.none(len(known), len(cost))
        optimized = self.terms.optimized.of(batch.kind)
        for row, target in enumerate(self.optimized):
            group = circuit.groups[target]
            before, after = slice(group.pairs.start), slice(group.pairs.stop, None)
            ahead -= known[row]
            left = limit - cost - ahead - floors[after].sum(axis=0)
            left -= circuit.pair_times[before] @ switches.cost[before]
            self._convert(group, row, optimized, room, left, switches, conversions)
            times = circuit.conversion_times[self._converted.columns[row]]
            cost += times * conversions.cost[row]
        cost += circuit.pair_times @ switches.cost
        if circuit.output.source not in self.optimized:
            cost[room.may_add < 0] = np.inf
        return cost, switches, conversions

    def _convert(
        self,
        group: Group,
        row: int,
        optimized: Conversions,
        room: Room,
        limit: FloatArray,
        switches: SwitchBatch,
        conversions: SwitchBatch,
    ) -> None:
        """Take the first conversion to ``group`` that costs up to ``limit`` with its key switches.

        It is written into ``row`` of the ``conversions``, and these into ``switches``.
        """
        circuit, table = self.circuit, self.circuit.space.conversions
        to, dimension, differs = optimized.to[row], optimized.dimension[row], optimized.differs[row]
        column, width = self._converted.columns[row], table.levels.shape[1]
        times, cost = circuit.conversion_times[column], conversions.cost[row]
        into = circuit.into[group.rows, column, None]
        for level in range(width):
            each = np.where(differs, dimension * table.cost[to, level] + table.bias[to], 0.0)
            is_open = np.isinf(cost) & (times * each <= limit)
            if not is_open.any():
                break
            variance = differs * dimension * table.noise[to, level]
            noise = room.noise[group.rows] + into * variance
            if group.starts.size:
                noise = np.maximum.reduceat(noise, group.starts, axis=0)
            own = self._key_switches(room, group.pairs, noise)
            total = times * each + circuit.pair_times[group.pairs] @ own.cost
            taken = is_open & (total <= limit) & np.isfinite(total)
            if group.source == circuit.output.source:
                taken &= room.may_add >= circuit.output_into[column] * variance
            switches.write(group.pairs, taken, own)
            conversions.write(row, taken, SwitchBatch(to * width + level, variance, each))

    def _base(self, batch: Batch) -> FloatArray:
        """The cost of all but what key switches take by level and optimized conversions."""
        n = self.circuit.space.lwe.take(batch.lwe)
        cost: FloatArray = self.terms.cost_slope.take(batch.kind) * n
        cost += self.terms.cost.take(batch.kind)
        return cost

    def _switched(self, room: Room, noise: FloatArray) -> FloatArray:
        """What the cheapest key switches for which ``noise`` leaves room take by level."""
        table = self.circuit.space.key_switches
        allowed = room.left - self.circuit.worst(noise)
        allowed /= room.dimension
        cost = table.cost.ravel()[table.cheapest(room.lwe, allowed)]
        cost *= room.dimension
        total: FloatArray = self.circuit.pair_times @ cost
        return total

    def _key_switches(self, room: Room, pairs: slice, noise: FloatArray) -> SwitchBatch:
        """The cheapest key switches of ``pairs`` for which ``noise``, by pair, leaves room."""
        table, dimension = self.circuit.space.key_switches, room.dimension[pairs]
        place = table.cheapest(room.lwe[pairs], (room.left[pairs] - noise) / dimension)
        cost, variance = (each.ravel()[place] * dimension for each in (table.cost, table.noise))
        return SwitchBatch(place, variance, cost)
