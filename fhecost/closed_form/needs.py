"""What the partitions of a circuit need of their parameter sets."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fhecost.closed_form.partitions import Lookups, Partitions
from fhecost.closed_form.plan import Plan


@dataclass(frozen=True)
class Need:
    """What sets a partition's parameters apart from another's of the same precision.

    ``noise`` is log2 of the largest norm that one of its sources has, ``passed_on`` that of the
    largest norm which its results grow to, both before a lookup; ``share`` is log2 of its part of
    all lookups.
    """

    noise: float
    passed_on: float
    share: float


def needs_of(plan: Plan, partitions: Partitions) -> dict[int, Need]:
    """What each partition of ``plan`` needs, by the precision that it reads."""
    passed_on = _largest_norms(plan, partitions)
    noise: dict[int, float] = {}
    results: dict[int, float] = {}
    counts: dict[int, int] = {}
    for lookup in partitions.lookups:
        precision = partitions.precisions[lookup.own]
        noise[precision] = max(noise.get(precision, 0.0), _norm2_read(plan, partitions, lookup))
        results[precision] = max(results.get(precision, 1.0), passed_on.get(lookup.wire.index, 1.0))
        counts[precision] = counts.get(precision, 0) + lookup.wire.count
    total = sum(counts.values())
    return {
        precision: Need(
            math.log2(noise[precision]) / 2,
            math.log2(results[precision]) / 2,
            math.log2(counts[precision] / total),
        )
        for precision in partitions.precisions
    }


def _norm2_read(plan: Plan, partitions: Partitions, lookup: Lookups) -> float:
    """The squared norm of what a lookup reads, in units of the precision at which it reads it."""
    source = plan.wires[lookup.wire.sources[0]]
    narrowed_by = partitions.width[source.index] - source.width if lookup.narrowed else 0
    return float(source.norm2 * 4.0**narrowed_by)


def _largest_norms(plan: Plan, partitions: Partitions) -> dict[int, float]:
    """By lookup wire: the largest squared norm of what its results go into."""
    largest: dict[int, float] = {}
    origins: list[frozenset[int]] = []
    for wire in plan.wires:
        if wire.kind == "linear":
            origins.append(frozenset().union(*(origins[source] for source in wire.sources)))
            for origin in origins[-1]:
                largest[origin] = max(largest.get(origin, 1.0), wire.norm2)
        else:
            origins.append(frozenset([wire.index]))
    for lookup in partitions.lookups:
        for origin in origins[lookup.wire.sources[0]]:
            largest[origin] = max(largest.get(origin, 1.0), _norm2_read(plan, partitions, lookup))
    return largest
