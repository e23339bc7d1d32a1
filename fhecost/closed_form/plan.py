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
  more lookup, on a bit less than is kept, sees that it doesn't.

These rules are what compiled circuits show; ``tests/test_closed_form.py`` holds them to Concrete.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from fhecost.circuits.profile import LinearOperation
from fhecost.closed_form.ranges import Range, reaching

LinearCounts = Mapping[LinearOperation, int]

NARROWED_UP_TO = 8
"""Bits of the widest source that a lookup reads at its own width."""

ROUNDING = 0
"""The precision that stands for lookups on one bit of a sum that is being rounded."""

CLIPPED_FROM = 5
"""Kept bits from which an approximate rounding spends a lookup on preventing its overflow, so that
what follows need not read one bit more; Concrete's ``approximate_clipping_start_precision``."""


@dataclass(frozen=True)
class Wire:
    """One encrypted tensor: ``count`` integers of a block, and how they came about.

    ``width`` is what they need at least, ``norm2`` the largest sum of squared coefficients that one
    of them has of lookups' results: its noise in units of theirs. A lookup has its one source in
    ``sources``; ``reads`` is the precision at which it reads it, None for the whole width of the
    source's block; ``shiftable`` is whether it reads a source narrower than its block after one
    multiplication, which all lookups of wires with the same ``aligned_by`` share.
    """

    index: int
    kind: Literal["input", "linear", "lookup"]
    stage: str
    count: int
    range: Range
    width: int
    norm2: float
    sources: tuple[int, ...] = ()
    reads: int | None = None
    shiftable: bool = False
    aligned_by: int = -1

    @property
    def signed(self) -> bool:
        """Whether some of its integers are negative."""
        return self.range.low < 0


@dataclass(frozen=True)
class LinearWork:
    """Linear operations of a stage on the ciphertexts of one wire's block."""

    stage: str
    wire: int
    counts: LinearCounts


@dataclass
class StageShape:
    """What a stage is besides its operations: steps that wait, its largest tensor, what it awaits.

    ``predecessors`` keeps the order in which they were met.
    """

    depth: int = 1
    largest_tensor: int = 1
    predecessors: dict[str, None] = field(default_factory=dict)


