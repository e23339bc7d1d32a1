"""What candidates for partitions' choices cost while the other partitions' choices stay.

Columns of all arrays are candidates; rows are pairs of partitions (key switches from the key of the
first before bootstraps of the second), conversions, or constraints on noise.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np

from fhecost.closed_form.kind_terms import KindTerms
from fhecost.closed_form.search_space import LEAST_N, BoolArray
from fhecost.quantization import FloatArray, IntArray


class Batch(NamedTuple):
    """Candidates (candidates,): of which step, a kind of bootstraps and an LWE dimension each.

    The latter are indices into the search space.
    """

    step: IntArray
    kind: IntArray
    lwe: IntArray

    def taken(self, which: Any) -> Self:
        """Some of them."""
        return type(self)._make(of_all[which] for of_all in self)


class Room(NamedTuple):
    """What candidates leave for switches.

    By constraint the ``noise`` that is there without optimized conversions and without key
    switches. By pair, what is ``left`` of a bound, and the ``lwe`` and ``dimension`` between which
    a key switch is. ``step`` and ``ring`` (candidates,) are where among the terms theirs are.
    """

    noise: FloatArray
    left: FloatArray
    lwe: IntArray
    dimension: IntArray
    step: IntArray
    ring: IntArray


class Entries(NamedTuple):
    """Where conversions go, as indices into flattened arrays of columns for candidates.

    ``place`` is that of a conversion, ``row`` of a constraint and ``pair`` of its pair; so often
    does its noise go ``into`` the constraint.
    """

    place: IntArray
    row: IntArray
    pair: IntArray
    into: FloatArray


class Converted(NamedTuple):
    """Conversions of candidates, shapes (conversions, candidates).

    ``place`` is theirs among the :class:`Decompositions`, ``between`` that among those
    :class:`Between` rings. ``noise`` (constraints, candidates) is what there is with them, and
    ``cost`` (candidates,) infinite where they leave no solution.
    """

    place: IntArray
    between: IntArray
    noise: FloatArray
    cost: FloatArray


class Feasible(NamedTuple):
    """The cheapest switches of candidates that leave a solution.

    ``cost`` (candidates,) is infinite where there is none. By pair, the ``place`` of the key switch
    among the :class:`Decompositions` and what it costs ``by_level``; the conversions that are
    optimized.
    """

    cost: FloatArray
    room: Room
    place: IntArray
    by_level: FloatArray
    converted: Converted


class CandidateCosts:
    """Candidates beside what is chosen for other partitions; ``terms`` are what they share.

    ``least`` is by step and kind what candidates cost at least: the constant part, and for each
    of n.
    """

    def __init__(self, terms: KindTerms) -> None:
        self.terms, self.space = terms, terms.space
        self.pairs, self._extra = len(terms.lwe), terms.circuits.extra.T
        times, free = terms.circuits.pair_times.T, terms.free
        # What one level of all key switches costs: the constant part, and for each of n.
        by_level = self.space.key_switches.slope[terms.lwe]
        self._by_level = times * np.where(free, 3.0, by_level), 2.0 * times * free
        self.least = self._least()

    def _least(self) -> tuple[FloatArray, FloatArray]:
        terms, kinds, count = self.terms, self.space.kinds, len(self.terms.steps)
        dimension = terms.dimension.reshape(self.pairs, count, -1)
        constant, slope = ((each[:, :, None] * dimension).sum(axis=0) for each in self._by_level)
        conversions = terms.optimized.least_cost.sum(axis=0)
        constant += (terms.cost + conversions).reshape(constant.shape)
        slope = slope.take(kinds.place, axis=1).ravel()
        slope += terms.cost_slope
        return constant.take(kinds.place, axis=1).ravel(), slope

    def room(self, batch: Batch) -> Room:
        """What ``batch`` leaves for switches."""
        terms, kinds = self.terms, self.space.kinds
        step, kind, lwe = batch
        ring = step * len(kinds.rings)
        ring += kinds.place.take(kind)
        n = lwe + LEAST_N
        noise = terms.noise.take(ring, axis=1)
        noise += terms.of_own.take(step, axis=1) * (kinds.noise.take(kind) * n)
        if terms.of_free is not None:
            noise += terms.of_free.take(step, axis=1) * (kinds.least_noise.take(kind) * n)
        return self._room(noise, step, ring, kinds.switch.take(kind), lwe)

    def _room(
        self, noise: FloatArray, step: IntArray, ring: IntArray, switch: IntArray, lwe: IntArray
    ) -> Room:
        terms = self.terms
        free = terms.free.take(step, axis=1)
        left = terms.bound.take(step, axis=1)
        left[:-2] -= free * self.space.modulus_switch.ravel().take(switch + lwe)
        free *= lwe
        free += terms.lwe.take(step, axis=1)
        return Room(noise, left, free, terms.dimension.take(ring, axis=1), step, ring)

    def room_of_rings(self) -> tuple[Room, FloatArray]:
        """What each ring leaves at the least n if its bootstraps add nothing; what they may add.

        The latter is the variance of one bootstrap at most.
        """
        terms, kinds, table = self.terms, self.space.kinds, self.space.key_switches
        ring = np.arange(terms.noise.shape[1])
        step = ring // len(kinds.rings)
        switch = np.tile(kinds.rings * len(self.space.lwe), len(terms.steps))
        room = self._room(terms.noise, step, ring, switch, ring * 0)
        left = room.left.copy()
        taken = table.lowest.take(room.lwe) * room.dimension
        left[:-2] -= np.where(terms.free.take(step, axis=1), 0.0, taken)
        most = self._of_rows(left, step) - room.noise
        most /= np.maximum(terms.of_own, _HARDLY).take(step, axis=1)
        return room, most.min(axis=0)

    def _of_rows(self, of_pairs: FloatArray, step: IntArray) -> FloatArray:
        """What pairs have, by constraint."""
        extra = np.take_along_axis(of_pairs, self._extra.take(step, axis=1), axis=0)
        return np.concatenate([of_pairs[:-1], extra, of_pairs[-1:]])

    def worst(self, noise: FloatArray, step: IntArray) -> FloatArray:
        """By pair, and for the circuit's result, the largest ``noise`` of its constraints."""
        worst = noise[: self.pairs + 1]
        if len(self._extra):
            worst = worst.copy()
        for row, extra in enumerate(self._extra, start=self.pairs + 1):
            if len(extra) > 1:
                pairs = extra.take(step)
                (which,) = (pairs <= self.pairs).nonzero()
                at = pairs[which], which
                worst[at] = np.maximum(worst[at], noise[row, which])
            elif extra[0] <= self.pairs:
                of_one = worst[extra[0]]
                np.maximum(of_one, noise[row], out=of_one)
        return worst

    def allowed(self, room: Room, noise: FloatArray) -> tuple[FloatArray, BoolArray]:
        """By pair, the noise of key switches at most, for each coefficient.

        And for which candidates the noise of the circuit's result is low enough.
        """
        allowed = room.left[:-1] - self.worst(noise, room.step)
        fits = allowed[-1] >= 0
        allowed = allowed[:-1]
        allowed /= room.dimension
        return allowed, fits

    def least_lwe(self, room: Room, allowed: FloatArray) -> tuple[IntArray, BoolArray]:
        """The least LWE dimension that key switches leave, and where there is one.

        ``allowed`` (pairs, candidates) is their noise at most, for each coefficient.
        """
        table = self.space.key_switches
        free = self.terms.free.take(room.step, axis=1)
        fits = (free + (allowed >= table.lowest.take(room.lwe))).all(axis=0)
        wanted = np.where(free, allowed, 1.0).min(axis=0)
        least = table.lowest_keys.searchsorted(-wanted)
        fits &= least < len(table.lowest)
        return np.minimum(least, len(table.lowest) - 1), fits

    def more_fixed(self, room: Room, allowed: FloatArray) -> FloatArray:
        """What key switches to known keys cost at least beyond one level."""
        free = self.terms.free.take(room.step, axis=1)
        levels = self._more_levels(room, self.terms.lwe.take(room.step, axis=1), allowed)
        levels *= 1 - free
        more: FloatArray = (self._by_level[0].take(room.step, axis=1) * levels).sum(axis=0)
        return more

    def least_up_to(self, batch: Batch, last: IntArray) -> tuple[FloatArray, FloatArray, BoolArray]:
        """What ``batch`` and all of larger n, up to ``last`` (candidates,), cost at least.

        The constant part, and for each of n; and where there may be a solution. To a larger key, no
        more levels are needed, and a larger n leaves no more room for noise.
        """
        terms, room = self.terms, self.room(batch)
        allowed, fits = self.allowed(room, room.noise)
        lwe = terms.lwe.take(room.step, axis=1)
        lwe += terms.free.take(room.step, axis=1) * last
        levels = self._more_levels(room, lwe, allowed)
        constant, slope = (
            (each.take(room.step, axis=1) * levels).sum(axis=0) for each in self._by_level
        )
        conversions = self._converted(room._replace(lwe=lwe)).cost
        kinds = batch.step * len(self.space.kinds.place) + batch.kind
        constant += self.least[0].take(kinds)
        constant += conversions - terms.optimized.least_cost.sum(axis=0).take(room.ring)
        slope += self.least[1].take(kinds)
        fits &= np.isfinite(conversions)
        return constant, slope, fits

    def _more_levels(self, room: Room, lwe: IntArray, allowed: FloatArray) -> FloatArray:
        """How many levels more than one key switches to ``lwe`` have, times their dimension."""
        table = self.space.key_switches
        levels = table.cost.ravel().take(table.cheapest(lwe, allowed))
        levels /= table.slope.take(lwe)
        levels -= 1
        np.minimum(levels, _TOO_MANY, out=levels)
        levels *= room.dimension
        return levels

    def first_feasible(self, batch: Batch) -> Feasible:
        """Costs with the cheapest conversions that leave a solution."""
        room = self.room(batch)
        converted = self._converted(room)
        allowed, fits = self.allowed(room, converted.noise)
        place, by_level = self._key_switches(room, allowed)
        cost = self.base(batch, room)
        cost += converted.cost
        cost += (self.pair_times(room) * by_level).sum(axis=0)
        cost[~fits] = np.inf
        return Feasible(cost, room, place, by_level, converted)

    def pair_times(self, room: Room) -> FloatArray:
        """How often each pair's key switch is made."""
        return self.terms.circuits.pair_times.T.take(room.step, axis=1)

    def floor(self, found: Feasible, which: IntArray) -> FloatArray:
        """What candidates can't cost less than where conversions aren't those that were ``found``.

        One level more of a conversion at least, and key switches of which the noise of conversions
        takes no more than it has to. Infinite where there is no solution, or nothing to choose.
        """
        room = Room._make(of_all[..., which] for of_all in found.room)
        least = self.terms.optimized.least.take(room.ring, axis=1)
        noise = self._with_conversions(room, self._entries(room.step), least)
        allowed, _ = self.allowed(room, noise)
        _, by_level = self._key_switches(room, allowed)
        cost = found.cost[which]
        with np.errstate(invalid="ignore"):
            saved = (self.pair_times(room) * (found.by_level[:, which] - by_level)).sum(axis=0)
            floor = cost + self.one_more.take(room.ring) - saved
        return np.where(cost < np.inf, floor, np.inf)

    @cached_property
    def one_more(self) -> FloatArray:
        """By ring, what one level more of any optimized conversion costs at least."""
        optimized, terms = self.terms.optimized, self.terms
        each = self.space.conversions.slope[optimized.to] * optimized.dimension
        each *= terms.conversion_times.repeat(len(self.space.kinds.rings), axis=1)
        exists = (optimized.least > 0) & (each > 0)
        one_more: FloatArray = np.where(exists, each, np.inf).min(axis=0, initial=np.inf)
        return one_more

    def converted_into(self) -> FloatArray:
        """Which pairs' constraints optimized conversions go into, (pairs, steps)."""
        pair = self.terms.own.pair
        into = np.zeros((len(pair), self.pairs + 2))
        np.put_along_axis(into, pair.reshape(len(pair), -1), 1.0, axis=1)
        return into[:, :-2].T.copy()

    def _converted(self, room: Room) -> Converted:
        """The cheapest conversions that leave a solution where key switches add the least."""
        terms, optimized, space = self.terms, self.terms.optimized, self.space
        # By constraint, what conversions may add.
        left = room.left.copy()
        left[:-2] -= space.key_switches.lowest.take(room.lwe) * room.dimension
        least = np.ones((len(optimized.to), len(room.step)))
        entries, flat = self._entries(room.step), least.ravel()
        for of in entries:
            may_add = left.ravel().take(of.pair) - room.noise.ravel().take(of.row)
            flat[of.place] = np.minimum(flat.take(of.place), may_add / of.into)
        fits = (least >= optimized.required.take(room.ring, axis=1)).all(axis=0)
        least /= optimized.dimension.take(room.ring, axis=1)
        place = space.conversions.cheapest(optimized.to.take(room.ring, axis=1), least)
        ahead = space.between.ahead[optimized.between]
        between = place + ahead.take(room.ring, axis=1)
        variance = space.between.variance.take(between)
        noise = self._with_conversions(room, entries, variance)
        cost = space.between.cost.take(between)
        cost *= terms.conversion_times.take(room.step, axis=1)
        total = cost.sum(axis=0)
        total[~fits] = np.inf
        return Converted(place, between, noise, total)

    def _entries(self, step: IntArray) -> list[Entries]:
        """Into which constraints how much of optimized conversions goes, for candidates of steps.

        One constraint of each conversion at a time.
        """
        own, none, count = self.terms.own, self.pairs + 1, len(step)
        single, entries = len(own.row) == 1, []
        for row, pair, into in zip(own.row.T, own.pair.T, own.into.T, strict=True):
            there = pair < none
            if single:
                (of,) = there[:, 0].nonzero()
                column = np.arange(len(of) * count) % count
                of = of.repeat(count)
                place = of * count + column
            else:
                (place,) = there.take(step, axis=1).ravel().nonzero()
                conversion, column = np.divmod(place, count)
                of = conversion * row.shape[1] + step.take(column)
            rows, pairs = row.ravel().take(of), pair.ravel().take(of)
            entries.append(
                Entries(place, rows * count + column, pairs * count + column, into.ravel().take(of))
            )
        return entries

    def _with_conversions(
        self, room: Room, entries: list[Entries], variance: FloatArray
    ) -> FloatArray:
        """The noise of constraints with optimized conversions of that ``variance``."""
        noise = room.noise.copy()
        flat, each = noise.ravel(), variance.ravel()
        for of in entries:
            flat[of.row] += of.into * each.take(of.place)
        return noise

    def base(self, batch: Batch, room: Room) -> FloatArray:
        """The cost of all but what key switches take by level and optimized conversions."""
        kinds = len(self.space.kinds.place)
        cost: FloatArray = self.terms.cost_slope.take(batch.step * kinds + batch.kind)
        cost *= batch.lwe + LEAST_N
        cost += self.terms.cost.take(room.ring)
        return cost

    def _key_switches(self, room: Room, allowed: FloatArray) -> tuple[IntArray, FloatArray]:
        """The cheapest key switches with the noise that is ``allowed``: places, cost by level."""
        table = self.space.key_switches
        place = table.cheapest(room.lwe, allowed)
        cost = table.cost.ravel().take(place)
        cost *= room.dimension
        return place, cost


_HARDLY = 1e-200
"""How often what doesn't go into a constraint goes into it."""

_TOO_MANY = 1e6
"""Levels that stand for no solution."""
