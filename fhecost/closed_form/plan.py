"""A circuit as Concrete's compiler sees it: wires in blocks, and what every lookup reads.

A *wire* is one encrypted tensor. Wires that linear operations connect form a *block*: they share a
width and the secret key they are encrypted under. Lookups lead from block to block. What Concrete
makes of a circuit follows from that:

* a block has the width of its widest wire;
* a lookup whose source has 8 bits or fewer and is narrower than its block reads it at its own
  width, after one multiplication by a power of two (Concrete's option
  ``optimize_tlu_based_on_original_bit_width``); wider sources are read at the block's width;
* a lookup needs an addition first when its source can be negative;
* a product of two ciphertexts is two lookups, of (a+b)^2/4 and (a-b)^2/4;
* exact rounding takes one lookup on one bit for each bit dropped;
* approximate rounding takes none: what follows reads the kept bits. Where it could overflow, one
  more lookup, on a bit less than is kept, sees that it doesn't;
* a lookup of rounded integers that need fewer bits than are kept reads so few, after one
  multiplication;
* a hint of fewer bits than the integers need makes lookups read so few, and the circuit compute
  nonsense: what is too wide is for those who compute in the clear to see.

These rules are what compiled circuits show; ``tests/test_closed_form.py`` holds them to Concrete.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypedDict

from fhecost.quantization.ranges import Range

ROUNDING = 0
"""The precision that stands for lookups on one bit of a sum that is being rounded."""


class LinearCounts(TypedDict, total=False):
    """How many of each linear operation."""

    clear_addition: int
    encrypted_addition: int
    clear_multiplication: int
    encrypted_negation: int


class Wire(NamedTuple):
    """One encrypted tensor: ``size`` integers of a block, and how they came about.

    It is there ``times`` side by side, in ``turns`` one after the other: ``integers`` in all.

    ``width`` is what they need at least, or what a hint says; ``norm2`` the largest sum of squared
    coefficients that one of them has of lookups' results: its noise in units of theirs. A lookup
    has its one source in ``sources``; ``reads`` is the precision at which it reads it, None for the
    whole width of the source's block; ``shiftable`` is whether it reads a source narrower than its
    block after one multiplication, which all lookups of wires with the same ``aligned_by`` share.
    One that ``rounds`` what it reads leaves that multiplication to its source's stage.

    A wire that costs something has the largest ``tensor`` of its operations, above 0, and
    ``steps``: its lookups that wait for each other. ``awaits`` are the wires that it comes after.
    """

    number: int
    kind: Literal["input", "linear", "lookup"]
    stage: str
    size: int
    range: Range
    width: int
    norm2: float
    sources: tuple[int, ...] = ()
    reads: int | None = None
    shiftable: bool = False
    aligned_by: int = -1
    awaits: tuple[int, ...] = ()
    tensor: int = 0
    steps: int = 0
    times: int = 1
    turns: int = 1
    rounds: bool = False

    @property
    def integers(self) -> int:
        """How many in all."""
        return self.size * self.times * self.turns

    @property
    def signed(self) -> bool:
        """Whether some of its integers are negative."""
        return self.range.low < 0


class LinearWork(NamedTuple):
    """Linear operations of a stage on the ciphertexts of one wire's block, done for another.

    The ``counts`` are there ``times`` as often.
    """

    stage: str
    wire: int
    done_for: int
    times: int
    counts: LinearCounts


@dataclass
class StageShape:
    """What a stage is besides its operations: steps that wait, its largest tensor, what it awaits.

    ``predecessors`` keeps the order in which they were met.
    """

    depth: int = 1
    largest_tensor: int = 1
    predecessors: dict[str, None] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """A circuit: its wires after those that they come from, and what else it is counted by.

    ``widths`` are by wire that of its block, as wide as its widest wire, be it one that is left
    out.
    """

    wires: tuple[Wire, ...]
    widths: tuple[int, ...]
    linear_work: tuple[LinearWork, ...]
    stages: dict[str, StageShape]
    output: Wire


def stages_of(wires: Sequence[Wire], needed: set[int]) -> dict[str, StageShape]:
    """The stages of the ``needed`` wires, each with what it waits for.

    What costs nothing makes no stage: it hands on what its sources wait for.
    """
    stages: dict[str, StageShape] = {}
    # By wire, the stages that it comes from, each with its lookups one after the other on the way.
    behind: list[dict[str, int]] = []
    largest: dict[str, int] = {}
    for wire in wires:
        name = wire.stage
        before = behind[wire.awaits[0]] if wire.awaits else {}
        for index in wire.awaits[1:]:
            if (other := behind[index]) is not before:
                before = before.copy()
                for stage, steps in other.items():
                    if steps > before.get(stage, -1):
                        before[stage] = steps
        if wire.number not in needed:
            behind.append(before)
            continue
        size = max(wire.size, wire.tensor) * wire.times
        if size > largest.get(name, 0):
            largest[name] = size
        if not wire.tensor:
            behind.append(before)
            continue
        shape = stages.get(name)
        if shape is None:
            shape = stages[name] = StageShape()
        for stage in before:
            shape.predecessors[stage] = None
        own = before.get(name, 0) + wire.steps
        shape.depth = max(shape.depth, max(own, 1) * wire.turns)
        behind.append({name: own})
    for name, shape in stages.items():
        shape.predecessors.pop(name, None)
        shape.largest_tensor = largest[name]
    return stages


def blocks_of(wires: Sequence[Wire]) -> list[int]:
    """By wire, a number that all wires of its block share."""
    parent: list[int] = []

    def find(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for wire in wires:
        if wire.kind != "linear" or not wire.sources:
            parent.append(wire.number)
            continue
        block = find(wire.sources[0])
        parent.append(block)
        # Bits that a rounding reads come back into the block that they were taken from: its linear
        # wire has both as sources.
        for source in wire.sources[1:]:
            parent[find(source)] = block
    return [find(index) for index in range(len(wires))]
