"""One step of the optimizer: the best choice for one partition while the others stay.

Where the original (:mod:`fhecost.closed_form.optimizer`) walks through all rings, LWE dimensions and
decompositions, a lower bound of cost leaves a few hundred candidates here, which are priced as
columns of arrays. Rows are partitions (P), pairs of partitions or constraints.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from fhecost.closed_form.noise import allowed_variance
from fhecost.closed_form.noise_constraints import OUTPUT, CircuitNeeds, Indices
from fhecost.closed_form.search_space import Decompositions, SearchSpace
from fhecost.quantization import FloatArray, IntArray

STRIDE = 8
"""Every so many-th LWE dimension is looked at first, then those between that may be cheaper."""

FEW = 500
"""Candidates that are looked at all at once."""

FIRST_RINGS, FIRST_STRIDE, FIRST_REACH = 3, 32, 512
"""What is looked at while no cost is known yet: rings, and LWE dimensions above the least."""


class Choice(NamedTuple):
    """Of a partition: its ring and LWE dimension, and the decomposition of its bootstraps.

    All as indices into the :class:`SearchSpace`.
    """

    ring: int
    lwe: int
    level: int


class Switch(NamedTuple):
    """A key switch: where in the flattened :class:`Decompositions` it is, its variance and cost.

    A conversion holds for the ``rings`` that it was chosen for; between equal ones it is nothing.
    """

    index: int
    variance: float
    cost: float
    rings: Indices = (0, 0)


@dataclass(frozen=True, eq=False)
class Choices:
    """What is chosen for partitions and pairs of them, and what all lookups cost then."""

    partitions: tuple[Choice | None, ...]
    key_switches: Mapping[Indices, Switch] = field(default_factory=dict)
    conversions: Mapping[Indices, Switch] = field(default_factory=dict)
    cost: float = math.inf
    complete: bool = False


class _Batch(NamedTuple):
    """Candidates (candidates,) for one partition, as indices into the search space."""

    ring: IntArray
    lwe: IntArray
    level: IntArray

    def taken(self, which: Any) -> _Batch:
        return _Batch(self.ring[which], self.lwe[which], self.level[which])

    @property
    def rank(self) -> IntArray:
        """In which order the original comes to them."""
        rank: IntArray = (self.ring * 4096 + self.lwe) * 64 + self.level
        return rank


@dataclass(eq=False)
class _Group:
    """Key switches from one partition's key: ``rows`` of constraints, ``pairs`` of partitions."""

    source: int
    rows: slice
    pairs: slice
    starts: IntArray


