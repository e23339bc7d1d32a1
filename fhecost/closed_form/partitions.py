"""Which lookups share a parameter set, and under which key each block is encrypted.

The Concrete optimizer's strategy ``multi`` (``compilers/concrete-optimizer`` in zama-ai/concrete,
``partition_cut`` and ``partitionning``) gives one parameter set to all lookups that read the same
precision: a *partition*. A block is encrypted under the key of the partition whose lookups fill it;
of several, of the one of least precision; the input's block, which no lookup fills, under that of
the lookups that read it. A lookup whose results go to a block of another partition switches keys
once more, after its bootstrap.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from fhecost.closed_form.plan import Plan, Wire, blocks_of
from fhecost.errors import ImpossibleError


class Lookups(NamedTuple):
    """The lookups of one wire: partitions of its set, of its source's key and of its result's.

    Partitions count from 0 in the order of ``Partitions.precisions``; ``narrowed`` is
    whether a multiplication narrows the source first, ``shifted`` whether it is made for this
    lookup; later ones of the same wire share it.
    """

    wire: Wire
    own: int
    source: int
    target: int
    narrowed: bool
    shifted: bool


@dataclass(frozen=True)
class Partitions:
    """A plan's partitions, from the least precision that a lookup reads to the largest.

    ``of_wire`` is by wire the partition of the key that it is encrypted under; ``width`` is by wire
    the width of its block.
    """

    precisions: tuple[int, ...]
    lookups: tuple[Lookups, ...]
    of_wire: tuple[int, ...]
    width: tuple[int, ...]

    @cached_property
    def lookup_count(self) -> int:
        """Lookups in all."""
        return sum(lookup.wire.integers for lookup in self.lookups)


def partition(plan: Plan) -> Partitions:
    """The partitions of ``plan``.

    Raises:
        ImpossibleError: the plan has no lookup.
    """
    block, width = blocks_of(plan.wires), plan.widths
    wires = [wire for wire in plan.wires if wire.kind == "lookup"]
    if not wires:
        raise ImpossibleError("the circuit has no table lookup: no parameter set to predict")
    reads = [width[wire.sources[0]] if wire.reads is None else wire.reads for wire in wires]
    precisions = tuple(sorted(set(reads)))
    own = [precisions.index(precision) for precision in reads]
    filled_by: dict[int, set[int]] = defaultdict(set)
    read_by: dict[int, set[int]] = defaultdict(set)
    for wire, of_lookup in zip(wires, own, strict=True):
        filled_by[block[wire.number]].add(of_lookup)
        read_by[block[wire.sources[0]]].add(of_lookup)

    def of_block(index: int) -> int:
        filling, reading = filled_by[index], read_by[index]
        if filling:
            return min(filling)
        return next(iter(reading)) if len(reading) == 1 else 0

    key = {index: of_block(index) for index in set(block)}
    keys = tuple([key[index] for index in block])
    shared: set[int] = set()
    lookups = []
    for wire, of_lookup in zip(wires, own, strict=True):
        source = plan.wires[wire.sources[0]]
        narrowed = wire.shiftable and source.width < width[source.number]
        lookups.append(
            Lookups(
                wire,
                of_lookup,
                keys[source.number],
                keys[wire.number],
                narrowed,
                shifted=narrowed and source.aligned_by not in shared,
            )
        )
        if narrowed:
            shared.add(source.aligned_by)
    return Partitions(precisions, tuple(lookups), keys, width)
