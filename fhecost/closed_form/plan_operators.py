"""The operators that write a plan: a head's own ``run`` says what its circuit will be.

A tensor carries its wire and what it holds (:mod:`fhecost.closed_form.held`). What Concrete does
with constants is done here: a lookup whose table returns one integer, whatever it reads, becomes
that constant; what led to it is left out, and the same constants of several heads are computed
once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, Unpack

import numpy as np

from fhecost.closed_form.held import Bounds, Held, Shape
from fhecost.closed_form.plan import LinearCounts, Plan, Wire
from fhecost.closed_form.plan_writer import PlanWriter
from fhecost.closed_form.ranges import Range
from fhecost.heads.operators import Head, Operators, Table
from fhecost.heads.pairs import Pairs, Rows

WIDEST_CONSTANT = 8
"""Bits of the widest source of which every entry of a table is looked at."""


class Runs(Protocol):
    """What can be written down: heads, a layer, a model."""

    def run(self, values: Any, operators: Operators) -> Any:
        """The result of encrypted ``values``."""


def plan_of(program: Runs, entering: Held) -> Plan:
    """The plan of the circuit that ``program`` compiles to.

    Args:
        program: its ``run`` is called once.
        entering: what the encrypted input holds.
    """
    operators = PlanOperators()
    return operators.finished(program.run(operators.input(entering), operators))


class PlanTensor:
    """One encrypted tensor: its wire, and what it holds.

    ``kept`` bits of it are left by an exact rounding, ``dropped`` will be by an approximate one;
    ``constant`` is whether it is one integer whatever goes in, ``fixed`` whether it comes from such
    tensors alone.
    """

    __array_ufunc__ = None

    def __init__(
        self,
        operators: PlanOperators,
        wire: Wire,
        held: Held,
        *,
        kept: int | None = None,
        dropped: int = 0,
        constant: bool = False,
        fixed: bool = False,
    ) -> None:
        self._operators, self.wire, self.held = operators, wire, held
        self.kept, self.dropped = kept, dropped
        self.constant, self.fixed = constant, constant or fixed

    @property
    def shape(self) -> Shape:
        """Of the tensor."""
        return self.held.shape

    @property
    def size(self) -> int:
        """How many integers it has."""
        return math.prod(self.shape)

    def __add__(self, other: Any) -> PlanTensor:
        return self._operators.sum_of(self, other, 1)

    def __sub__(self, other: Any) -> PlanTensor:
        return self._operators.sum_of(self, other, -1)

    def __mul__(self, other: PlanTensor) -> PlanTensor:
        held = self.held.times(other.held)
        return self._operators.product(self, other, held, None)

    def __matmul__(self, other: Any) -> PlanTensor:
        if isinstance(other, PlanTensor):
            held = self.held.matmul(other.held)
            return self._operators.product(self, other, held, self.shape[-1])
        return self._operators.matmul_clear(self, other)

    def __getitem__(self, index: Any) -> PlanTensor:
        index = index if isinstance(index, tuple) else (index,)
        shape = np.broadcast_to(np.int8(0), self.shape)[index].shape
        return self._moved(shape, lambda values: values[(slice(None), *index)])

    def reshape(self, shape: Shape) -> PlanTensor:
        """The same integers in another shape."""
        return self._moved(shape, lambda values: values.reshape((len(values), *shape)))

    def _moved(self, shape: Shape, move: Callable[[Any], Any]) -> PlanTensor:
        return self._operators.free((self,), self.held.moved(shape, move), self.wire.norm2)

    def __array_function__(
        self, function: Any, types: Any, arguments: Any, options: Any
    ) -> PlanTensor:
        if function is np.sum:
            return self._operators.summed(*arguments, **options)
        if function is np.transpose:
            return self._moved(self.shape[::-1], lambda values: np.swapaxes(values, -1, -2))
        if function is np.concatenate:
            return self._operators.joined(arguments[0], options.get("axis", 0))
        raise TypeError(f"a head's run may not use {function.__name__} on encrypted tensors")


class PlanOperators:
    """Each operation writes down what Concrete would make of it."""

    def __init__(self) -> None:
        self._plan = PlanWriter()
        self._stage = ""
        self._constants: dict[tuple[Any, ...], PlanTensor] = {}

    def input(self, held: Held, norm2: float = 1.0) -> PlanTensor:
        """An encrypted input that holds ``held``."""
        wire = self._plan.input(math.prod(held.shape), held.range, norm2)
        return PlanTensor(self, wire, held)

    def finished(self, output: PlanTensor) -> Plan:
        """The plan of the circuit that returns ``output``."""
        return self._plan.finished(output.wire)

    @contextmanager
    def tag(self, name: str) -> Iterator[None]:
        """The stage of the operations inside it."""
        before, self._stage = self._stage, name
        yield
        self._stage = before

    def accumulator(
        self,
        name: str,
        values: PlanTensor,
        bits: int,
        kept_bits: int | None = None,
        *,
        signed: bool = True,
    ) -> PlanTensor:
        """The hint of a width, and exact rounding."""
        hinted = self._hinted(values, bits, values.held.within(*_widest(bits, signed=signed)))
        if kept_bits is None or bits <= kept_bits:
            return hinted
        wire = self._plan.rounded(self._stage, hinted.wire, kept_bits)
        return PlanTensor(self, wire, hinted.held.rounded(bits - kept_bits), kept=kept_bits)

    def narrow(self, values: PlanTensor, bits: int) -> PlanTensor:
        """The hint of a width."""
        widest = _widest(bits, signed=values.held.range.low < 0)
        return self._hinted(values, bits, values.held.within(*widest))

    def within(self, values: PlanTensor, low: int, high: int) -> PlanTensor:
        """What is known of ``values``."""
        held = values.held.within(low, high)
        wire = self._plan.narrowed(values.wire, held.range)
        return PlanTensor(self, wire, held, constant=values.constant, fixed=values.fixed)

    def rounded(self, values: PlanTensor, dropped: int) -> PlanTensor:
        """An approximate rounding that the lookup after it makes."""
        held = values.held.rounded(dropped)
        return PlanTensor(self, values.wire, held, dropped=dropped, fixed=values.fixed)

    def lookup(self, values: PlanTensor, table: Table, bounds: Bounds = None) -> PlanTensor:
        """A table lookup, or the constant that it comes to."""
        held = values.held.looked_up(table, bounds)
        result = held.range
        if values.constant:
            # The sum of one constant is that constant, and so is what it is looked up to.
            return self._once(
                ("of a constant", values.wire.index, result),
                lambda: self.free((values,), held, 1.0, constant=True),
            )
        if result.low == result.high and _always(table, values, result.low):
            return self._once(
                ("constant", held.shape, result), lambda: self._constant(values, held)
            )

        def looked_up() -> PlanTensor:
            if values.dropped:
                wire = self._plan.nearly_rounded_lookup(
                    self._stage, values.wire, result, values.dropped
                )
            else:
                wire = self._plan.lookup(self._stage, values.wire, result, kept=values.kept)
            return PlanTensor(self, wire, held, fixed=values.fixed)

        key = ("lookup", values.wire.index, result)
        return self._once(key, looked_up) if values.fixed else looked_up()

    def take(self, values: PlanTensor, rows: Rows) -> PlanTensor:
        """Rows of the first axis, in other places."""
        return values._moved((rows.count, *values.shape[1:]), lambda v: v[:, rows.numbers])

    def row_sums(self, values: PlanTensor, pairs: Pairs) -> PlanTensor:
        """All rows' sums as one operation."""
        return self._added_up(values, values.held.row_sums(pairs), pairs.longest_row)

    def side_by_side(
        self, heads: Sequence[Head], run: Callable[[Head, str], Any]
    ) -> list[PlanTensor]:
        """Each head; one and the same head is written down once, for as many as there are."""
        if len(heads) > 1 and all(head is heads[0] for head in heads):
            with self._plan.repeated(times=len(heads)):
                return [run(heads[0], "")] * len(heads)
        several = len(heads) > 1
        return [run(head, f"head{i}." if several else "") for i, head in enumerate(heads)]

    def in_turn(
        self,
        layers: Sequence[Head],
        run: Callable[[Head, PlanTensor], PlanTensor],
        values: PlanTensor,
    ) -> PlanTensor:
        """Each layer; one and the same layer is written down once, for as many as there are."""
        if len(layers) > 1 and all(layer is layers[0] for layer in layers):
            with self._plan.repeated(turns=len(layers)):
                return run(layers[0], values)
        for layer in layers:
            values = run(layer, values)
        return values

    def sum_of(self, first: PlanTensor, second: Any, sign: int) -> PlanTensor:
        """A sum or a difference, with another tensor or with constants."""
        held = first.held.plus(second.held if isinstance(second, PlanTensor) else second, sign)
        n = math.prod(held.shape)
        if isinstance(second, PlanTensor):
            norm2 = first.wire.norm2 + second.wire.norm2
            negated = n if sign < 0 else 0
            return self._linear(
                (first, second), held, norm2, encrypted_addition=n, encrypted_negation=negated
            )
        # Adding nothing costs nothing, but makes a result that a hint holds on.
        added = n if np.any(second) else 0
        return self._linear((first,), held, first.wire.norm2, clear_addition=added)

    def matmul_clear(self, values: PlanTensor, weight: Any) -> PlanTensor:
        """A matrix product with clear weights."""
        held = values.held.matmul_clear(weight)
        rows, columns = weight.shape
        own = weight.norm2 if hasattr(weight, "norm2") else float((weight**2).sum(axis=0).max())
        n = math.prod(held.shape) * rows
        return self._linear(
            (values,),
            held,
            own * values.wire.norm2,
            tensor=rows * columns,
            clear_multiplication=n,
            encrypted_addition=n,
        )

    def product(
        self, first: PlanTensor, second: PlanTensor, held: Held, terms: int | None
    ) -> PlanTensor:
        """Products of two tensors; ``terms`` of them summed up in each result."""
        stage, n = self._stage, math.prod(held.shape)

        def multiplied() -> PlanTensor:
            wire = self._plan.product(stage, first.wire, second.wire, n, held.range, terms=terms)
            return PlanTensor(self, wire, held, fixed=fixed)

        fixed = first.fixed and second.fixed
        key = ("product", first.wire.index, second.wire.index)
        return self._once(key, multiplied) if fixed else multiplied()

    def summed(self, values: PlanTensor, axis: int, keepdims: bool = False) -> PlanTensor:
        """Sums along an axis."""
        held, terms = values.held.summed(axis, keepdims), values.shape[axis]
        if values.constant and terms == 1:
            return self._once(
                ("sum", values.wire.index, held.shape),
                lambda: self.free((values,), held, 1.0, constant=True),
            )
        return self._added_up(values, held, terms)

    def joined(self, parts: Sequence[PlanTensor], axis: int) -> PlanTensor:
        """Tensors behind each other."""
        first, *others = parts
        held = first.held.joined([part.held for part in others], axis)
        return self.free(parts, held, max(part.wire.norm2 for part in parts))

    def free(
        self, sources: Sequence[PlanTensor], held: Held, norm2: float, *, constant: bool = False
    ) -> PlanTensor:
        """What costs nothing."""
        wires = [source.wire for source in sources]
        wire = self._plan.linear(self._stage, wires, math.prod(held.shape), held.range, norm2=norm2)
        return PlanTensor(self, wire, held, constant=constant)

    def _hinted(self, values: PlanTensor, bits: int, held: Held) -> PlanTensor:
        source = self._plan.narrowed(values.wire, held.range)
        wire = self._plan.linear(
            self._stage, (source,), values.size, held.range, width=bits, norm2=source.norm2
        )
        return PlanTensor(self, wire, held)

    def _added_up(self, values: PlanTensor, held: Held, terms: int) -> PlanTensor:
        norm2 = values.wire.norm2 * terms
        return self._linear((values,), held, norm2, encrypted_addition=values.size)

    def _linear(
        self,
        sources: Sequence[PlanTensor],
        held: Held,
        norm2: float,
        tensor: int = 0,
        **counts: Unpack[LinearCounts],
    ) -> PlanTensor:
        wire = self._plan.linear(
            self._stage,
            [source.wire for source in sources],
            math.prod(held.shape),
            held.range,
            norm2=norm2,
            tensor=tensor,
            **counts,
        )
        return PlanTensor(self, wire, held)

    def _constant(self, after: PlanTensor, held: Held) -> PlanTensor:
        n = math.prod(held.shape)
        wire = self._plan.linear(
            self._stage, (), n, held.range, norm2=1.0, awaits=(after.wire,), clear_addition=n
        )
        return PlanTensor(self, wire, held, constant=True)

    def _once(self, key: tuple[Any, ...], make: Callable[[], PlanTensor]) -> PlanTensor:
        """What ``make`` gives, made once for each key."""
        if key not in self._constants:
            self._constants[key] = make()
        return self._constants[key]


def _widest(bits: int, *, signed: bool) -> Range:
    """All integers of ``bits``."""
    return Range(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else Range(0, 2**bits - 1)


def _always(table: Table, values: PlanTensor, result: int) -> bool:
    """Whether ``table`` gives ``result`` for every integer of the type of ``values``."""
    if values.wire.width > WIDEST_CONSTANT:
        return False
    read = _widest(values.wire.width, signed=values.wire.signed)
    every = range(read.low, read.high + 1)
    return all(np.all(np.rint(table(np.full(values.shape, one))) == result) for one in every)
