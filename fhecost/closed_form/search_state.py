"""What the optimizer knows while it searches: its choices so far, and the circuit as arrays."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from fhecost.closed_form.noise import allowed_variance
from fhecost.closed_form.noise_constraints import OUTPUT, CircuitNeeds, Indices
from fhecost.closed_form.search_space import BoolArray


class Choice(NamedTuple):
    """Of a partition: its ring and LWE dimension, and the decomposition of its bootstraps.

    All as indices into the :class:`SearchSpace`.
    """

    ring: int
    lwe: int
    level: int


class Switch(NamedTuple):
    """A key switch: its place in the flattened :class:`Decompositions`, its variance and cost.

    A conversion holds for the ``rings`` that it was chosen for; between equal ones it is nothing.
    """

    place: int
    variance: float
    cost: float
    rings: Indices = (0, 0)


@dataclass(frozen=True)
class Choices:
    """What is chosen for partitions and pairs of them, and what all lookups cost then."""

    partitions: tuple[Choice | None, ...]
    key_switches: Mapping[Indices, Switch] = field(default_factory=dict)
    conversions: Mapping[Indices, Switch] = field(default_factory=dict)
    cost: float = math.inf
    complete: bool = False


class Step(NamedTuple):
    """A step of a search: a better choice for ``partition`` than what is chosen ``now``.

    All lookups have to cost less than ``most``.
    """

    circuit: SearchedCircuit
    now: Choices
    partition: int
    most: float


class SearchedCircuit:
    """A circuit's needs as arrays, for one error a lookup (``kappa`` deviations).

    ``pairs`` are those of key switches, sorted; the circuit's result comes behind them as if it
    were one more. Each has one of ``bounds`` of the variance and one or more constraints: the first
    of each in their order, then all others, with their ``row_pairs``. ``of_bootstraps``
    (constraints, P), ``of_inputs`` (constraints, P) and ``into`` (constraints, conversions) say how
    much of each noise is in them. ``optimized`` are by partition the conversions that are chosen
    with it, by where they lead to. Of the :class:`Kinds` of bootstraps in the search space, those
    are allowed that are so in ``kinds`` (kinds,).
    """

    def __init__(self, needs: CircuitNeeds, kappa: float, kinds: BoolArray) -> None:
        self.kinds = kinds
        self.count = len(needs.bootstraps)
        self.times = needs.bootstraps
        (self.output,) = (one for one in needs.constraints if one.reader == OUTPUT)
        read = [one for one in needs.constraints if one.reader != OUTPUT]
        read.sort(key=lambda one: (one.source, one.reader))
        self.pairs = [(one.source, one.reader) for one in read]
        self.pair_times = [needs.key_switches[pair] for pair in self.pairs]
        every = [*read, self.output]
        self.bounds = [allowed_variance(one.precision, kappa) for one in every]
        others = [(pair, row) for pair, one in enumerate(every) for row in one.tightest[1:]]
        noise = np.array([*(one.tightest[0] for one in every), *(row for _, row in others)])
        self.row_pairs = np.array([*range(len(every)), *(pair for pair, _ in others)])
        self.conversions = list(needs.conversions)
        self.conversion_times = list(needs.conversions.values())
        own, target = np.array(self.conversions, dtype=int).reshape(-1, 2).T
        source = np.array([one.source for one in every])[self.row_pairs]
        self.of_bootstraps = noise[:, : self.count]
        self.of_inputs = noise[:, self.count : 2 * self.count]
        self.into = np.where(source[:, None] == target, noise[:, 2 * self.count + own], 0.0)
        result = self.row_pairs == len(read)
        self.into[result] = self.into[result].max(axis=0)
        self.optimized = [self._optimized_conversions(one) for one in range(self.count)]

    def pairs_of(self, source: int) -> slice:
        """The pairs of key switches from the key of ``source``."""
        sources = [one for one, _ in self.pairs]
        return slice(bisect_left(sources, source), bisect_right(sources, source))

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
