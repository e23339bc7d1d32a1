"""What the partitions of a circuit need of their parameter sets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from fhecost.closed_form.partitions import Lookups, Partitions
from fhecost.closed_form.plan import Plan


class Need(NamedTuple):
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
    read = [_norm2_read(plan, partitions, lookup) for lookup in partitions.lookups]
    passed_on = _largest_norms(plan, partitions, read)
    noise: dict[int, float] = {}
    results: dict[int, float] = {}
    counts: dict[int, int] = {}
    for lookup, norm2 in zip(partitions.lookups, read, strict=True):
        precision = partitions.precisions[lookup.own]
        noise[precision] = max(noise.get(precision, 0.0), norm2)
        results[precision] = max(results.get(precision, 1.0), passed_on[lookup.wire.number])
        counts[precision] = counts.get(precision, 0) + lookup.wire.integers
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
    narrowed_by = partitions.width[source.number] - source.width if lookup.narrowed else 0
    return float(source.norm2 * 4.0**narrowed_by)


def _largest_norms(plan: Plan, partitions: Partitions, read: Sequence[float]) -> list[float]:
    """By wire: the largest squared norm of what it goes into before the next lookup.

    ``read`` is by lookup that of what it reads.
    """
    largest = [wire.norm2 if wire.kind == "linear" else 1.0 for wire in plan.wires]
    for lookup, norm2 in zip(partitions.lookups, read, strict=True):
        (source,) = lookup.wire.sources
        largest[source] = max(largest[source], norm2)
    for wire in reversed(plan.wires):
        if wire.kind == "linear":
            own = largest[wire.number]
            for source in wire.sources:
                if own > largest[source]:
                    largest[source] = own
    return largest
