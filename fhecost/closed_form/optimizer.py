"""The parameter sets that Concrete's optimizer gives a circuit.

The search is that of zama-ai/concrete@ebef4fb61 (``concrete-optimizer/src/optimization/dag/
multi_parameters/optimize``): partition by partition, from the largest precision down, the ring, the
LWE dimension and the decompositions of least cost, as long as no lookup errs more often than
``p_error``; again until nothing changes. Where the original walks through all candidates, here a
lower bound of cost leaves few of them, which are looked at together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from fhecost.closed_form.noise import allowed_variance, deviations, p_error_of
from fhecost.closed_form.noise_constraints import OUTPUT, CircuitNeeds, Constraint, Indices
from fhecost.closed_form.search_space import SearchSpace, search_space
from fhecost.errors import ImpossibleError
from fhecost.quantization import FloatArray, IntArray

ROUNDS = 11
"""How often the optimizer goes through all partitions at most."""

STRIDE = 8
REACH = 320


class Choice(NamedTuple):
    """Of a partition: its ring and LWE dimension, and the decomposition of its bootstraps.

    All as indices into the :class:`SearchSpace`.
    """

    ring: int
    lwe: int
    level: int


class Switch(NamedTuple):
    """A key switch: where its decomposition is in the flattened choices, its variance and cost.

    A conversion holds for the ``rings`` that it was chosen for; between equal ones it is nothing.
    """

    index: int
    variance: float
    cost: float
    rings: Indices = (0, 0)


@dataclass(frozen=True, eq=False)
class Solution:
    """What was chosen for each partition and pair of them.

    ``cost`` is that of all lookups, ``p_error`` that of the worst lookup; ``complete`` is whether
    nothing is missing yet.
    """

    choices: tuple[Choice | None, ...]
    key_switches: Mapping[Indices, Switch]
    conversions: Mapping[Indices, Switch]
    cost: float
    p_error: float
    global_p_error: float
    complete: bool = False


def solve(needs: CircuitNeeds, p_error: float, security: int = 128) -> Solution:
    """The solution for a circuit with at most ``p_error`` for each lookup.

    Raises:
        ImpossibleError: no parameters do.
    """
    search = _Search(needs, search_space(security), deviations(p_error))
    count = len(needs.bootstraps)
    now = Solution((None,) * count, {}, {}, math.inf, 1.0, 1.0)
    best, before = now, now
    for _ in range(ROUNDS):
        for partition in reversed(range(count)):
            now = search.improved(now, partition, best.cost)
            if now.complete and now.cost < best.cost:
                best = now
        if count == 1 or (now.choices, now.cost) == (before.choices, before.cost):
            break
        before = now
    if not best.complete:
        raise ImpossibleError("no parameters keep the noise of some lookup low enough")
    return best


def solve_globally(needs: CircuitNeeds, global_p_error: float) -> tuple[Solution, float]:
    """The solution where any lookup errs with ``global_p_error``, and the p_error it comes from.

    As the compiler does (``V0Parameters.cpp``): what a solution's worst lookup has to do with the
    whole circuit tells which p_error to try next, ten times at most.
    """
    p_error = global_p_error
    for _ in range(10):
        solution = solve(needs, p_error)
        if solution.global_p_error <= global_p_error:
            break
        share = math.log1p(-solution.p_error) / math.log1p(-solution.global_p_error)
        p_error = -math.expm1(math.log1p(-global_p_error) * share)
    return solution, p_error


class _Batch(NamedTuple):
    """Candidates (candidates,) for one partition, as indices into the search space."""

    ring: IntArray
    lwe: IntArray
    level: IntArray

    def __getitem__(self, which: object) -> _Batch:  # type: ignore[override]
        return _Batch(*(np.atleast_1d(column[which]) for column in tuple(self)))


@dataclass(eq=False)
class _Priced:
    """What a batch costs in all (candidates,); of one candidate, also what was chosen for it."""

    cost: FloatArray
    key_switches: dict[Indices, Switch]
    conversions: dict[Indices, Switch]


class _Search:
    def __init__(self, needs: CircuitNeeds, space: SearchSpace, kappa: float) -> None:
        self.needs, self.space, self.kappa = needs, space, kappa
        self.count = len(needs.bootstraps)
        self.by_source: dict[int, list[Constraint]] = {}
        for constraint in needs.constraints:
            self.by_source.setdefault(constraint.source, []).append(constraint)
        # Every ring with every decomposition.
        self.all_rings, self.all_levels = np.nonzero(np.isfinite(space.bootstraps.cost))

    def bound(self, constraint: Constraint) -> float:
        return allowed_variance(constraint.precision, self.kappa)

    def improved(self, now: Solution, partition: int, most: float) -> Solution:
        """``now`` with the best choice for ``partition`` that costs less than ``most``."""
        batch, price, cut = self._best(now, partition, most)
        if batch is None:
            if now.choices == (None,) * self.count:
                raise ImpossibleError("no parameters keep the noise of some lookup low enough")
            return now
        priced = self._priced(now, partition, batch, cut)
        assert abs(priced.cost[0]/price-1)<1e-9, (priced.cost,price)
        choice = Choice(*(int(column[0]) for column in tuple(batch)))
        choices = (*now.choices[:partition], choice, *now.choices[partition + 1 :])
        conversions = {**now.conversions, **priced.conversions}
        # What was chosen for other rings holds no more.
        valid = {
            pair: switch
            for pair, switch in conversions.items()
            if switch.rings == tuple((one and one.ring) for one in (choices[i] for i in pair))
        }
        complete = None not in choices and len(valid) == len(self.needs.conversions)
        solution = Solution(choices, priced.key_switches, valid, price, 1.0, 1.0, complete)
        return self._with_errors(solution) if complete else solution

    def optimized_conversions(self, partition: int) -> dict[int, int]:
        """By partition that is converted to, from where: of these, ``partition`` chooses too."""
        chosen = {}
        for target in range(self.count):
            sources = sorted(s for s, t in self.needs.conversions if t == target)
            if partition in sources:
                chosen[target] = partition
            elif partition < len(sources):
                chosen[target] = sources[partition]
            elif sources and partition % len(sources) == 0:
                chosen[target] = sources[0]
        return chosen

    def _best(self, now: Solution, partition: int, most: float) -> tuple[_Batch | None, float, float]:
        """The cheapest candidate below ``most``, and its cost."""
        pairs, least = self._windows(now, partition, most)
        order = np.argsort(least, kind="stable")
        offsets = np.arange(0, REACH, STRIDE)
        chosen, price = None, most * (1 - 1e-12)
        seen: list[tuple[_Batch, FloatArray]] = []
        start, step = 0, 4
        while start < len(order) and least[order[start]] <= price:
            group = pairs[order[start : start + step]]
            bound = least[order[start : start + step], None]
            start, step = start + step, min(2 * step, 32)
            lwe = group.lwe[:, None] + offsets
            # Bootstraps, and so about all, cost in proportion to n.
            shown = (lwe < len(self.space.lwe)) & (bound <= price)
            which, _ = np.nonzero(shown)
            coarse = _Batch(group.ring[which], lwe[shown], group.level[which])
            cost = self._priced(now, partition, coarse, most).cost
            seen.append((coarse, cost))
            at = int(cost.argmin())
            if cost[at] < price:
                chosen, price = coarse[at], float(cost[at])
        for coarse, cost in list(seen):
            n = self.space.lwe[coarse.lwe]
            near = np.isfinite(cost) & (cost * (n - STRIDE + 1) / n <= price)
            if not near.any() or STRIDE == 1:
                continue
            between = coarse.lwe[near][:, None] - np.arange(1, STRIDE)
            shown = between >= 0
            which = np.nonzero(near)[0][np.nonzero(shown)[0]]
            fine = _Batch(coarse.ring[which], between[shown], coarse.level[which])
            if not len(fine.ring):
                continue
            cost = self._priced(now, partition, fine, most).cost
            seen.append((fine, cost))
            at = int(cost.argmin())
            if cost[at] < price:
                chosen, price = fine[at], float(cost[at])
        cut = used = most
        while chosen is not None and cut > price and self.optimized_conversions(partition):
            # What the original looks at later must beat the best so far.
            cut = price
            for batch, cost in seen:
                later = (self._rank(batch) > self._rank(chosen)) & (self._least_cost(now, partition, batch) < price)
                if not later.any():
                    continue
                rest = batch[later]
                found = self._priced(now, partition, rest, cut).cost
                at = int(found.argmin())
                if found[at] < price:
                    chosen, price, used = rest[at], float(found[at]), cut
        return chosen, price, used

    def _rank(self, batch: _Batch) -> IntArray:
        return (batch.ring * 4096 + batch.lwe) * 64 + batch.level

    def _windows(self, now: Solution, partition: int, most: float) -> tuple[_Batch, FloatArray]:
        """Each ring and decomposition with the least n that could do, and the least cost of it."""
        space, rings, levels = self.space, self.all_rings, self.all_levels
        lwe = np.zeros(len(rings), dtype=int)
        lowest = space.key_switches.noise[:, -1]
        for _ in range(2):
            values = self._variances(now, partition, _Batch(rings, lwe, levels))
            fits = np.ones(len(rings), dtype=bool)
            least = lwe
            for constraint in self.needs.constraints:
                noise = constraint.tightest[:, : 2 * self.count] @ values
                left = self.bound(constraint) - noise.max(axis=0)
                if constraint.reader == OUTPUT:
                    fits &= left >= 0
                    continue
                reader = now.choices[constraint.reader]
                source = now.choices[constraint.source]
                own = constraint.source == partition or source is None
                dimension = space.dimension[rings] if own else space.dimension[source.ring]  # type: ignore[union-attr]
                if constraint.reader == partition or reader is None:
                    left = (left - space.modulus_switch[rings, lwe]) / dimension
                    least = np.maximum(least, np.searchsorted(-lowest, -left))
                else:
                    left = left - space.modulus_switch[reader.ring, reader.lwe]
                    fits &= left >= dimension * lowest[reader.lwe]
            fits &= least < len(space.lwe)
            rings, levels, lwe = rings[fits], levels[fits], least[fits]
        cost = self._least_cost(now, partition, _Batch(rings, lwe, levels))
        fits = cost <= most
        return _Batch(rings[fits], lwe[fits], levels[fits]), cost[fits]

    def _least_cost(self, now: Solution, partition: int, batch: _Batch) -> FloatArray:
        """What ``batch`` costs with key switches of one level."""
        space = self.space
        cost = self._bootstrap_cost(now, partition, batch)
        for (source, target), times in self.needs.key_switches.items():
            ring, lwe = self._ring(now, partition, batch, source), self._lwe(
                now, partition, batch, target
            )
            n = space.lwe[lwe]
            cost = cost + times * (space.dimension[ring] * (2.0 * n + 3) - n)
        return cost

    def _ring(self, now: Solution, partition: int, batch: _Batch, of: int) -> IntArray:
        choice = now.choices[of]
        free = of == partition or choice is None
        return batch.ring if free else np.array(choice.ring)  # type: ignore[union-attr]

    def _lwe(self, now: Solution, partition: int, batch: _Batch, of: int) -> IntArray:
        choice = now.choices[of]
        free = of == partition or choice is None
        return batch.lwe if free else np.array(choice.lwe)  # type: ignore[union-attr]

    def _bootstrap_cost(self, now: Solution, partition: int, batch: _Batch) -> FloatArray:
        space, times = self.space, self.needs.bootstraps
        each = space.lwe[batch.lwe] * space.bootstraps.cost[batch.ring, batch.level]
        others = sum(
            times[of] * space.lwe[one.lwe] * space.bootstraps.cost[one.ring, one.level]
            for of, one in enumerate(now.choices)
            if one is not None and of != partition
        )
        return each * times[partition] + others

    def _variances(self, now: Solution, partition: int, batch: _Batch) -> FloatArray:
        """Of bootstraps and inputs (2 P, candidates); what isn't chosen yet has the lowest."""
        space = self.space
        values = np.empty((2 * self.count, len(batch.ring)))
        for of, one in enumerate(now.choices):
            if of == partition or one is None:
                level = batch.level if of == partition else -1
                noise = space.bootstraps.noise[batch.ring, level]
                values[of] = space.lwe[batch.lwe] * noise
                values[self.count + of] = space.fresh[batch.ring]
            else:
                noise = space.bootstraps.noise[one.ring, one.level]
                values[of] = space.lwe[one.lwe] * noise
                values[self.count + of] = space.fresh[one.ring]
        return values

    def _priced(
        self, now: Solution, partition: int, batch: _Batch, most: float
    ) -> _Priced:
        """What ``batch`` costs with the best decompositions of all key switches, up to ``most``."""
        priced = _Priced(self._bootstrap_cost(now, partition, batch), {}, {})
        values = self._variances(now, partition, batch)
        optimized = self.optimized_conversions(partition)
        groups = [
            _Group(self, now, partition, batch, source, optimized.get(source))
            for source in sorted({*self.by_source, *(target for _, target in self.needs.conversions)})
        ]
        floors = [group.floor() for group in groups]
        for index, group in enumerate(groups):
            others = sum(floors[index + 1 :], priced.cost)
            group.add_to(priced, values, most - others)
        return priced

    def _with_errors(self, solution: Solution) -> Solution:
        """``solution`` with how often its lookups err."""
        space, count = self.space, self.count
        batch = _Batch(*(np.zeros(0, dtype=int),) * 3)
        worst, sound = 0.0, 0.0
        choices = [one for one in solution.choices if one is not None]
        values = np.empty(3 * count)
        for of, one in enumerate(choices):
            values[of] = space.lwe[one.lwe] * space.bootstraps.noise[one.ring, one.level]
            values[count + of] = space.fresh[one.ring]
        del batch
        for constraint in self.needs.constraints:
            source, reader = constraint.source, constraint.reader
            values[2 * count :] = 0.0
            for (own, target), switch in solution.conversions.items():
                if target == source:
                    values[2 * count + own] = switch.variance
            added = 0.0
            if reader != OUTPUT:
                added = solution.key_switches[source, reader].variance
                added += space.modulus_switch[choices[reader].ring, choices[reader].lwe]
            relative = (constraint.noise @ values + added) / self.bound(constraint)
            worst = max(worst, float(relative.max()))
            for one_relative, times in zip(relative, constraint.counts, strict=True):
                sound += times * math.log1p(-p_error_of(float(one_relative), self.kappa))
        p_error = p_error_of(worst, self.kappa)
        return replace(solution, p_error=p_error, global_p_error=-math.expm1(sound))


