"""What the optimizer knows while it searches: its choices so far, and the circuit as arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from fhecost.closed_form.noise import allowed_variance
from fhecost.closed_form.noise_constraints import OUTPUT, CircuitNeeds, Indices
from fhecost.closed_form.search_space import SearchSpace
from fhecost.quantization import FloatArray, IntArray


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


@dataclass(frozen=True, eq=False)
class Choices:
    """What is chosen for partitions and pairs of them, and what all lookups cost then."""

    partitions: tuple[Choice | None, ...]
    key_switches: Mapping[Indices, Switch] = field(default_factory=dict)
    conversions: Mapping[Indices, Switch] = field(default_factory=dict)
    cost: float = math.inf
    complete: bool = False


class Group(NamedTuple):
    """Key switches from one partition's key: its ``rows`` of constraints, its ``pairs``.

    ``starts`` are the first row of each pair, from the group's first on.
    """

    source: int
    rows: slice
    pairs: slice
    starts: IntArray


class Converted(NamedTuple):
    """Constraints into which the conversions ``columns`` go, one after the other.

    ``rows`` are the constraints, the last of all being the circuit's result, and ``into`` how much
    of a conversion's noise is in each, (rows, 1); each conversion has its first at ``starts``.
    """

    columns: list[int]
    rows: IntArray
    into: FloatArray
    starts: IntArray


class SearchedCircuit:
    """A circuit's needs as arrays, for one error a lookup (``kappa`` deviations).

    ``pairs`` are those of key switches, sorted, with a ``bound`` of the variance each; they have
    ``row_count`` constraints, those of a pair beginning at its ``starts``. ``coefficients``
    (constraints, 2 P + conversions) say how much of each noise is in them, the circuit's result
    coming last: of bootstraps, inputs and conversions. ``into`` are the conversions' of the
    former, ``output_into`` of the latter. ``optimized`` are by partition the conversions that are
    chosen with it, by where they lead to, and ``converted`` is what limits these.
    """

    def __init__(self, needs: CircuitNeeds, space: SearchSpace, kappa: float) -> None:
        self.space, self.count = space, len(needs.bootstraps)
        self.times = np.array(needs.bootstraps, dtype=float)
        (self.output,) = (one for one in needs.constraints if one.reader == OUTPUT)
        self.output_bound = allowed_variance(self.output.precision, kappa)
        read = [one for one in needs.constraints if one.reader != OUTPUT]
        read.sort(key=lambda one: (one.source, one.reader))
        self.pairs = [(one.source, one.reader) for one in read]
        self.sources, self.readers = np.array(self.pairs).T
        self.pair_times = np.array([needs.key_switches[pair] for pair in self.pairs], dtype=float)
        self.bounds = np.array([allowed_variance(one.precision, kappa) for one in read])
        sizes = [len(one.tightest) for one in read]
        ends = np.cumsum([0, *sizes])
        self.starts = ends[:-1]
        noise = np.concatenate([one.tightest for one in read])
        self.row_count = len(noise)
        self.row_pairs = np.repeat(np.arange(len(read)), sizes)
        self.conversions = list(needs.conversions)
        self.conversion_times = np.array(list(needs.conversions.values()), dtype=float)
        self.from_to = np.array(self.conversions, dtype=int).reshape(-1, 2).T
        own, target = 2 * self.count + self.from_to[0], self.from_to[1]
        led_to = self.sources[self.row_pairs][:, None] == target
        self.into = np.where(led_to, noise[:, own], 0.0)
        output = self.output.tightest[:, own].max(axis=0)
        self.output_into = np.where(self.output.source == target, output, 0.0)
        output_into = np.broadcast_to(self.output_into, (len(self.output.tightest), len(own)))
        self.coefficients = np.concatenate(
            [
                np.concatenate([noise, self.output.tightest])[:, : 2 * self.count],
                np.concatenate([self.into, output_into]),
            ],
            axis=1,
        )
        self.groups = []
        for source in range(self.count):
            first, end = np.searchsorted(self.sources, (source, source + 1)).tolist()
            rows = slice(int(ends[first]), int(ends[end]))
            starts = self.starts[first:end] - rows.start
            self.groups.append(Group(source, rows, slice(first, end), starts))
        self.optimized = [self._optimized_conversions(one) for one in range(self.count)]
        self.converted = [self._converted(list(one.values())) for one in self.optimized]

    def worst(self, noise: FloatArray) -> FloatArray:
        """By pair, the largest ``noise`` of its constraints, (..., constraints, candidates)."""
        if self.row_count == len(self.pairs):
            return noise
        worst: FloatArray = np.maximum.reduceat(noise, self.starts, axis=-2)
        return worst

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

    def _converted(self, columns: list[int]) -> Converted:
        """What limits the conversions ``columns``."""
        into = np.concatenate([self.into, self.output_into[None]])[:, columns].T
        which, rows = np.nonzero(into)
        starts = np.searchsorted(which, np.arange(len(columns)))
        return Converted(columns, rows, into[which, rows, None], starts)
