"""What candidates for one partition's choice have in common where their bootstraps are of one kind.

The other partitions' choices stay. What depends on a candidate's ring alone, or on that and how its
bootstraps decompose, is worked out here, once for all of them;
:mod:`fhecost.closed_form.candidate_costs` adds what depends on its LWE dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from fhecost.closed_form.search_space import LEAST_N, SearchSpace
from fhecost.closed_form.search_state import Choice, Step, Switch
from fhecost.closed_form.stacked_circuits import Stacked, StackedPartitions
from fhecost.quantization import FloatArray, IntArray

_FREE = Choice(0, 0, 0)
_UNKNOWN = Switch(0, 0.0, 0.0, (-1, -1))


class Conversions(NamedTuple):
    """Conversions between keys, shapes (conversions, steps * rings).

    ``between`` is the number of the pair of rings in the :class:`Between` of the search space,
    ``dimension`` that of the key that they lead from, ``to`` the ring that they lead to. ``cost``
    is as it is known for these rings, or the least; ``least`` and ``least_cost`` are the least
    variance and cost in any case, ``required`` is the variance that there must be room for.
    """

    between: IntArray
    dimension: IntArray
    to: IntArray
    cost: FloatArray
    least: FloatArray
    least_cost: FloatArray
    required: FloatArray


class KindTerms:
    """Terms of the candidates for a partition each of some ``steps``.

    What isn't chosen yet is taken to be as the candidate, with the least noise, at no cost; it is
    free. Conversions that are chosen with the candidate are ``optimized``; the others, known or
    taken at their least, are given. Rows are constraints or pairs as in :class:`Stacked`, columns
    are steps, or the rings of which there are candidates, or kinds of bootstraps, of one step after
    the other:

    * ``noise`` (constraints, steps * rings) without optimized conversions, key switches, and what
      comes to it for each of the candidate's n: by constraint so often that of its own bootstraps,
      ``of_own`` (constraints, steps), and of their ring's finest, ``of_free``;
    * ``cost`` (steps * rings,) and, for each of n, ``cost_slope`` (steps * kinds,) of bootstraps,
      given conversions and what key switches cost once;
    * ``dimension`` (pairs, steps * rings): of the key that is switched from;
    * ``free`` (pairs, steps), 1 where the reader has the LWE dimension of the candidate; the
      ``lwe`` of the others' readers, and what their modulus switches leave of each ``bound``.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        space: SearchSpace,
        of: Stacked,
        own: StackedPartitions,
    ) -> None:
        self.steps, self.space, self.circuits, self.own = steps, space, of, own
        count, which = len(steps), np.arange(len(steps))[:, None]
        partition = np.array([step.partition for step in steps])
        chosen = np.array(
            [_others(step, of.times.shape[1]) for step in steps]
        )  # (S, P, 4): whether free, and choices
        free, ring, lwe, level = chosen.transpose(2, 0, 1)
        rings = np.where(free[:, :, None], space.kinds.rings, ring[:, :, None])
        given, self.optimized = self._conversions(rings, which)
        n = np.where(free, 0, lwe + LEAST_N)
        fixed = of.of_bootstraps @ (n * space.bootstraps.noise[ring, level])[:, :, None]
        noise = of.of_others @ np.concatenate([space.fresh[rings], given[0]], axis=1)
        self.noise = _columns(noise + fixed)
        of_own = of.of_bootstraps[which[:, 0], :, partition]
        self.of_own = of_own.T.copy()
        self.of_free: FloatArray | None = None
        if free.sum() > count:
            self.of_free = (of.of_bootstraps @ free[:, :, None])[:, :, 0].T - self.of_own
        source, reader = rings[which, of.source], free[which, of.reader]
        reader = reader * (of.pair_times > 0)
        self.dimension = _columns(space.dimension[source])
        lwe_of_reader = np.where(reader, 0, lwe[which, of.reader])
        self.free, self.lwe = reader.T.copy(), lwe_of_reader.T.copy()
        switched = space.modulus_switch[ring[which, of.reader], lwe_of_reader]
        bound = of.bound.copy()
        bound[:, :-2] -= np.where(reader, 0.0, switched)
        self.bound = bound.T.copy()
        cost = given[1].sum(axis=1)
        spent = (of.times * n * space.bootstraps.cost[ring, level]).sum(axis=1)
        # Of what a lookup's key switch costs, n is subtracted once.
        spent -= (of.pair_times * n[which, of.reader]).sum(axis=1)
        self.cost = (cost + spent[:, None]).ravel()
        slope = of.times[which[:, 0], partition][:, None] * space.kinds.cost
        slope -= (of.pair_times * reader).sum(axis=1)[:, None]
        self.cost_slope = slope.ravel()

    def _conversions(
        self, rings: IntArray, which: IntArray
    ) -> tuple[tuple[FloatArray, FloatArray], Conversions]:
        """Variance and cost of what is given, (steps, conversions, rings); what is optimized."""
        of, table, count = self.circuits, self.space.between, len(self.space.dimension)
        times = of.conversion_times[:, :, None]
        ring, to = rings[which, of.own], rings[which, of.target]
        between = ring * count + to
        least, least_cost = table.least.take(between), table.least_cost.take(between) * times
        known = np.array([_known(step, count, of.own.shape[1]) for step in self.steps])
        known_variance, known_cost, rings_known = known.transpose(2, 0, 1)[:, :, :, None]
        # What is known holds for the rings that it was chosen for.
        holds, is_known = between == rings_known, rings_known >= 0
        variance = np.where(is_known, holds * known_variance, least)
        cost = np.where(is_known, holds * (times * known_cost), least_cost)
        column = self.own.column
        # The original looks only at candidates for which the known conversion does.
        looked_at = is_known[which, column] & (self.own.mutual[:, :, None] == 0)
        of_all = between, self.space.dimension[ring], to, cost, least, least_cost
        required = np.where(looked_at, variance[which, column], 0.0)
        optimized = Conversions._make(
            map(_columns, (*(each[which, column] for each in of_all), required))
        )
        variance[which, column] = cost[which, column] = 0.0
        return (variance, cost), optimized

    @cached_property
    def conversion_times(self) -> FloatArray:
        """How often optimized conversions are made, (conversions, steps)."""
        which = np.arange(len(self.steps))[:, None]
        times: FloatArray = self.circuits.conversion_times[which, self.own.column].T.copy()
        return times


def _columns(of_steps: Any) -> Any:
    """(steps, rows, rings) as rows by the rings of one step after the other."""
    steps, rows, columns = of_steps.shape
    return of_steps.transpose(1, 0, 2).reshape(rows, steps * columns)


def _others(step: Step, count: int) -> list[tuple[bool, int, int, int]]:
    """Whether each partition is free, and what is chosen for it."""
    chosen = [
        (True, *_FREE) if one is None or of == step.partition else (False, *one)
        for of, one in enumerate(step.now.partitions)
    ]
    return chosen + [(False, *_FREE)] * (count - len(chosen))


def _known(step: Step, rings: int, count: int) -> list[tuple[float, float, int]]:
    """Of each conversion, its variance and cost, and for which pair of rings; -1 if unknown."""
    known = [step.now.conversions.get(pair, _UNKNOWN) for pair in step.circuit.conversions]
    known += [_UNKNOWN] * (count - len(known))
    return [(one.variance, one.cost, one.rings[0] * rings + one.rings[1]) for one in known]