class Plan:
    """A circuit while it is written down; each method adds one operation of Concrete's."""

    def __init__(self) -> None:
        self.wires: list[Wire] = []
        self.linear_work: list[LinearWork] = []
        self.stages: dict[str, StageShape] = {}
        self.outputs: list[Wire] = []
        self._behind: list[tuple[str, ...]] = []
        """By wire: the stages that whoever reads it waits for."""

    def input(self, count: int, values: Range) -> Wire:
        """The encrypted input of the circuit, ``count`` integers."""
        return self._add("input", "", (), count, values, 0)

    def output(self, wires: Sequence[Wire]) -> None:
        """What the circuit returns: all of ``wires`` as one tensor."""
        count = sum(wire.count for wire in wires)
        values = Range(min(w.range.low for w in wires), max(w.range.high for w in wires))
        norm2 = max(wire.norm2 for wire in wires)
        self.outputs.append(self._add("linear", "", wires, count, values, 0, norm2=norm2))

    def linear(
        self,
        stage: str,
        sources: Sequence[Wire],
        count: int,
        values: Range,
        *,
        width: int = 0,
        tensor: int = 0,
        norm2: float | None = None,
        **counts: int,
    ) -> Wire:
        """Linear operations on ``sources``, which all join one block.

        Args:
            stage: its name.
            sources: the wires that go in.
            count: integers that come out.
            values: their range.
            width: what a hint makes of their width, where it is more than the range needs.
            tensor: the largest tensor besides the result, such as a matrix of weights.
            norm2: its own, where it isn't the sum of its sources'.
            counts: how many of each linear operation.
        """
        if norm2 is None:
            norm2 = sum(source.norm2 for source in sources)
        wire = self._add("linear", stage, sources, count, values, width, norm2=norm2)
        if any(counts.values()):
            self.linear_work.append(LinearWork(stage, wire.index, cast(LinearCounts, counts)))
            self._enter(stage, sources, wire, max(count, tensor))
        return wire

    def lookup(
        self,
        stage: str,
        source: Wire,
        values: Range,
        *,
        kept: int | None = None,
        whole: bool = False,
        width: int = 0,
    ) -> Wire:
        """A table lookup of each integer of ``source``.

        Args:
            stage: its name.
            source: what is looked up.
            values: the range of the results.
            kept: bits that a rounding before it left; without, the source's own width is read.
            whole: whether it reads the block's width in any case, as the lookups of products do.
            width: what a hint makes of the results' width.
        """
        own = kept is None and not whole and source.width <= NARROWED_UP_TO
        reads = source.width if own else kept
        wire = self._add(
            "lookup", stage, (source,), source.count, values, width, reads=reads, shiftable=own
        )
        if source.signed:
            self._work(stage, source, clear_addition=source.count)
        self._enter(stage, (source,), wire, source.count)
        return wire

    def constant(self, stage: str, after: Wire, count: int, value: int) -> Wire:
        """``count`` ciphertexts of a constant, which a lookup of one result only became.

        Its stage waits for what ``after`` waits for, though nothing of it is left.
        """
        wire = self._add("linear", stage, (), count, Range(value, value), 0)
        self._work(stage, wire, clear_addition=count)
        self._enter(stage, (after,), wire, count)
        return wire

    def product(
        self,
        stage: str,
        first: Wire,
        second: Wire,
        count: int,
        values: Range,
        *,
        terms: int | None = None,
    ) -> Wire:
        """Products of two ciphertexts, each two lookups.

        Args:
            stage: its name.
            first: one factor.
            second: the other.
            count: integers that come out.
            values: their range.
            terms: products that each of them sums up; None for products alone.
        """
        n = count * (terms or 1)
        # A sum is of a signed type when a term is, a difference always, whatever values they have.
        low = -1 if first.signed or second.signed else 0
        total = self.linear(
            stage,
            (first, second),
            n,
            reaching(first.range + second.range, low),
            encrypted_addition=n,
        )
        difference = self.linear(
            stage,
            (first, second),
            n,
            reaching(first.range + -second.range, -1),
            encrypted_addition=n,
            encrypted_negation=n,
        )
        # Their results join the block of the sum of products: no width of their own.
        squares = [
            self.lookup(stage, wire, Range(0, 0), whole=True) for wire in (total, difference)
        ]
        return self.linear(
            stage,
            squares,
            count,
            values,
            norm2=2.0 * (terms or 1),
            encrypted_negation=n,
            encrypted_addition=n if terms is None else 2 * n,
        )

    def rounded(self, stage: str, source: Wire, kept: int) -> Wire:
        """``source`` rounded to its ``kept`` top bits, exactly: a lookup for each bit dropped."""
        dropped = source.width - kept
        if dropped <= 0:
            return source
        n = source.count
        bits = self._add(
            "lookup", stage, (source,), n * dropped, Range(0, 0), 0, reads=ROUNDING, shiftable=True
        )
        wire = self._add(
            "linear",
            stage,
            (source, bits),
            n,
            source.range,
            source.width,
            norm2=source.norm2 + dropped,
        )
        self._work(
            stage,
            wire,
            clear_addition=(2 * dropped + 1) * n,
            clear_multiplication=dropped * n,
            encrypted_negation=dropped * n,
            encrypted_addition=dropped * n,
        )
        self._enter(stage, (source,), wire, n)
        self.stages[stage].depth = dropped
        return wire

    def nearly_rounded_lookup(self, stage: str, source: Wire, values: Range, dropped: int) -> Wire:
        """A lookup of ``source`` after it was approximately rounded, without its ``dropped`` bits.

        Args:
            stage: its name.
            source: what is looked up.
            values: the range of the results.
            dropped: bits that the rounding takes away; with none the whole source is read.
        """
        kept = source.width - dropped
        if dropped <= 0:
            return self.lookup(stage, source, values)
        rounded = source.range.rounded(dropped)
        # As Concrete has it: rounded values that need fewer bits count as an overflow too.
        overflows = rounded.bits != source.width
        wire = self.linear(
            stage,
            (source,),
            source.count,
            reaching(rounded, -1) if source.signed else rounded,
            width=source.width + overflows,
            clear_addition=source.count,
        )
        if overflows and kept >= CLIPPED_FROM:
            wire = self._clipped(stage, wire, kept)
            overflows = False
        return self._read(stage, wire, values, kept + overflows)

    def _clipped(self, stage: str, source: Wire, kept: int) -> Wire:
        """``source`` less what would make its rounding to ``kept`` bits overflow."""
        n = source.count
        self._work(stage, source, clear_addition=n)
        excess = self._read(stage, source, Range(0, 0), max(2, kept - 1))
        wire = self._add(
            "linear",
            stage,
            (source, excess),
            n,
            source.range,
            source.width,
            norm2=source.norm2 + 1,
            aligned_by=source.index,
        )
        self._work(stage, wire, encrypted_negation=n, encrypted_addition=n, clear_multiplication=n)
        self._enter(stage, (source, excess), wire, n)
        self.stages[stage].depth = 2
        return wire

    def _read(self, stage: str, source: Wire, values: Range, precision: int) -> Wire:
        """A lookup of the top ``precision`` bits of ``source``'s own width."""
        wire = self._add(
            "lookup", stage, (source,), source.count, values, 0, reads=precision, shiftable=True
        )
        if source.signed:
            self._work(stage, source, clear_addition=source.count)
        self._enter(stage, (source,), wire, source.count)
        return wire

    def waits_for_itself(self, stage: str, steps: int) -> None:
        """Say that the lookups of ``stage`` take ``steps`` steps, one after the other."""
        self.stages[stage].depth = steps

    def _work(self, stage: str, wire: Wire, **counts: int) -> None:
        self.linear_work.append(LinearWork(stage, wire.index, cast(LinearCounts, counts)))

    def _add(
        self,
        kind: Literal["input", "linear", "lookup"],
        stage: str,
        sources: Sequence[Wire],
        count: int,
        values: Range,
        width: int,
        *,
        norm2: float = 1.0,
        reads: int | None = None,
        shiftable: bool = False,
        aligned_by: int = -1,
    ) -> Wire:
        wire = Wire(
            index=len(self.wires),
            kind=kind,
            stage=stage,
            count=count,
            range=values,
            width=max(width, values.bits),
            norm2=norm2,
            sources=tuple(source.index for source in sources),
            reads=reads,
            shiftable=shiftable,
            aligned_by=len(self.wires) if aligned_by < 0 else aligned_by,
        )
        self.wires.append(wire)
        # What costs nothing belongs to no stage: it hands on what its sources wait for.
        self._behind.append(
            tuple(dict.fromkeys(name for s in sources for name in self._behind[s.index]))
        )
        return wire

    def _enter(self, stage: str, sources: Sequence[Wire], wire: Wire, tensor: int) -> None:
        shape = self.stages.setdefault(stage, StageShape())
        for source in sources:
            for name in self._behind[source.index]:
                if name != stage:
                    shape.predecessors[name] = None
        shape.largest_tensor = max(shape.largest_tensor, tensor)
        self._behind[wire.index] = (stage,)
