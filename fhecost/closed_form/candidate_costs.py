"""What candidates for one partition's choice cost while the other partitions' choices stay.

Columns of all arrays are candidates; rows are pairs of partitions (key switches from the key of the
first before bootstraps of the second), conversions, or constraints on noise.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fhecost.closed_form.kind_terms import KindTerms
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
    ``ring`` (candidates,) is where among those of the terms theirs is.
    """

    noise: FloatArray
    may_add: FloatArray
    left: FloatArray
    lwe: IntArray
    dimension: IntArray
    ring: IntArray

    def repeated(self, times: int) -> Room:
        """With each candidate ``times`` in a row."""
        return Room._make(of_all.repeat(times, axis=-1) for of_all in self)


class SwitchBatch(NamedTuple):
    """Switches of candidates, (..., candidates); see :class:`Switch`."""

    place: IntArray
    variance: FloatArray
    cost: FloatArray

    def of(self, which: Any) -> SwitchBatch:
        """Those of some rows or candidates."""
        return SwitchBatch._make(of_all[which] for of_all in self)

    def first(self, rings: Indices) -> Switch:
        """That of the first candidate."""
        place, variance, cost = (of_all[0].item() for of_all in self)
        return Switch(place, variance, cost, rings)


class CandidateCosts:
    """Candidates for ``partition`` beside what is chosen ``now`` for the others.

    ``terms`` are what those of a kind have in common; ``free`` (pairs,) is whether a pair's reader
    has the LWE dimension of the candidate. ``least`` is by kind what candidates cost at least: the
    constant part, and for each of n.
    """

    def __init__(self, circuit: SearchedCircuit, now: Choices, partition: int) -> None:
        self.circuit = circuit
        self.terms = KindTerms(circuit, now, partition)
        self._limits = circuit.converted[partition]
        self._into = circuit.into[:, self._limits.columns]
        self.optimized = circuit.optimized[partition]
        self.free = self.terms.free[circuit.readers]
        self._free = self.free[:, None].astype(int)
        self._free_rows, self._fixed = self.free.nonzero()[0], (~self.free).nonzero()[0]
        lwe, ring = (fixed[circuit.readers] for fixed in (self.terms.lwe, self.terms.ring))
        self._lwe = lwe[:, None]
        switched = np.where(self.free, 0.0, circuit.space.modulus_switch[ring, lwe])
        self._left = (circuit.bounds - switched)[:, None]
        self.least = self._least()

    def _least(self) -> tuple[FloatArray, FloatArray]:
        circuit, terms, place = self.circuit, self.terms, self.circuit.space.kinds.place
        by_level = circuit.space.key_switches.slope[self._lwe[:, 0]]
        constant = circuit.pair_times * np.where(self.free, 3.0, by_level) @ terms.dimension
        constant += terms.cost + terms.optimized.least_cost.sum(axis=0)
        slope = (2.0 * circuit.pair_times * self.free) @ terms.dimension
        return constant.take(place), terms.cost_slope + slope.take(place)

    def room(self, batch: Batch) -> Room:
        """What ``batch`` leaves for switches."""
        circuit, terms, space = self.circuit, self.terms, self.circuit.space
        kind, lwe = batch
        ring = space.kinds.place.take(kind)
        noise = terms.noise_slope.take(kind, axis=1)
        noise *= space.lwe.take(lwe)
        noise += terms.noise.take(ring, axis=1)
        count = circuit.row_count
        switched = space.modulus_switch.ravel().take(space.kinds.switch.take(kind) + lwe)
        return Room(
            noise[:count],
            circuit.output_bound - noise[count:].max(axis=0),
            self._left - self._free * switched,
            self._lwe + self._free * lwe,
            terms.dimension.take(ring, axis=1),
            ring,
        )

    def allowed(self, room: Room) -> FloatArray:
        """By pair, the noise of key switches at most, for each coefficient."""
        allowed: FloatArray = room.left - self.circuit.worst(room.noise)
        allowed /= room.dimension
        return allowed

    def least_lwe(self, room: Room, allowed: FloatArray) -> tuple[IntArray, BoolArray]:
        """The least LWE dimension that key switches leave, and where there is one.

        ``allowed`` (pairs, candidates) is their noise at most, for each coefficient.
        """
        table = self.circuit.space.key_switches
        fits = room.may_add >= 0
        if len(self._fixed):
            fits &= (allowed[self._fixed] >= table.lowest[self._lwe[self._fixed]]).all(axis=0)
        if not len(self._free_rows):
            return np.zeros(len(fits), dtype=int), fits
        free = allowed if not len(self._fixed) else allowed[self._free_rows]
        least = table.lowest_keys.searchsorted(-free.min(axis=0))
        fits &= least < len(table.lowest)
        return least, fits

    def more(self, room: Room, allowed: FloatArray) -> FloatArray | float:
        """What key switches to known partitions cost at least beyond one level."""
        if not len(self._fixed):
            return 0.0
        table, lwe = self.circuit.space.key_switches, self._lwe[self._fixed]
        place = table.cheapest(lwe, allowed[self._fixed])
        cost = table.cost.ravel()[place] - table.slope[lwe]
        cost *= room.dimension[self._fixed]
        more: FloatArray = self.circuit.pair_times[self._fixed] @ cost
        return more

    def first_feasible(self, batch: Batch) -> tuple[FloatArray, FloatArray]:
        """Costs with the cheapest conversions that leave a solution; what others can't go below.

        Infinite where there is no solution, or nothing to choose.
        """
        room, cost, variance, fits = self._converted(batch)
        into, one_more = self._into, self.terms.one_more.take(room.ring)
        floor = np.full(len(cost), np.inf)
        if one_more.min(initial=np.inf) == np.inf:
            cost += self._switched(room, room.noise + into @ variance)
        else:
            least = self.terms.optimized.least.take(room.ring, axis=1)
            both = self._switched(room, room.noise + into @ np.stack([variance, least]))
            np.copyto(floor, cost + one_more + both[1], where=fits)
            cost += both[0]
        cost[~fits] = np.inf
        return cost, floor

    def _converted(self, batch: Batch) -> tuple[Room, FloatArray, FloatArray, BoolArray]:
        """The cheapest conversions that leave a solution where key switches add the least.

        Returns what there is room for without them, costs without what key switches take by level,
        the variances of these conversions, and for which candidates there are such.
        """
        circuit, terms, room = self.circuit, self.terms, self.room(batch)
        cost = self._base(batch, room)
        if not self.optimized:
            return room, cost, np.empty((0, len(cost))), room.may_add >= 0
        # By constraint, what conversions may add.
        lowest = circuit.space.key_switches.lowest[room.lwe]
        lowest *= room.dimension
        may_add = (room.left - lowest)[circuit.row_pairs]
        may_add -= room.noise
        allowed = np.concatenate([may_add, [room.may_add]])[self._limits.rows]
        allowed /= self._limits.into
        if len(allowed) > len(self._limits.starts):
            allowed = np.minimum.reduceat(allowed, self._limits.starts, axis=0)
        fits = (allowed >= terms.required.take(room.ring, axis=1)).all(axis=0)
        table, columns = circuit.space.conversions, self._limits.columns
        to, dimension, differs = terms.optimized.of(room.ring)
        allowed /= dimension
        index = table.cheapest(to, allowed)
        each = dimension * table.cost.ravel()[index] + table.bias[to]
        cost += circuit.conversion_times[columns] @ np.where(differs, each, 0.0)
        variance = differs * dimension * table.noise.ravel()[index]
        fits &= room.may_add >= circuit.output_into[columns] @ variance
        return room, cost, variance, fits

    def switches(self, chosen: Batch, limit: FloatArray) -> tuple[Switches, Switches]:
        """Key switches and conversions of a single candidate."""
        circuit, optimized = self.circuit, self.terms.optimized
        _, key_switches, conversions = self.below(chosen, limit)
        ring = int(circuit.space.kinds.place[chosen.kind[0]])
        of_pairs = map(Switch, *(of_all[:, 0].tolist() for of_all in key_switches))
        return (
            dict(zip(circuit.pairs, of_pairs, strict=True)),
            {
                circuit.conversions[column]: conversions[row].first(
                    (int(optimized.ring[row, ring]), int(optimized.to[row, ring]))
                )
                for row, column in enumerate(self._limits.columns)
            },
        )

    def below(
        self, batch: Batch, limit: FloatArray
    ) -> tuple[FloatArray, SwitchBatch, list[SwitchBatch]]:
        """Costs up to a ``limit`` each, or infinite, and the switches that they are of.

        These are key switches by pair and optimized conversions. Of such a conversion, the original
        takes the first that leaves the cost no more than ``limit``, going from one key to the next;
        what is ahead costs the least.
        """
        circuit, room = self.circuit, self.room(batch)
        cost = self._base(batch, room)
        table, times = circuit.space.key_switches, circuit.pair_times
        floors = times[:, None] * room.dimension * table.slope[room.lwe]
        ahead = self.terms.optimized.cost.take(room.ring, axis=1)
        switches = self._key_switches(room, slice(None), circuit.worst(room.noise))
        conversions = []
        for row, target in enumerate(self.optimized):
            pairs = circuit.groups[target].pairs
            left = limit - cost - ahead[row + 1 :].sum(axis=0) - floors[pairs.stop :].sum(axis=0)
            left -= times[: pairs.start] @ switches.cost[: pairs.start]
            chosen, own = self._first_below(circuit.groups[target], row, room, left)
            conversions.append(chosen)
            for of_all, of_own in zip(switches, own, strict=True):
                of_all[pairs] = of_own
            cost += circuit.conversion_times[self._limits.columns[row]] * chosen.cost
        cost += times @ switches.cost
        if circuit.output.source not in self.optimized:
            cost[room.may_add < 0] = np.inf
        switches.cost[:] += table.bias[room.lwe]
        return cost, switches, conversions

    def _first_below(
        self, group: Group, row: int, room: Room, limit: FloatArray
    ) -> tuple[SwitchBatch, SwitchBatch]:
        """The first conversion to ``group`` that costs up to ``limit`` with its key switches.

        And these. It costs infinitely much where there is none. All levels are tried at once: of
        each candidate, those of its conversion are columns beside each other.
        """
        circuit, optimized, pairs = self.circuit, self.terms.optimized, group.pairs
        column, table = self._limits.columns[row], circuit.space.conversions
        width = table.levels.shape[1]
        level = np.arange(width)
        if len(limit) > 1:
            level = np.tile(level, len(limit))
            room, limit = room.repeated(width), limit.repeat(width)
        to, dimension, differs = (
            of_all[row].take(room.ring)
            for of_all in (optimized.to, optimized.dimension, optimized.differs)
        )
        place = to * width + level
        each = np.where(differs, dimension * table.cost.ravel()[place] + table.bias[to], 0.0)
        variance = differs * dimension * table.noise.ravel()[place]
        noise = room.noise[group.rows] + circuit.into[group.rows, column, None] * variance
        if len(noise) > len(group.starts):
            noise = np.maximum.reduceat(noise, group.starts, axis=0)
        own = self._key_switches(room, pairs, noise)
        total = circuit.conversion_times[column] * each + circuit.pair_times[pairs] @ own.cost
        fits = (total <= limit) & np.isfinite(total)
        if group.source == circuit.output.source:
            fits &= room.may_add >= circuit.output_into[column] * variance
        by_level = fits.reshape(-1, width)
        first = by_level.argmax(axis=1)
        first += np.arange(0, len(fits), width)
        cost = np.where(fits[first], each[first], np.inf)
        chosen = SwitchBatch(place[first], variance[first], cost)
        return chosen, own.of((slice(None), first))

    def _base(self, batch: Batch, room: Room) -> FloatArray:
        """The cost of all but what key switches take by level and optimized conversions."""
        cost: FloatArray = self.terms.cost_slope.take(batch.kind)
        cost *= self.circuit.space.lwe.take(batch.lwe)
        cost += self.terms.cost.take(room.ring)
        return cost

    def _key_switches(self, room: Room, pairs: slice, noise: FloatArray) -> SwitchBatch:
        """The cheapest key switches of ``pairs`` for which ``noise``, by pair, leaves room.

        Their cost is what they take by level.
        """
        table, dimension = self.circuit.space.key_switches, room.dimension[pairs]
        place = table.cheapest(room.lwe[pairs], (room.left[pairs] - noise) / dimension)
        cost, variance = (
            by_place.ravel()[place] * dimension for by_place in (table.cost, table.noise)
        )
        return SwitchBatch(place, variance, cost)

    def _switched(self, room: Room, noise: FloatArray) -> FloatArray:
        """What the cheapest key switches for which ``noise`` leaves room take by level."""
        table = self.circuit.space.key_switches
        allowed = room.left - self.circuit.worst(noise)
        allowed /= room.dimension
        cost = table.cost.ravel()[table.cheapest(room.lwe, allowed)]
        cost *= room.dimension
        total: FloatArray = self.circuit.pair_times @ cost
        return total