@dataclass(eq=False)
class _Found:
    """The best candidate so far, its price, and the ``limit`` of cost under which it has it.

    ``seen`` are batches with their costs and lower bounds of these.
    """

    most: float
    price: float = field(init=False)
    chosen: _Batch | None = None
    limit: float = math.inf
    seen: list[tuple[_Batch, FloatArray, FloatArray]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.price = self.most * (1 - 1e-12)

    def note(self, batch: _Batch, cost: FloatArray, limit: float) -> None:
        """Take the best of ``batch`` if it is better."""
        at = int(cost.argmin())
        if cost[at] < self.price:
            self.price, self.chosen, self.limit = float(cost[at]), batch.taken([at]), limit


class _View(NamedTuple):
    """A batch as the whole circuit sees it: by partition, shapes (P, candidates)."""

    ring: IntArray
    lwe: IntArray
    n: IntArray
    dimension: IntArray
    modulus_switch: FloatArray
    variance: FloatArray
    fresh: FloatArray


class ParameterSearch:
    """Steps of the search for one circuit and one error a lookup (``kappa`` deviations)."""

    def __init__(self, needs: CircuitNeeds, space: SearchSpace, kappa: float) -> None:
        self.needs, self.space = needs, space
        self.count = count = len(needs.bootstraps)
        self.times = np.array(needs.bootstraps, dtype=float)
        read = sorted(
            (one for one in needs.constraints if one.reader != OUTPUT),
            key=lambda one: (one.source, one.reader),
        )
        self.pairs = [(one.source, one.reader) for one in read]
        self.sources, self.readers = (np.array(column) for column in zip(*self.pairs, strict=True))
        self.pair_times = np.array([needs.key_switches[pair] for pair in self.pairs], dtype=float)
        self.bounds = np.array([allowed_variance(one.precision, kappa) for one in read])
        sizes = [len(one.tightest) for one in read]
        self.starts = np.cumsum([0, *sizes])[:-1]
        self.rows = np.concatenate([one.tightest for one in read])
        self.conversions = list(needs.conversions)
        self.conversion_times = np.array(list(needs.conversions.values()), dtype=float)
        self.into = np.zeros((len(self.rows), len(self.conversions)))
        row_source = np.repeat(self.sources, sizes)
        for column, (own, target) in enumerate(self.conversions):
            self.into[:, column] = np.where(
                row_source == target, self.rows[:, 2 * count + own], 0.0
            )
        (self.output,) = (one for one in needs.constraints if one.reader == OUTPUT)
        self.output_bound = allowed_variance(self.output.precision, kappa)
        self.output_into = np.array(
            [
                self.output.tightest[:, 2 * count + own].max() * (target == self.output.source)
                for own, target in self.conversions
            ]
        )
        self.row_pairs = np.repeat(np.arange(len(read)), sizes)
        self.converted = [
            (rows, self.into[rows, column, None])
            for column, (rows,) in enumerate(np.nonzero(into) for into in self.into.T)
        ]
        self.groups = [self._group(source, sizes) for source in dict.fromkeys(self.sources)]
        self.optimized = [self._optimized_conversions(one) for one in range(count)]

    def _group(self, source: int, sizes: list[int]) -> _Group:
        (pairs,) = np.nonzero(self.sources == source)
        first, end = int(pairs[0]), int(pairs[-1]) + 1
        rows = slice(int(self.starts[first]), int(self.starts[first]) + sum(sizes[first:end]))
        return _Group(source, rows, slice(first, end), self.starts[first:end] - rows.start)

    def _optimized_conversions(self, partition: int) -> dict[int, int]:
        """By partition that is converted to, which conversion is chosen with ``partition``."""
        chosen = {}
        for target in range(self.count):
            into = sorted(pair for pair in self.conversions if pair[1] == target)
            sources = [source for source, _ in into]
            if partition in sources:
                own = partition
            elif partition < len(sources):
                own = sources[partition]
            elif sources and partition % len(sources) == 0:
                own = sources[0]
            else:
                continue
            chosen[target] = self.conversions.index((own, target))
        return chosen

    def improved(self, now: Choices, partition: int, most: float) -> Choices | None:
        """``now`` with the best choice for ``partition`` that costs less than ``most``, if any."""
        found = _Step(self, now, partition).best(most)
        if found is None:
            return None
        choice, cost, key_switches, chosen = found
        partitions = (*now.partitions[:partition], choice, *now.partitions[partition + 1 :])
        rings = [one and one.ring for one in partitions]
        # What was chosen for other rings holds no more.
        conversions = {
            (own, target): switch
            for (own, target), switch in {**now.conversions, **chosen}.items()
            if switch.rings == (rings[own], rings[target])
        }
        complete = None not in partitions and len(conversions) == len(self.conversions)
        return Choices(partitions, key_switches, conversions, cost, complete)


class _Step:
    """Candidates for ``partition`` beside what is chosen ``now`` for the others."""

    def __init__(self, search: ParameterSearch, now: Choices, partition: int) -> None:
        self.search, self.now, self.partition = search, now, partition
        self.optimized = search.optimized[partition]
        # What isn't chosen yet is taken to be as the candidate, with the least noise.
        self.free = np.array(
            [of == partition or one is None for of, one in enumerate(now.partitions)]
        )[:, None]
        self.own = (np.arange(search.count) == partition)[:, None]
        self.fixed = [
            np.array(column)[:, None]
            for column in zip(*(one or (0, 0, -1) for one in now.partitions), strict=True)
        ]
        space = search.space
        self.others_cost = sum(
            search.times[of]
            * float(space.lwe[one.lwe] * space.bootstraps.cost[one.ring, one.level])
            for of, one in enumerate(now.partitions)
            if one is not None and of != partition
        )
        before = [now.conversions.get(pair) for pair in search.conversions]
        missing = Switch(0, 0.0, 0.0, (-1, -1))
        self.known = np.array([one is not None for one in before], dtype=bool)[:, None]
        known = [one or missing for one in before]
        self.known_variance = np.array([one.variance for one in known])[:, None]
        self.known_cost = np.array([one.cost for one in known])[:, None]
        self.known_rings = [np.array([one.rings[i] for one in known])[:, None] for i in (0, 1)]
        self.given = np.ones(len(search.conversions), dtype=bool)
        self.given[list(self.optimized.values())] = False
        self.from_to = [np.array([p[i] for p in search.conversions], dtype=int) for i in (0, 1)]

    def best(
        self, most: float
    ) -> tuple[Choice, float, dict[Indices, Switch], dict[Indices, Switch]] | None:
        """The cheapest candidate below ``most``: itself, its cost, and the switches beside it."""
        pairs, base, slope = self._windows(most)
        if not len(pairs.ring):
            return None
        lwe = self.search.space.lwe
        found = _Found(most)
        least = base + slope * lwe[pairs.lwe]
        if not math.isfinite(most):
            order = np.argsort(least, kind="stable")
            start = 0
            while not math.isfinite(found.price) and start < len(order):
                first = pairs.taken(order[start : start + FIRST_RINGS])
                start += FIRST_RINGS
                self._look(found, self._spread(first, FIRST_REACH, FIRST_STRIDE))
        near = least <= found.price
        pairs, base, slope = pairs.taken(near), base[near], slope[near]
        # Up to where a lower bound of cost, which grows with n, exceeds the best known.
        ends = np.minimum((found.price - base) / slope, lwe[-1]).astype(int) - lwe[0]
        reach = int((ends - pairs.lwe).max(initial=0)) + 1
        few = int((ends - pairs.lwe).clip(0).sum()) < FEW
        coarse = self._spread(pairs, reach, 1 if few else STRIDE, ends)
        cost = self._look(found, coarse)
        if not few:
            n = lwe[coarse.lwe]
            which = cost * (n - STRIDE + 1) / n <= found.price
            self._look(found, self._spread(coarse.taken(which), -STRIDE, -1))
        if self.optimized:
            self._look_later(found)
        if found.chosen is None:
            return None
        switches: dict[Indices, Switch] = {}
        conversions: dict[Indices, Switch] = {}
        self._priced(found.chosen, found.limit, switches, conversions)
        choice = Choice(*(int(column[0]) for column in found.chosen))
        return choice, found.price, switches, conversions

    def _look(self, found: _Found, batch: _Batch) -> FloatArray:
        """What ``batch`` costs, the best of it being kept in ``found``."""
        if not len(batch.ring):
            return np.empty(0)
        cost, floor = self._first_feasible(batch)
        found.seen.append((batch, cost, floor))
        self._look_further(found, batch, cost, (cost > found.most) & (floor <= found.price))
        found.note(batch, cost, found.most)
        return cost

    def _look_further(
        self, found: _Found, batch: _Batch, cost: FloatArray, which: Any
    ) -> None:
        """Where ``which``, look for further conversions that keep ``batch`` cheaper."""
        (open_,) = np.nonzero(which)
        if len(open_):
            floor, _ = self._first_feasible(batch.taken(open_), floor=True)
            open_ = open_[floor <= found.price]
        if len(open_):
            limit = min(found.price, found.most)
            further = batch.taken(open_)
            found.note(further, self._priced(further, limit), limit)

    def _look_later(self, found: _Found) -> None:
        """Look again at candidates that the original comes to after the best.

        They must be cheaper than that, for which it goes further through conversions.
        """
        batch = _Batch(*(np.concatenate(c) for c in zip(*(b for b, _, _ in found.seen), strict=True)))
        cost, floor = (np.concatenate([one[i] for one in found.seen]) for i in (1, 2))
        rank, price = batch.rank, math.inf
        while found.chosen is not None and found.price < price:
            price = found.price
            which = (rank > found.chosen.rank) & (cost > price) & (floor <= price)
            self._look_further(found, batch, cost, which)

    def _spread(
        self, batch: _Batch, reach: int, stride: int, ends: IntArray | None = None
    ) -> _Batch:
        """``batch`` at its n and every ``stride``-th one from there up to ``reach`` more."""
        offsets = np.arange(0 if stride > 0 else -1, reach, stride)
        lwe = batch.lwe[:, None] + offsets
        shown = (lwe < len(self.search.space.lwe)) & (lwe >= 0)
        if ends is not None:
            shown &= lwe <= ends[:, None]
        which, _ = np.nonzero(shown)
        return _Batch(batch.ring[which], lwe[shown], batch.level[which])

    def _view(self, batch: _Batch) -> _View:
        space = self.search.space
        ring = np.where(self.free, batch.ring, self.fixed[0])
        lwe = np.where(self.free, batch.lwe, self.fixed[1])
        level = np.where(self.own, batch.level, self.fixed[2])
        n = space.lwe[lwe]
        return _View(
            ring,
            lwe,
            n,
            space.dimension[ring],
            space.modulus_switch[ring, lwe],
            n * space.bootstraps.noise[ring, level],
            space.fresh[ring],
        )

    def _noise(self, view: _View) -> FloatArray:
        """By constraint, without conversions."""
        count, rows = self.search.count, self.search.rows
        noise: FloatArray = rows[:, :count] @ view.variance
        noise += rows[:, count : 2 * count] @ view.fresh
        return noise

    def _output_left(self, view: _View) -> FloatArray:
        """How much noise conversions may add to the circuit's result."""
        search, count = self.search, self.search.count
        noise = search.output.tightest[:, :count] @ view.variance
        noise += search.output.tightest[:, count : 2 * count] @ view.fresh
        left: FloatArray = search.output_bound - noise.max(axis=0)
        return left

    def _windows(self, most: float) -> tuple[_Batch, FloatArray, FloatArray]:
        """Rings and decompositions with the least n that could do; their least cost is linear in n.

        Its constant part and its slope (candidates,) come along.
        """
        search, space = self.search, self.search.space
        batch = _Batch(space.rings, np.zeros(len(space.rings), dtype=int), space.levels)
        lowest = space.key_switches.noise[:, -1]
        free_reader = self.free[search.readers]
        base = slope = np.empty(0)
        for turn in range(2):
            view = self._view(batch)
            if not turn:
                base, slope = self._least_cost(batch, view)
                kept = base + slope * space.lwe[0] <= most
                batch, base, slope = batch.taken(kept), base[kept], slope[kept]
                view = _View(*(column[:, kept] for column in view))
            noise = np.maximum.reduceat(self._noise(view), search.starts, axis=0)
            left = search.bounds[:, None] - noise - view.modulus_switch[search.readers]
            each = left / view.dimension[search.sources]
            reader = view.lwe[search.readers]
            least = np.searchsorted(-lowest, np.where(free_reader, -each, -np.inf)).max(axis=0)
            fits = (free_reader | (each >= lowest[reader])).all(axis=0) & (least < len(space.lwe))
            fits &= self._output_left(view) >= 0
            if turn:
                base = base + self._more_levels(view, each)
            batch = _Batch(batch.ring, np.maximum(batch.lwe, least), batch.level).taken(fits)
            base, slope = base[fits], slope[fits]
        kept = base + slope * space.lwe[batch.lwe] <= most
        return batch.taken(kept), base[kept], slope[kept]

    def _more_levels(self, view: _View, allowed: FloatArray) -> FloatArray:
        """What key switches to known partitions cost above those of one level.

        ``allowed`` (pairs, candidates) is their noise at most, for each coefficient.
        """
        search, table = self.search, self.search.space.key_switches
        (fixed,) = np.nonzero(~self.free[search.readers, 0])
        lwe = view.lwe[search.readers[fixed]]
        cost = table.cost.ravel()[table.cheapest(lwe, allowed[fixed])] - table.cost[lwe, 0]
        more: FloatArray = search.pair_times[fixed] @ (
            cost * view.dimension[search.sources[fixed]]
        )
        return more

    def _own_cost(self, batch: _Batch) -> FloatArray:
        """Of all bootstraps."""
        space = self.search.space
        each = space.lwe[batch.lwe] * space.bootstraps.cost[batch.ring, batch.level]
        cost: FloatArray = self.search.times[self.partition] * each + self.others_cost
        return cost

    def _least_cost(self, batch: _Batch, view: _View) -> tuple[FloatArray, FloatArray]:
        """Of bootstraps and key switches of one level: the constant part, and for each n."""
        search, space = self.search, self.search.space
        dimension = view.dimension[search.sources]
        free = self.free[search.readers]
        n = np.where(free, 0, view.n[search.readers])
        times = search.pair_times
        base = times @ (dimension * (2.0 * n + 3) - n) + self.others_cost
        slope = times @ np.where(free, 2.0 * dimension - 1, 0.0)
        slope += search.times[self.partition] * space.bootstraps.cost[batch.ring, batch.level]
        return base, slope

    def _switch_floors(self, view: _View) -> FloatArray:
        """By pair: what its key switches cost with one level."""
        search = self.search
        n = view.n[search.readers]
        floors: FloatArray = search.pair_times[:, None] * (
            view.dimension[search.sources] * (2.0 * n + 3) - n
        )
        return floors

    def _conversions(self, view: _View) -> tuple[FloatArray, FloatArray]:
        """Variance and cost of each conversion as it is known, or the least of each."""
        table = self.search.space.conversions
        ring, target = (view.ring[part] for part in self.from_to)
        dimension = view.dimension[self.from_to[0]]
        holds = (ring == self.known_rings[0]) & (target == self.known_rings[1])
        differs = ring != target
        variance = np.where(self.known, holds * self.known_variance, dimension * table.noise[target, -1])
        cost = np.where(
            self.known,
            holds * self.known_cost,
            dimension * table.cost[target, 0] + table.bias[target],
        )
        return variance * differs, cost * differs

    def _first_feasible(
        self, batch: _Batch, *, floor: bool = False
    ) -> tuple[FloatArray, FloatArray]:
        """Costs with the cheapest conversions that leave a solution, and what is less than any.

        As a ``floor``, of the next conversions, as if they had the least noise of all.
        """
        search, space = self.search, self.search.space
        view = self._view(batch)
        noise, output_left = self._noise(view), self._output_left(view)
        variance, conversion_cost = self._conversions(view)
        columns = list(self.optimized.values())
        given = self.given
        noise += search.into[:, given] @ variance[given]
        output_left = output_left - search.output_into[given] @ variance[given]
        readers = search.readers
        left = search.bounds[:, None] - view.modulus_switch[readers]
        lwe, dimension = view.lwe[readers], view.dimension[search.sources]
        table = space.key_switches
        fits = np.ones(len(batch.ring), dtype=bool)
        more = np.full(len(batch.ring), np.inf)
        if columns:
            # By constraint, what conversions may add if key switches add the least.
            room = (left - dimension * table.noise[:, -1][lwe])[search.row_pairs] - noise
            for target, column in self.optimized.items():
                rows, into = search.converted[column]
                allowed = np.full(len(batch.ring), np.inf)
                if len(rows):
                    allowed = (room[rows] / into).min(axis=0)
                if target == search.output.source:
                    allowed = np.minimum(allowed, output_left / search.output_into[column])
                if self._checked(column):
                    fits &= variance[column] <= allowed
                own, ring = view.dimension[search.conversions[column][0]], view.ring[target]
                differs = view.ring[search.conversions[column][0]] != ring
                index = space.conversions.cheapest(ring, allowed / own)
                chosen = space.conversions.noise.ravel()[index]
                if floor:
                    chosen = space.conversions.noise[ring, -1]
                variance[column] = differs * own * chosen
                each = own * space.conversions.cost.ravel()[index] + space.conversions.bias[ring]
                conversion_cost[column] = np.where(differs, each, 0.0)
                step = search.conversion_times[column] * own * space.conversions.slope[ring]
                more = np.minimum(more, np.where(differs, step, np.inf))
                fits &= allowed >= 0
            noise = noise + search.into[:, columns] @ variance[columns]
            output_left = output_left - search.output_into[columns] @ variance[columns]
        left = left - np.maximum.reduceat(noise, search.starts, axis=0)
        index = table.cheapest(lwe, left / dimension)
        switches = search.pair_times @ (dimension * table.cost.ravel()[index] + table.bias[lwe])
        fits &= output_left >= 0
        base = self._own_cost(batch) + search.conversion_times @ conversion_cost
        cost = np.where(fits, base + switches, np.inf)
        if not columns:
            return cost, np.full(len(cost), np.inf)
        if floor:
            return cost + more, cost
        least = base + more + self._switch_floors(view).sum(axis=0)
        return cost, np.where(fits, least, np.inf)

    def _priced(
        self,
        batch: _Batch,
        most: float,
        key_switches: dict[Indices, Switch] | None = None,
        conversions: dict[Indices, Switch] | None = None,
    ) -> FloatArray:
        """What ``batch`` costs in all; of a single candidate the chosen switches are kept.

        Of a conversion to be chosen, the original takes the first that leaves the cost no more than
        ``most``.
        """
        search = self.search
        view = self._view(batch)
        noise = self._noise(view)
        output_left = self._output_left(view)
        variance, conversion_cost = self._conversions(view)
        conversion_cost *= search.conversion_times[:, None]
        chosen_now = list(self.optimized.values())
        given = np.ones(len(search.conversions), dtype=bool)
        given[chosen_now] = False
        noise += search.into[:, given] @ variance[given]
        output_left = output_left - search.output_into[given] @ variance[given]
        floors = self._switch_floors(view)
        cost = self._own_cost(batch) + conversion_cost[given].sum(axis=0)
        later = floors.sum(axis=0) + conversion_cost[~given].sum(axis=0)
        targets = set(self.optimized)
        for group in search.groups:
            pairs = group.pairs
            later = later - floors[pairs].sum(axis=0)
            column = self.optimized.get(group.source)
            if column is None:
                cost = cost + self._key_switches(group, view, noise[group.rows], key_switches)
                continue
            targets.discard(group.source)
            later = later - conversion_cost[column]
            here = _Conversion(self, group, view, column, noise, output_left)
            known = variance[column] if self._checked(column) else None
            cost = cost + here.cost(most - cost - later, known, key_switches, conversions)
        for target in targets:
            # Nothing but the circuit's result is under that key.
            column = self.optimized[target]
            later = later - conversion_cost[column]
            here = _Conversion(self, None, view, column, noise, output_left)
            cost = cost + here.cost(most - cost - later, None, key_switches, conversions)
        if not self.optimized.get(search.output.source) is not None:
            cost = np.where(output_left >= 0, cost, np.inf)
        return cost

    def _checked(self, column: int) -> bool:
        """Whether the original looks only at candidates for which the known conversion does."""
        own, target = self.search.conversions[column]
        return bool(self.known[column, 0]) and self.search.conversions[
            self.optimized.get(own, column)
        ] != (target, own)

    def _key_switches(
        self,
        group: _Group,
        view: _View,
        noise: FloatArray,
        kept: dict[Indices, Switch] | None = None,
    ) -> FloatArray:
        """The cost of the cheapest key switches for which ``noise`` leaves room, or infinite."""
        search, space = self.search, self.search.space
        table: Decompositions = space.key_switches
        readers = search.readers[group.pairs]
        worst = np.maximum.reduceat(noise, group.starts, axis=0)
        left = search.bounds[group.pairs, None] - worst - view.modulus_switch[readers]
        lwe, dimension = view.lwe[readers], view.dimension[group.source]
        index = table.cheapest(lwe, left / dimension)
        cost = dimension * table.cost.ravel()[index] + table.bias[lwe]
        if kept is not None:
            for pair, at, each in zip(search.pairs[group.pairs], index, cost, strict=True):
                variance = float(dimension[0] * table.noise.ravel()[at[0]])
                kept[pair] = Switch(int(at[0]), variance, float(each[0]))
        total: FloatArray = search.pair_times[group.pairs] @ cost
        return total


class _Conversion:
    """A conversion to be chosen, and the key switches of the group that it leads to."""

    def __init__(
        self,
        step: _Step,
        group: _Group | None,
        view: _View,
        column: int,
        noise: FloatArray,
        output_left: FloatArray,
    ) -> None:
        search = step.search
        self.step, self.group, self.view, self.column = step, group, view, column
        self.pair = own, target = search.conversions[column]
        self.times = search.conversion_times[column]
        self.ring = view.ring[target]
        self.differs = view.ring[own] != self.ring
        self.dimension = view.dimension[own]
        if group is not None:
            self.noise = noise[group.rows]
            self.into = search.into[group.rows, column, None]
        self.output_left, self.output_into = None, search.output_into[column]
        if search.output.source == target:
            self.output_left = output_left

    def cost(
        self,
        most: FloatArray,
        known: FloatArray | None,
        key_switches: dict[Indices, Switch] | None,
        conversions: dict[Indices, Switch] | None,
    ) -> FloatArray:
        """Of conversion and key switches, with the first conversion that keeps it below ``most``.

        ``known`` is the variance with which there must be a solution, too.
        """
        table = self.step.search.space.conversions
        ring = self.ring
        lowest = self.differs * (self.dimension * table.noise[ring, -1])
        open_ = np.isfinite(self._switched(lowest, None))
        if known is not None:
            open_ &= np.isfinite(self._switched(known, None))
        best = np.full(len(ring), np.inf)
        for level in range(table.noise.shape[1]):
            each = self.dimension * table.cost[ring, level] + table.bias[ring]
            cost = self.times * np.where(self.differs, each, 0.0)
            open_ &= cost <= most
            if not open_.any():
                break
            variance = self.differs * (self.dimension * table.noise[ring, level])
            kept: dict[Indices, Switch] | None = None if key_switches is None else {}
            total = cost + self._switched(variance, kept)
            taken = open_ & (total <= most) & np.isfinite(total)
            best[taken] = total[taken]
            open_ &= ~taken
            if taken.any() and key_switches is not None and conversions is not None and kept is not None:
                key_switches.update(kept)
                rings = int(self.view.ring[self.pair[0]][0]), int(ring[0])
                index = int(ring[0]) * table.noise.shape[1] + level
                each_cost = float(cost[0] / self.times)
                conversions[self.pair] = Switch(index, float(variance[0]), each_cost, rings)
        return best

    def _switched(
        self, variance: FloatArray, kept: dict[Indices, Switch] | None
    ) -> FloatArray:
        """The cost of key switches after a conversion that adds ``variance``."""
        if self.group is None:
            cost = np.zeros(len(variance))
        else:
            noise = self.noise + self.into * variance
            cost = self.step._key_switches(self.group, self.view, noise, kept)
        if self.output_left is not None:
            cost = np.where(self.output_into * variance <= self.output_left, cost, np.inf)
        return cost
