"""Writing a plan down: what Concrete makes of each operation of a circuit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from fhecost.closed_form.plan import (
    ROUNDING,
    LinearCounts,
    LinearWork,
    Plan,
    Wire,
    blocks_of,
    stages_of,
)
from fhecost.quantization.ranges import Range

NARROWED_UP_TO = 8
"""Bits of the widest source that a lookup reads at its own width."""

CLIPPED_FROM = 5
"""Kept bits from which an approximate rounding spends a lookup on preventing its overflow, so that
what follows need not read one bit more; Concrete's ``approximate_clipping_start_precision``."""


class PlanWriter:
    """A circuit while it is written down; each method adds one operation of Concrete's.

    ``stage`` is the name of the stage that they belong to.
    """

    def __init__(self) -> None:
        self.stage = ""
        self._wires: list[Wire] = []
        self._work: list[LinearWork] = []
        self._times, self._turns = 1, 1
        self._known: dict[tuple[int, int], Wire] = {}

    @contextmanager
    def repeated(self, *, times: int = 1, turns: int = 1) -> Iterator[None]:
        """What is written meanwhile is there ``times`` side by side, ``turns`` in a row."""
        before = self._times, self._turns
        self._times, self._turns = self._times * times, self._turns * turns
        yield
        self._times, self._turns = before

    def finished(self, output: Wire) -> Plan:
        """The plan of what ``output``, the circuit's result, needs."""
        needed = {output.number}
        # Each wire comes after its sources.
        for wire in reversed(self._wires):
            if wire.number in needed:
                needed.update(wire.sources)
        # What the compiler drops is left out; what comes after it still waits for what was before.
        stages, widths = stages_of(self._wires, needed), self.block_widths()
        if len(needed) == len(self._wires):
            last = self._wires[output.number]
            return Plan(tuple(self._wires), tuple(widths), tuple(self._work), stages, last)
        new = {old: position for position, old in enumerate(sorted(needed))}
        wires = tuple(
            self._wires[old]._replace(
                number=number,
                sources=tuple(new[source] for source in self._wires[old].sources),
                aligned_by=new[self._wires[old].aligned_by],
                awaits=(),
            )
            for old, number in new.items()
        )
        work = tuple(
            one._replace(wire=new[one.wire], done_for=new[one.done_for])
            for one in self._work
            if one.done_for in needed
        )
        # Widths were given before anything was dropped.
        kept_widths = tuple(widths[old] for old in new)
        return Plan(wires, kept_widths, work, stages, wires[new[output.number]])

    def block_widths(self) -> list[int]:
        """By wire, the width of its block, as far as it is written."""
        block = blocks_of(self._wires)
        widest: dict[int, int] = {}
        for wire in self._wires:
            number = block[wire.number]
            widest[number] = max(wire.width, widest.get(number, 0))
        return [widest[number] for number in block]

    def input(self, size: int, values: Range, norm2: float = 1.0) -> Wire:
        """An encrypted input of the circuit, ``size`` integers within ``values``."""
        return self._add("input", (), size, values, norm2=norm2)

    def linear(
        self,
        sources: Sequence[Wire],
        size: int,
        values: Range,
        norm2: float,
        counts: LinearCounts | None = None,
        *,
        width: int = 0,
        tensor: int = 0,
        awaits: Sequence[Wire] = (),
    ) -> Wire:
        """Linear operations on ``sources``, which all join one block.

        Args:
            sources: the wires that go in.
            size: integers that come out.
            values: their range.
            norm2: their noise, see :class:`Wire`.
            counts: how many of each linear operation; none, and it costs nothing.
            width: what a hint makes of their width; without, as much as the range needs.
            tensor: the largest tensor besides the result, such as a matrix of weights.
            awaits: what it comes after besides, though nothing of it goes in.
        """
        tensor = max(size, tensor) if counts else 0
        return self._add(
            "linear",
            sources,
            size,
            values,
            width,
            counts,
            norm2=norm2,
            tensor=tensor,
            awaits=awaits,
        )

    def known(self, wire: Wire, values: Range) -> Wire:
        """``wire``, of which more is known now if it is a sum: it holds ``values``."""
        if wire.kind == "linear" and values != wire.range and wire.width == wire.range.bits:
            wire = wire._replace(range=values, width=values.bits)
            self._wires[wire.number] = wire
        return wire

    def lookup(self, source: Wire, values: Range) -> Wire:
        """A table lookup of each integer of ``source``, with results within ``values``."""
        own = source.width <= NARROWED_UP_TO
        return self._read(source, values, source.width if own else None, shiftable=own)

    def product(
        self, first: Wire, second: Wire, size: int, values: Range, terms: int | None = None
    ) -> Wire:
        """Products of two ciphertexts, each two lookups, ``size`` integers within ``values``.

        ``terms`` of them are summed up in each result; None for products alone.
        """
        n = size * (terms or 1)
        norm2 = first.norm2 + second.norm2
        # A sum is of a signed type when a term is, a difference always, whatever values they have.
        low = -1 if first.signed or second.signed else 0
        sums = (first.range + second.range).reaching(low)
        differences = (first.range + -second.range).reaching(-1)
        both = (first, second)
        factors = (
            self.linear(both, n, sums, norm2, {"encrypted_addition": n}),
            self.linear(
                both, n, differences, norm2, {"encrypted_addition": n, "encrypted_negation": n}
            ),
        )
        # They read the block's width in any case; their results join the block of the sum of
        # products: no width of their own.
        squares = [self._read(wire, Range(0, 0), None, shiftable=False) for wire in factors]
        return self.linear(
            squares,
            size,
            values,
            2.0 * (terms or 1),
            {"encrypted_negation": n, "encrypted_addition": n if terms is None else 2 * n},
        )

    def rounded(self, source: Wire, dropped: int) -> Wire:
        """``source`` without its ``dropped`` lowest bits, exactly: a lookup for each of them."""
        n = source.size
        bits = self._add(
            "lookup", (source,), n * dropped, Range(0, 0), reads=ROUNDING, shiftable=True
        )
        return self._add(
            "linear",
            (source, bits),
            n,
            source.range,
            source.width,
            {
                "clear_addition": (2 * dropped + 1) * n,
                "clear_multiplication": dropped * n,
                "encrypted_negation": dropped * n,
                "encrypted_addition": dropped * n,
            },
            norm2=source.norm2 + dropped,
            tensor=n,
            steps=dropped,
        )

    def nearly_rounded(self, source: Wire) -> Wire:
        """``source`` made ready for lookups that round it as they read it."""
        n = source.size
        counts: LinearCounts = {"clear_addition": n}
        return self.linear((source,), n, source.range, source.norm2, counts, width=source.width)

    def rounding_lookup(
        self, source: Wire, values: Range, kept: int, rounded: Range, *, exact: bool
    ) -> Wire:
        """A lookup that reads the ``kept`` top bits of ``source``, nearly unless ``exact``.

        They hold ``rounded``; where that needs fewer bits, the lookup narrows to them first.
        """
        if (narrowed_by := max(0, kept - rounded.bits)) > 0:
            source = self._narrowed(source, narrowed_by)
        return self._read(
            source,
            values,
            kept - narrowed_by,
            shiftable=not exact,
            rounds=not exact,
            signed=rounded.low < 0,
        )

    def _narrowed(self, source: Wire, bits: int) -> Wire:
        """``source`` times 2^``bits``, once for all lookups of it."""
        key = source.number, bits
        if key not in self._known:
            n, norm2 = source.size, source.norm2 * 4.0**bits
            counts: LinearCounts = {"clear_multiplication": n}
            made = self.linear((source,), n, source.range, norm2, counts, width=source.width)
            self._known[key] = made
        return self._known[key]

    def nearly_rounded_lookup(self, source: Wire, values: Range, dropped: int) -> Wire:
        """A lookup of ``source`` after an approximate rounding took away ``dropped`` bits of it.

        The results lie within ``values``; with no bits dropped the whole source is read.
        """
        kept, n = source.width - dropped, source.size
        if dropped <= 0:
            return self.lookup(source, values)
        rounded = source.range.rounded(dropped)
        # As Concrete has it: rounded values that need fewer bits count as an overflow too.
        overflows = rounded.bits != source.width
        wire = self.linear(
            (source,),
            n,
            rounded.reaching(-1) if source.signed else rounded,
            source.norm2,
            {"clear_addition": n},
            width=source.width + overflows,
        )
        if overflows and kept >= CLIPPED_FROM:
            wire = self._clipped(wire, kept)
            overflows = False
        return self._read(wire, values, kept + overflows, shiftable=True)

    def _clipped(self, source: Wire, kept: int) -> Wire:
        """``source`` less what would make its rounding to ``kept`` bits overflow."""
        n = source.size
        excess = self._read(source, Range(0, 0), max(2, kept - 1), shiftable=True)
        self._count(source.number, excess.number, {"clear_addition": n})
        return self._add(
            "linear",
            (source, excess),
            n,
            source.range,
            source.width,
            {"encrypted_negation": n, "encrypted_addition": n, "clear_multiplication": n},
            norm2=source.norm2 + 1,
            tensor=n,
            aligned_by=source.number,
        )

    def _read(
        self,
        source: Wire,
        values: Range,
        precision: int | None,
        *,
        shiftable: bool,
        rounds: bool = False,
        signed: bool | None = None,
    ) -> Wire:
        """A lookup of the top ``precision`` bits of ``source``; None for its block's width."""
        n = source.size
        wire = self._add(
            "lookup",
            (source,),
            n,
            values,
            reads=precision,
            shiftable=shiftable,
            tensor=n,
            steps=1,
            rounds=rounds,
        )
        if source.signed if signed is None else signed:
            self._count(source.number, wire.number, {"clear_addition": n})
        return wire

    def _count(self, wire: int, done_for: int, counts: LinearCounts) -> None:
        times = self._times * self._turns
        self._work.append(LinearWork(self.stage, wire, done_for, times, counts))

    def _add(
        self,
        kind: Literal["input", "linear", "lookup"],
        sources: Sequence[Wire],
        size: int,
        values: Range,
        width: int = 0,
        counts: LinearCounts | None = None,
        *,
        norm2: float = 1.0,
        reads: int | None = None,
        shiftable: bool = False,
        aligned_by: int = -1,
        awaits: Sequence[Wire] = (),
        tensor: int = 0,
        steps: int = 0,
        rounds: bool = False,
    ) -> Wire:
        """A wire of ``sources``, and the ``counts`` of what is done for it on its own block."""
        number = len(self._wires)
        if len(sources) == 1:
            origins: tuple[int, ...] = (sources[0].number,)
        else:
            origins = tuple(dict.fromkeys([source.number for source in sources]))
        wire = Wire(
            number,
            kind,
            self.stage,
            size,
            values,
            width or values.bits,
            norm2,
            origins,
            reads,
            shiftable,
            number if aligned_by < 0 else aligned_by,
            (*origins, *(wire.number for wire in awaits)) if awaits else origins,
            tensor,
            steps,
            self._times,
            self._turns,
            rounds,
        )
        self._wires.append(wire)
        if counts:
            self._count(number, number, counts)
        return wire


@dataclass(slots=True)
class StageTag:
    """What is written inside it belongs to the stage ``name``; ``outside`` to another."""

    plan: PlanWriter
    name: str
    outside: str = ""

    def __enter__(self) -> None:
        self.outside, self.plan.stage = self.plan.stage, self.name

    def __exit__(self, *_: object) -> None:
        self.plan.stage = self.outside
