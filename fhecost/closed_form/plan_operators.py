"""The operators that write a plan: a head's own ``run`` says what its circuit will be.

A tensor carries its wire and what it holds (:mod:`fhecost.closed_form.held`). What Concrete does
with constants is done here: a lookup whose table returns one integer, whatever it reads, becomes
that constant; what led to it is left out, and the same constants of several heads, and what is made
of them alone, are computed once.

Heads that share a key or a value (grouped-query attention) compute the same of the same, and
Concrete does that once: equal operations on one tensor, whose results have blocks of one width. How
wide a block is shows when all is written, so where products repeat, a plan is written twice.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fhecost.closed_form.held import Bounds, Held, Shape, column_norm2
from fhecost.closed_form.plan import LinearCounts, Plan, Wire
from fhecost.closed_form.plan_writer import PlanWriter, StageTag
from fhecost.heads.operators import DirectOperators, Head, Operators, Table
from fhecost.heads.pairs import Pairs, Rows
from fhecost.quantization.ranges import Range


def plan_of(run: Callable[[Any, Operators], Any], entering: Held) -> Plan:
    """The plan of the circuit that ``run`` compiles to, of heads, a layer or a model.

    Args:
        run: takes the encrypted input and operators, returns the output; called once.
        entering: what the encrypted input holds.
    """
    operators = PlanOperators()
    output = run(operators.input(entering), operators)
    if operators.repeats:
        operators = PlanOperators(operators.lookup_widths)
        output = run(operators.input(entering), operators)
    return operators.plan.finished(output.wire)


@dataclass(slots=True, eq=False)
class PlanTensor:
    """One encrypted tensor: its wire, and what it holds.

    ``kept`` bits of it are left by a rounding, ``exact`` or not; ``dropped`` will be by one that is
    protected from overflow; ``fixed`` is whether it is the same whatever goes in.
    """

    operators: PlanOperators
    wire: Wire
    held: Held
    kept: int | None = None
    dropped: int = 0
    fixed: bool = False
    exact: bool = True

    __array_ufunc__ = None

    @property
    def shape(self) -> Shape:
        """Of the tensor."""
        return self.held.shape

    def __add__(self, other: Any) -> PlanTensor:
        return self._plus(other, 1)

    def __sub__(self, other: Any) -> PlanTensor:
        return self._plus(other, -1)

    def __mul__(self, other: PlanTensor) -> PlanTensor:
        return self._times(other, self.held.times(other.held), None)

    def __matmul__(self, other: Any) -> PlanTensor:
        if isinstance(other, PlanTensor):
            return self._times(other, self.held.matmul(other.held), self.shape[-1])
        return self.operators.product(self, other)

    def __getitem__(self, index: Any) -> PlanTensor:
        index = index if isinstance(index, tuple) else (index,)
        # An array of that shape takes one byte, whatever it is indexed with.
        shape = np.ndarray(self.shape, np.int8, b"0", strides=(0,) * len(self.shape))[index].shape
        return self.moved(shape, lambda values: values[(slice(None), *index)])

    def reshape(self, shape: Shape) -> PlanTensor:
        """The same integers in another shape."""
        return self.operators.once(
            ("shape", self.wire.number, shape),
            lambda: self.moved(shape, lambda values: values.reshape((len(values), *shape))),
        )

    def moved(self, shape: Shape, move: Callable[[Any], Any]) -> PlanTensor:
        """The same integers in other places."""
        return self.operators.linear((self,), self.held.moved(shape, move), self.wire.norm2)

    def added_up(self, held: Held, terms: int) -> PlanTensor:
        """Sums of ``terms`` of its integers."""
        n, norm2 = math.prod(self.shape), self.wire.norm2 * terms
        return self.operators.merged(
            ("sums", self.wire.number, held.shape),
            lambda: self.operators.linear((self,), held, norm2, {"encrypted_addition": n}),
        )

    def __array_function__(
        self, function: Any, types: Any, arguments: Any, options: Any
    ) -> PlanTensor:
        given = dict(zip(("", "axis"), arguments, strict=False)) | options
        if function is np.sum and isinstance(given.get("axis"), int):
            axis = given["axis"] % len(self.shape)
            held = self.held.summed(axis, options.get("keepdims", False))
            return self.added_up(held, self.shape[axis])
        if function is np.transpose and len(self.shape) == 2 and len(arguments) == 1:
            return self.moved(self.shape[::-1], lambda values: np.swapaxes(values, -1, -2))
        if function is np.concatenate:
            parts, axis = arguments[0], given.get("axis", 0) % len(self.shape)
            held = parts[0].held.joined([part.held for part in parts[1:]], axis)
            return self.operators.linear(parts, held, max(part.wire.norm2 for part in parts))
        raise TypeError(f"a head's run may not use {function.__name__} on encrypted tensors so")

    def _plus(self, other: Any, sign: int) -> PlanTensor:
        linear = self.operators.linear
        if isinstance(other, PlanTensor):
            held, norm2 = self.held.plus(other.held, sign), self.wire.norm2 + other.wire.norm2
            n = math.prod(held.shape)
            counts: LinearCounts = {"encrypted_addition": n}
            if sign < 0:
                counts["encrypted_negation"] = n
            return linear((self, other), held, norm2, counts)
        held = self.held.plus(other, sign)
        # Adding nothing costs nothing, but makes a result that a hint holds on.
        any_added = other != 0 if isinstance(other, int) else np.any(other)
        added: LinearCounts = {"clear_addition": math.prod(held.shape)} if any_added else {}
        return linear((self,), held, self.wire.norm2, added)

    def _times(self, other: PlanTensor, held: Held, terms: int | None) -> PlanTensor:
        fixed = self.fixed and other.fixed
        key = ("product", self.wire.number, other.wire.number, terms) if fixed else None
        n = math.prod(held.shape)
        write = self.operators.plan.product
        return self.operators.once(
            key,
            lambda: PlanTensor(
                self.operators, write(self.wire, other.wire, n, held.range, terms), held,
                fixed=fixed,
            ),
        )  # fmt: skip


class PlanOperators(DirectOperators):
    """Each operation writes down, in ``plan``, what Concrete would make of it.

    With ``widths``, by lookup the width of its result's block, equal operations are written once;
    ``repeats`` is whether there are any.
    """

    def __init__(self, widths: Sequence[int] | None = None) -> None:
        self.plan = PlanWriter()
        self.repeats = False
        self._widths = widths
        self._results: list[Wire] = []
        self._known: dict[tuple[Any, ...], PlanTensor] = {}
        self._last: _Asked | None = None
        self._products: set[tuple[Any, ...]] = set()
        self._lookups: dict[tuple[Any, ...], list[tuple[Any, PlanTensor]]] = defaultdict(list)

    @property
    def lookup_widths(self) -> list[int]:
        """The width of the block of each lookup's result, in the order of the lookups."""
        widths = self.plan.block_widths()
        return [widths[wire.number] for wire in self._results]

    def product(self, values: PlanTensor, weight: Any) -> PlanTensor:
        """The matrix product with clear weights."""
        held = values.held.matmul_clear(weight)
        n = math.prod(held.shape) * weight.shape[-2]
        # Stated weights are equal to none: what they are isn't known.
        key = (values.wire.number, weight.shape, weight.tobytes()) if _known(weight) else None
        if key is not None:
            self.repeats = self.repeats or key in self._products
            self._products.add(key)
        return self.merged(
            key and ("matrix", *key),
            lambda: self.linear(
                (values,),
                held,
                column_norm2(weight) * values.wire.norm2,
                {"clear_multiplication": n, "encrypted_addition": n},
                tensor=math.prod(weight.shape),
            ),
        )

    def input(self, held: Held, norm2: float = 1.0) -> PlanTensor:
        """An encrypted input that holds ``held``."""
        return PlanTensor(self, self.plan.input(math.prod(held.shape), held.range, norm2), held)

    def tag(self, name: str) -> StageTag:
        return StageTag(self.plan, name)

    def accumulator(
        self,
        name: str,
        values: Any,
        bits: int,
        kept_bits: int | None = None,
        signed: bool = True,
        exact: bool = True,
    ) -> PlanTensor:
        """The hint of a width, and rounding."""
        hinted = self._hinted(values, bits, signed=signed)
        if kept_bits is None or bits <= kept_bits:
            return hinted
        dropped = bits - kept_bits
        write = self.plan

        def rounded() -> PlanTensor:
            wire = (
                write.rounded(hinted.wire, dropped) if exact else write.nearly_rounded(hinted.wire)
            )
            held = hinted.held.rounded(dropped)
            return PlanTensor(self, wire, held, kept=kept_bits, exact=exact)

        return self.merged(("rounded", hinted.wire.number, dropped, exact), rounded)

    def narrow(self, values: PlanTensor, bits: int) -> PlanTensor:
        return self._hinted(values, bits, signed=values.wire.signed)

    def within(self, values: PlanTensor, low: int, high: int) -> PlanTensor:
        held = values.held.within(low, high)
        wire = self.plan.known(values.wire, held.range)
        kept, dropped = values.kept, values.dropped
        return PlanTensor(self, wire, held, kept, dropped, values.fixed, values.exact)

    def rounded(self, values: PlanTensor, dropped: int) -> PlanTensor:
        """An approximate rounding that the lookup after it makes."""
        held = values.held.rounded(dropped)
        return PlanTensor(self, values.wire, held, dropped=dropped, fixed=values.fixed)

    def lookup(self, values: PlanTensor, table: Table, bounds: Bounds = None) -> PlanTensor:
        """A table lookup, the constant that it comes to, or an equal one that is there."""
        if self._widths is None or values.fixed:
            result = self._looked_up(values, table, bounds)
        else:
            result = self._looked_up_once(values, table, bounds)
        self._results.append(result.wire)
        return result

    def _looked_up_once(self, values: PlanTensor, table: Table, bounds: Bounds) -> PlanTensor:
        """A lookup, or the one with the same results in a block of the same width."""
        assert self._widths is not None
        width = self._widths[len(self._results)]
        others = self._lookups[(values.wire.number, values.kept, values.dropped, width)]
        for other, result in others:
            if np.array_equal(_entries_read(other, values), _entries_read(table, values)):
                return result
        result = self._looked_up(values, table, bounds)
        others.append((table, result))
        return result

    def _looked_up(self, values: PlanTensor, table: Table, bounds: Bounds) -> PlanTensor:
        held = self._held(values.held, table, bounds)
        result, source = held.range, values.wire
        if result.low == result.high and np.all(_entries(table, values) == result.low):
            return self.once(("constant", held.shape, result), lambda: self._constant(source, held))
        if not values.fixed:
            return self._written(values, held)
        entries = _entries(table, values).tobytes()
        key = ("lookup", source.number, values.kept, values.dropped, entries)
        return self.once(key, lambda: self._written(values, held))

    def _held(self, of: Held, table: Table, bounds: Bounds) -> Held:
        """What ``table`` gives; asked for the same twice in a row, it is the same."""
        last = self._last
        if last is None or last.of is not of or (last.table, last.bounds) != (table, bounds):
            last = self._last = _Asked(of, table, bounds, of.looked_up(table, bounds))
        return last.found

    def _written(self, values: PlanTensor, held: Held) -> PlanTensor:
        """A table lookup of ``values`` that gives what is ``held``."""
        source, result = values.wire, held.range
        if values.dropped:
            wire = self.plan.nearly_rounded_lookup(source, result, values.dropped)
        elif values.kept:
            kept, rounded = values.kept, values.held.range
            wire = self.plan.rounding_lookup(source, result, kept, rounded, exact=values.exact)
        else:
            wire = self.plan.lookup(source, result)
        return PlanTensor(self, wire, held, fixed=values.fixed)

    def take(self, values: PlanTensor, rows: Rows) -> PlanTensor:
        return values.moved((rows.count, *values.shape[1:]), lambda v: v[:, rows.numbers])

    def row_sums(self, values: PlanTensor, pairs: Pairs) -> PlanTensor:
        """All rows' sums as one operation."""
        return values.added_up(values.held.row_sums(pairs), pairs.longest_row)

    def side_by_side(
        self, heads: Sequence[Head], run: Callable[[Head, str], Any]
    ) -> list[PlanTensor]:
        """Each head; one and the same head is written down once, for as many as there are."""
        if _all_one(heads):
            with self.plan.repeated(times=len(heads)):
                return [run(heads[0], "")] * len(heads)
        return super().side_by_side(heads, run)

    def in_turn(self, layers: Sequence[Head], run: Callable[[Head, Any], Any], values: Any) -> Any:
        """Each layer; one and the same layer is written down once, for as many as there are."""
        if _all_one(layers):
            with self.plan.repeated(turns=len(layers)):
                return run(layers[0], values)
        return super().in_turn(layers, run, values)

    def linear(
        self,
        sources: Sequence[PlanTensor],
        held: Held,
        norm2: float,
        counts: LinearCounts | None = None,
        *,
        tensor: int = 0,
    ) -> PlanTensor:
        """A tensor that linear operations make of others; without any, it costs nothing."""
        wires = []
        for source in sources:
            if source.kept or source.dropped:
                raise TypeError("a rounding must come right before its lookup")
            wires.append(source.wire)
        size = math.prod(held.shape)
        wire = self.plan.linear(wires, size, held.range, norm2, counts, tensor=tensor)
        return PlanTensor(self, wire, held)

    def once(self, key: tuple[Any, ...] | None, make: Callable[[], PlanTensor]) -> PlanTensor:
        """What ``make`` gives, made once for each key; each time without one."""
        if key is None:
            return make()
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    def merged(self, key: tuple[Any, ...] | None, make: Callable[[], PlanTensor]) -> PlanTensor:
        """What ``make`` gives, made once for each key where equal operations are written once."""
        return make() if self._widths is None else self.once(key, make)

    def _hinted(self, values: PlanTensor, bits: int, *, signed: bool) -> PlanTensor:
        def hinted() -> PlanTensor:
            held = values.held.clipped(*Range.of_bits(bits, signed=signed))
            source = self.plan.known(values.wire, held.range)
            wire = self.plan.linear((source,), source.size, held.range, source.norm2, width=bits)
            return PlanTensor(self, wire, held)

        return self.merged(("hint", values.wire.number, bits), hinted)

    def _constant(self, after: Wire, held: Held) -> PlanTensor:
        n = math.prod(held.shape)
        wire = self.plan.linear((), n, held.range, 1.0, {"clear_addition": n}, awaits=(after,))
        return PlanTensor(self, wire, held, fixed=True)


class _Asked(NamedTuple):
    """What ``table`` gives of some integers."""

    of: Held
    table: Table
    bounds: Bounds
    found: Held


def _all_one(parts: Sequence[object]) -> bool:
    return len(parts) > 1 and all(part is parts[0] for part in parts)


def _known(weight: Any) -> bool:
    """Whether weights are integers, and not only as large as stated."""
    return isinstance(weight, np.ndarray)


def _entries_read(table: Table, values: PlanTensor) -> Any:
    """What ``table`` gives for each integer that a lookup of ``values`` tells from others."""
    read = Range.of_bits(values.wire.width, signed=values.wire.signed)
    dropped = values.dropped if values.kept is None else values.wire.width - values.kept
    every = np.arange(read.low, read.high + 1, 1 << max(0, dropped))
    return np.rint(table(every.reshape(-1, *(1 for _ in values.shape))))


def _entries(table: Table, values: PlanTensor) -> Any:
    """What ``table`` gives for every integer of the type of ``values``."""
    read = Range.of_bits(values.wire.width, signed=values.wire.signed)
    every = np.arange(read.low, read.high + 1).reshape(-1, *(1 for _ in values.shape))
    return np.rint(table(every))
