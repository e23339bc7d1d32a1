"""What candidates for one partition's choice cost while the other partitions' choices stay.

Columns of all arrays are candidates; rows are pairs of partitions (key switches from the key of the
first before bootstraps of the second), conversions, or constraints on noise.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np

from fhecost.closed_form.noise_constraints import Indices
from fhecost.closed_form.ring_terms import OptimizedConversion, RingTerms
from fhecost.closed_form.search_space import BoolArray
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


class Room(NamedTuple):
    """What candidates leave for switches.

    By constraint the ``noise`` that is there without optimized conversions and without key
    switches, (constraints, candidates), and the ``output_left`` (candidates,) that optimized
    conversions may add to the circuit's result. By pair, (pairs, candidates), what is ``left`` of a
    lookup's bound, and the rows of decompositions (``lwe``) and the ``dimension`` of key switches.
    """

    noise: FloatArray
    output_left: FloatArray
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

    def first(self, row: int, rings: Indices = (0, 0)) -> Switch:
        """That of the first candidate."""
        place, variance, cost = (column[row, 0].item() for column in self)
        return Switch(place, variance, cost, rings)


class CandidateCosts:
    """Candidates for ``partition`` beside what is chosen ``now`` for the others; ``terms`` of it.

    ``free_readers`` (pairs,) are those whose LWE dimension is the candidate's.
    """

    def __init__(self, circuit: SearchedCircuit, now: Choices, partition: int) -> None:
        self.circuit, self.partition = circuit, partition
        self.terms = terms = RingTerms(circuit, now, partition)
        self.optimized = terms.optimized
        self.free_readers = terms.free[circuit.readers]
        self._free_readers = self.free_readers[:, None].astype(int)
        self._own_noise = circuit.coefficients[:, partition, None]
        others = terms.free.copy()
        others[partition] = False
        self._others_noise = (
            circuit.coefficients[:, : circuit.count][:, others].sum(axis=1)[:, None]
            if others.any()
            else None
        )
        fixed_lwe = np.where(self.free_readers, 0, terms.fixed_lwe[circuit.readers])
        fixed_ring = terms.fixed_ring[circuit.readers]
        self._fixed_lwe = fixed_lwe[:, None]
        switched = circuit.space.modulus_switch[fixed_ring, fixed_lwe]
        self._fixed_left = np.where(self.free_readers, circuit.bounds, circuit.bounds - switched)[:, None]
        # The constant part of key switches' cost.
        bias = circuit.space.key_switches.bias[fixed_lwe]
        self._fixed_bias = float(circuit.pair_times @ np.where(self.free_readers, 0.0, bias))
        self._free_times = float(circuit.pair_times @ self.free_readers)

    def room(self, batch: Batch) -> Room:
        """What ``batch`` leaves for switches."""
        circuit, terms, space = self.circuit, self.terms, self.circuit.space
        ring, lwe = batch.ring, batch.lwe
        n, of_step = space.lwe[lwe], space.bootstraps.noise
        noise = terms.noise.take(ring, axis=1)
        noise += self._own_noise * (n * of_step[ring, batch.level])
        if self._others_noise is not None:
            noise += self._others_noise * (n * of_step[ring, -1])
        count = circuit.row_count
        return Room(
            noise[:count],
            circuit.output_bound - noise[count:].max(axis=0),
            self._fixed_left - self._free_readers * space.modulus_switch[ring, lwe],
            self._fixed_lwe + self._free_readers * lwe,
            terms.dimension.take(ring, axis=1),
        )

    def allowed(self, room: Room) -> FloatArray:
        """By pair, the noise of key switches at most, for each coefficient."""
        allowed: FloatArray = room.left - self.circuit.worst(room.noise)
        allowed /= room.dimension
        return allowed

    def least(self, batch: Batch) -> tuple[FloatArray, FloatArray]:
        """Of bootstraps, and key switches of one level: the constant part, and for each of n."""
        circuit, terms, space = self.circuit, self.terms, self.circuit.space
        free, times = self.free_readers, circuit.pair_times
        by_level = np.where(free, 3.0, space.key_switches.slope[self._fixed_lwe[:, 0]])
        base = (times * by_level) @ terms.dimension + self._fixed_bias + terms.others_cost
        slope = (times * free) @ (2.0 * terms.dimension - 1)
        each = circuit.times[self.partition] * space.bootstraps.cost[batch.ring, batch.level]
        return base.take(batch.ring), slope.take(batch.ring) + each

    def more(self, batch: Batch, allowed: FloatArray) -> FloatArray:
        """What conversions, and key switches to known partitions beyond one level, cost at least.

        ``allowed`` (pairs, candidates) is the noise of key switches at most, for each coefficient.
        """
        circuit, terms, table = self.circuit, self.terms, self.circuit.space.key_switches
        conversions = terms.given_cost + terms.least_cost[terms.optimized_columns].sum(axis=0)
        more: FloatArray = conversions.take(batch.ring)
        (fixed,) = np.nonzero(~self.free_readers)
        if len(fixed):
            lwe = self._fixed_lwe[fixed]
            cost = table.cost.ravel()[table.cheapest(lwe, allowed[fixed])] - table.cost[lwe, 0]
            cost *= terms.dimension[fixed].take(batch.ring, axis=1)
            more += circuit.pair_times[fixed] @ cost
        return more

    def first_feasible(self, batch: Batch) -> tuple[FloatArray, FloatArray]:
        """Costs with the cheapest conversions that leave a solution; what others can't go below.

        Infinite where there is no solution, or nothing to choose.
        """
        circuit, room, base = self.circuit, self.room(batch), self._base(batch)
        # The constant part of key switches.
        base += self._free_times * circuit.space.key_switches.bias[batch.lwe] + self._fixed_bias
        if not self.optimized:
            total = base + self._switched(room, room.noise)
            infinite = np.full(len(total), np.inf)
            return np.where(room.output_left >= 0, total, infinite), infinite
        # By constraint, what conversions may add where key switches add the least.
        lowest = room.dimension * circuit.space.key_switches.lowest[room.lwe]
        for_conversions = (room.left - lowest)[circuit.row_pairs] - room.noise
        fits = np.ones(len(base), dtype=bool)
        variance = np.zeros((2, len(self.optimized), len(base)))
        for place, conversion in enumerate(self.optimized.values()):
            allowed = self._room_of(conversion, room, for_conversions)
            fits &= allowed >= 0
            if conversion.required is not None:
                fits &= conversion.required.take(batch.ring) <= allowed
            variance[0, place], cost = self._cheapest(conversion, batch, allowed)
            base += cost
        columns = self.terms.optimized_columns
        variance[1] = self.terms.least_variance[columns].take(batch.ring, axis=1)
        fits &= room.output_left >= circuit.output_into[columns] @ variance[0]
        switched = self._switched(room, room.noise + circuit.into[:, columns] @ variance)
        total = np.where(fits, base + switched[0], np.inf)
        one_more = self.terms.one_more.take(batch.ring)
        return total, np.where(fits, base + one_more + switched[1], np.inf)

    def _base(self, batch: Batch) -> FloatArray:
        """The cost of bootstraps and given conversions."""
        circuit, terms, space = self.circuit, self.terms, self.circuit.space
        each = space.lwe[batch.lwe] * space.bootstraps.cost[batch.ring, batch.level]
        cost: FloatArray = circuit.times[self.partition] * each + terms.others_cost
        cost += terms.given_cost.take(batch.ring)
        return cost

    def _switched(self, room: Room, noise: FloatArray) -> FloatArray:
        """Of key switches for which ``noise`` leaves room, what they take by level."""
        circuit, table = self.circuit, self.circuit.space.key_switches
        allowed = room.left - circuit.worst(noise)
        allowed /= room.dimension
        cost = table.cost.ravel()[table.cheapest(room.lwe, allowed)]
        cost *= room.dimension
        total: FloatArray = circuit.pair_times @ cost
        return total

    def _room_of(
        self, conversion: OptimizedConversion, room: Room, for_conversions: FloatArray
    ) -> FloatArray:
        """The variance that ``conversion`` may have, alone."""
        rows, into = self.circuit.converted[conversion.column]
        allowed = (for_conversions[rows] / into).min(axis=0, initial=np.inf)
        if of_output := self.circuit.output_into[conversion.column]:
            allowed = np.minimum(allowed, room.output_left / of_output)
        return allowed

    def _cheapest(
        self, conversion: OptimizedConversion, batch: Batch, allowed: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Variance and cost of the cheapest with no more than the ``allowed`` variance."""
        table = self.circuit.space.conversions
        to, dimension, differs = conversion.of(batch.ring)
        index = table.cheapest(to, allowed / dimension)
        cost = np.where(differs, dimension * table.cost.ravel()[index] + table.bias[to], 0.0)
        variance = differs * dimension * table.noise.ravel()[index]
        return variance, self.circuit.conversion_times[conversion.column] * cost

    def switches(self, chosen: Batch, limit: FloatArray) -> tuple[Switches, Switches]:
        """Key switches and conversions of a single candidate."""
        circuit = self.circuit
        _, key_switches, conversions = self.below(chosen, limit)
        ring = int(chosen.ring[0])
        return (
            {pair: key_switches.first(row) for row, pair in enumerate(circuit.pairs)},
            {
                circuit.conversions[one.column]: conversions.first(
                    one.column, (int(one.ring[ring]), int(one.to[ring]))
                )
                for one in self.optimized.values()
            },
        )

    def below(
        self, batch: Batch, limit: FloatArray
    ) -> tuple[FloatArray, SwitchBatch, SwitchBatch]:
        """Costs up to a ``limit`` each, or infinite, and the switches that they are of.

        Of a conversion to be chosen, the original takes the first that leaves the cost no more than
        ``limit``, going from one key to the next; what is ahead costs the least.
        """
        circuit, room, table = self.circuit, self.room(batch), self.circuit.space.key_switches
        floors = room.dimension * table.slope[room.lwe] + table.bias[room.lwe]
        floors *= circuit.pair_times[:, None]
        known = {to: one.known_cost.take(batch.ring) for to, one in self.optimized.items()}
        cost, ahead = self._base(batch), sum(known.values())
        switches = self._key_switches(room, slice(None), circuit.worst(room.noise))
        conversions = SwitchBatch.none(len(circuit.conversions), len(cost))
        for group in circuit.groups:
            if group.source not in self.optimized:
                continue
            before, after = slice(group.pairs.start), slice(group.pairs.stop, None)
            ahead = ahead - known[group.source]
            left = limit - cost - ahead - floors[after].sum(axis=0)
            left -= circuit.pair_times[before] @ switches.cost[before]
            self._convert(group, batch, room, left, switches, conversions)
            column = self.optimized[group.source].column
            cost += circuit.conversion_times[column] * conversions.cost[column]
        cost += circuit.pair_times @ switches.cost
        if circuit.output.source not in self.optimized:
            cost[room.output_left < 0] = np.inf
        return cost, switches, conversions

    def _convert(
        self,
        group: Group,
        batch: Batch,
        room: Room,
        limit: FloatArray,
        switches: SwitchBatch,
        conversions: SwitchBatch,
    ) -> None:
        """Take the first conversion to ``group`` that costs up to ``limit`` with its key switches.

        They are written into ``switches`` and ``conversions``.
        """
        circuit, conversion = self.circuit, self.optimized[group.source]
        table, column = circuit.space.conversions, conversion.column
        to, dimension, differs = conversion.of(batch.ring)
        times, width = circuit.conversion_times[column], table.levels.shape[1]
        into, cost = circuit.into[group.rows, column, None], conversions.cost[column]
        for level in range(width):
            each = np.where(differs, dimension * table.cost[to, level] + table.bias[to], 0.0)
            is_open = np.isinf(cost) & (times * each <= limit)
            if not is_open.any():
                break
            variance = differs * dimension * table.noise[to, level]
            after = room.noise[group.rows] + into * variance
            if group.starts.size:
                after = np.maximum.reduceat(after, group.starts, axis=0)
            own = self._key_switches(room, group.pairs, after)
            total = times * each + circuit.pair_times[group.pairs] @ own.cost
            taken = is_open & (total <= limit) & np.isfinite(total)
            if group.source == circuit.output.source:
                taken &= room.output_left >= circuit.output_into[column] * variance
            switches.write(group.pairs, taken, own)
            conversions.write(column, taken, SwitchBatch(to * width + level, variance, each))

    def _key_switches(self, room: Room, pairs: slice, noise: FloatArray) -> SwitchBatch:
        """The cheapest key switches of ``pairs`` for which ``noise``, by pair, leaves room."""
        table, lwe, dimension = self.circuit.space.key_switches, room.lwe[pairs], room.dimension[pairs]
        place = table.cheapest(lwe, (room.left[pairs] - noise) / dimension)
        each = dimension * table.cost.ravel()[place] + table.bias[lwe]
        return SwitchBatch(place, dimension * table.noise.ravel()[place], each)