class _Group:
    """Everything that happens to ciphertexts under the key of one partition, ``source``.

    They are converted to that key from others, of which the one from ``converted`` is to be
    optimized, and switched to the keys of their readers.
    """

    def __init__(
        self,
        search: _Search,
        now: Solution,
        partition: int,
        batch: _Batch,
        source: int,
        converted: int | None,
    ) -> None:
        self.search, self.now, self.partition, self.batch = search, now, partition, batch
        self.source, self.converted = source, converted
        self.constraints = search.by_source.get(source, [])

    def add_to(self, priced: _Priced, values: FloatArray, most: FloatArray) -> None:
        """Add the cost of its conversions and key switches to ``priced``, and the choices.

        Of the conversion to be optimized, the original takes the first that leaves the cost no more
        than ``most``.
        """
        search, space = self.search, self.search.space
        count = search.count
        noise = [c.tightest[:, : 2 * count] @ values for c in self.constraints]
        ring = self._ring(self.source)
        for (own, target), times in search.needs.conversions.items():
            if target != self.source or own == self.converted:
                continue
            variance, cost = self._given(own, ring)
            priced.cost += times * cost
            for index, constraint in enumerate(self.constraints):
                factor = constraint.tightest[:, 2 * count + own, None]
                noise[index] = noise[index] + factor * variance
        if self.converted is None:
            found, switches = self._key_switches(noise)
            priced.cost += found
            priced.key_switches.update(switches)
            return
        own = self.converted
        times = search.needs.conversions[own, self.source]
        factors = [c.tightest[:, 2 * count + own, None] for c in self.constraints]
        own_ring = self._ring(own)
        same = own_ring == ring
        table, dimension = space.conversions, space.dimension[own_ring]
        floor = self._switch_floor()
        best = np.full(len(priced.cost), np.inf)
        hopeful = np.isfinite(
            self._key_switches(
                [
                    one + factor * np.where(same, 0.0, dimension * table.noise[ring, -1])
                    for one, factor in zip(noise, factors, strict=True)
                ]
            )[0]
        )
        for level in range(table.noise.shape[1]):
            variance = np.where(same, 0.0, dimension * table.noise[ring, level])
            cost = np.where(same, 0.0, dimension * table.cost[ring, level] + table.bias[ring])
            if not (hopeful & (times * cost + floor <= most)).any():
                break
            found, switches = self._key_switches(
                [one + factor * variance for one, factor in zip(noise, factors, strict=True)]
            )
            total = found + times * cost
            taken = hopeful & (total <= most) & np.isfinite(total)
            best = np.where(taken, total, best)
            hopeful = hopeful & ~taken
            if len(best) == 1 and taken[0]:
                index = int(np.ravel(ring)[0]) * table.noise.shape[1] + level
                rings = int(np.ravel(own_ring)[0]), int(np.ravel(ring)[0])
                priced.conversions[own, self.source] = Switch(
                    index, float(np.ravel(variance)[0]), float(np.ravel(cost)[0]), rings
                )
                priced.key_switches.update(switches)
        best = np.where(self._checked(noise, factors, ring), best, np.inf)
        priced.cost += best

    def _checked(
        self, noise: list[FloatArray], factors: list[FloatArray], ring: IntArray
    ) -> FloatArray | bool:
        """Whether the conversion as it was before would do: else the original looks no further."""
        own = self.converted
        before = self.now.conversions.get((own, self.source))  # type: ignore[arg-type]
        if before is None or self.search.optimized_conversions(self.partition).get(own) == self.source:  # type: ignore[arg-type]
            return True
        rings = (self._ring(own) == before.rings[0]) & (ring == before.rings[1])  # type: ignore[arg-type]
        variance = np.where(rings, before.variance, 0.0)
        found, _ = self._key_switches(
            [one + factor * variance for one, factor in zip(noise, factors, strict=True)]
        )
        return np.isfinite(found)

    def _ring(self, of: int) -> IntArray:
        return self.search._ring(self.now, self.partition, self.batch, of)

    def _given(self, own: int, ring: IntArray) -> tuple[FloatArray, FloatArray]:
        """Variance and cost of the conversion from ``own``, which isn't optimized now."""
        space, before = self.search.space, self.now.conversions.get((own, self.source))
        own_ring = self._ring(own)
        same = own_ring == ring
        if before is None:
            # The best that there is, at the cost of the cheapest.
            dimension, table = space.dimension[own_ring], space.conversions
            variance = dimension * table.noise[ring, -1]
            cost = dimension * table.cost[ring, 0] + table.bias[ring]
        else:
            holds = (own_ring == before.rings[0]) & (ring == before.rings[1])
            variance = np.where(holds, before.variance, 0.0)
            cost = np.where(holds, before.cost, 0.0)
        return np.where(same, 0.0, variance), np.where(same, 0.0, cost)

    def floor(self) -> FloatArray:
        """The least that its key switches and conversions cost, those as they are."""
        cost = self._switch_floor()
        ring = self._ring(self.source)
        for (own, target), times in self.search.needs.conversions.items():
            if target == self.source:
                cost = cost + times * self._given(own, ring)[1]
        return cost

    def _switch_floor(self) -> FloatArray:
        """The least that the key switches cost."""
        space, cost = self.search.space, np.zeros(1)
        dimension = space.dimension[self._ring(self.source)]
        for (source, target), times in self.search.needs.key_switches.items():
            if source == self.source:
                n = space.lwe[self.search._lwe(self.now, self.partition, self.batch, target)]
                cost = cost + times * (dimension * (2.0 * n + 3) - n)
        return cost

    def _key_switches(self, noise: list[FloatArray]) -> tuple[FloatArray, dict[Indices, Switch]]:
        """The cheapest key switches that what they switch leaves room for, by constraint."""
        search, space = self.search, self.search.space
        table, batch = space.key_switches, self.batch
        total = np.zeros(len(batch.ring))
        switches = {}
        dimension = space.dimension[self._ring(self.source)]
        for constraint, rows in zip(self.constraints, noise, strict=True):
            left = search.bound(constraint) - rows.max(axis=0)
            if constraint.reader == OUTPUT:
                total = np.where(left >= 0, total, np.inf)
                continue
            reader = constraint.reader
            lwe = search._lwe(self.now, self.partition, batch, reader)
            left = left - space.modulus_switch[
                search._ring(self.now, self.partition, batch, reader), lwe
            ]
            index = table.cheapest(lwe, left / dimension)
            cost = dimension * table.cost.ravel()[index] + table.bias[lwe]
            pair = self.source, reader
            total = total + search.needs.key_switches[pair] * cost
            if len(total) == 1 and math.isfinite(total[0]):
                at = int(np.ravel(index)[0])
                variance = float(np.ravel(dimension)[0] * table.noise.ravel()[at])
                switches[pair] = Switch(at, variance, float(np.ravel(cost)[0]))
        return total, switches
