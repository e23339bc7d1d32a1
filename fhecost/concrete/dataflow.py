"""The dataflow of a compiled circuit: what Concrete lowers, which lookups it takes, what waits.

Concrete keeps the MLIR that it compiles, in its dialects FHE and FHELinalg: one operation a tensor,
after comparisons, minima, bits and the like have become table lookups. The compiler then simplifies
it, and what it simplifies changes which lookups there are; those rules are followed here
(zama-ai/concrete@ebef4fb61, ``compilers/concrete-compiler/compiler/lib/Dialect/{FHE,FHELinalg}/IR``
and MLIR's own for tensors):

- a lookup that directly follows another becomes one with it, unless the first is needed elsewhere
  and reads no narrower integer;
- adding zero, multiplying by one, rounding to the same width, a slice of everything and a reshape
  back do nothing; a product with zeros is zero and reads nothing;
- an element of a tensor of elements is that element; what nobody reads isn't computed.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from fhecost.errors import ImpossibleError

_ENCRYPTED = re.compile(
    r"^(?:tensor<(?P<shape>(?:\d+x)*))?!FHE\.e(?:s?int<(?P<width>\d+)>|bool)>?$"
)
_SIZES = re.compile(r"^tensor<((?:\d+x)+)[^<>]+>$")
_SPLAT = re.compile(r"^dense<(-?\d+)> :")
_LOOKUPS = frozenset(
    f"{dialect}.apply_{kind}lookup_table"
    for dialect in ("FHE", "FHELinalg")
    for kind in ("", "multi_", "mapped_")
)
_FUSED = _LOOKUPS - {"FHELinalg.apply_multi_lookup_table"}


@dataclass(frozen=True)
class Operation:
    """One operation on ciphertexts.

    ``name`` is as the MLIR has it, ``location`` as Concrete's statistics do. ``reads`` are the
    operations before it whose ciphertexts it reads, by their place in the sequence. It takes
    ``lookups`` PBS, ``steps`` of them one after the other: ``times`` loops, each over ``width``
    values. ``bit_width`` is of the integers that they read, None without lookups; ``elements`` are
    those of its largest tensor, clear ones that it adds or multiplies with included. Table lookups
    of one tensor have the same ``looked_up``; None is no table lookup.
    """

    name: str
    location: str
    reads: tuple[int, ...]
    lookups: int
    steps: int
    width: int
    times: int
    bit_width: int | None
    elements: int
    looked_up: int | None = None


@dataclass(frozen=True)
class _Type:
    """The type of a value; ``width`` is None for what isn't encrypted."""

    shape: tuple[int, ...]
    width: int | None

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


@dataclass(eq=False)
class _Node:
    """An operation of the MLIR while it is being simplified; inputs are nodes too."""

    name: str
    location: str
    type: _Type
    text: str
    operands: list[_Node] = field(default_factory=list)
    source: Any = None
    same_as: _Node | None = None

    @property
    def encrypted(self) -> bool:
        return self.type.width is not None

    @property
    def kind(self) -> str:
        """Its name without the dialect."""
        return self.name.rpartition(".")[2]


def read_operations(module: Any, function: str, *, fuse_lookups: bool) -> tuple[Operation, ...]:
    """The operations on ciphertexts of ``function`` in the MLIR ``module``, in its order.

    Args:
        module: the ``mlir_module`` of a circuit.
        function: its name there.
        fuse_lookups: whether the compiler makes one lookup of two that follow each other.

    Raises:
        ImpossibleError: a lookup inside a loop or a condition of the MLIR itself.
    """
    nodes, results = _read_nodes(module, function)
    changed = True
    while changed:
        live = _live(nodes, results)
        users = Counter(id(operand) for node in live for operand in node.operands)
        users.update(id(result) for result in results)
        changed = sum(_simplified(node, users, fuse_lookups) for node in live) > 0
        for node in live:
            node.operands = [_resolved(operand) for operand in node.operands]
        results = [_resolved(result) for result in results]
    live = _live(nodes, results)
    done = [node for node in live if node.encrypted and node.name != "input"]
    index = {id(node): position for position, node in enumerate(done)}
    tensors = {id(node): position for position, node in enumerate(live)}
    return tuple(_operation(node, index, tensors) for node in done)


def _read_nodes(module: Any, function: str) -> tuple[list[_Node], list[_Node]]:
    """Inputs and operations of ``function`` in their order, and what it returns."""
    (block,) = next(
        found.regions[0].blocks
        for found in module.body.operations
        if _text(found.attributes["sym_name"]) == function
    )
    known: dict[Any, _Node] = {}
    nodes: list[_Node] = []
    for argument in block.arguments:
        text = str(argument.type)
        known[argument] = _Node("input", "", _type(text), text)
        nodes.append(known[argument])
    for view in block.operations:
        operation = view.operation
        operands = [known[operand] for operand in operation.operands]
        if operation.name == "func.return":
            return nodes, operands
        _refuse_hidden_lookups(operation)
        for result in operation.results:
            text = str(result.type)
            known[result] = _Node(
                operation.name, str(operation.location), _type(text), text, operands, operation
            )
            nodes.append(known[result])
    raise ImpossibleError(f"the MLIR of {function!r} returns nothing")


def _refuse_hidden_lookups(operation: Any) -> None:
    """Concrete's own regions check and mend clear indices; none has ciphertexts in it."""
    for region in operation.regions:
        for block in region.blocks:
            for inner in block.operations:
                if inner.operation.name.startswith("FHE"):
                    raise ImpossibleError(
                        f"the MLIR has {inner.operation.name} inside {operation.name}: "
                        "its count and depth are unknown here"
                    )
                _refuse_hidden_lookups(inner.operation)


def _text(attribute: Any) -> str:
    from mlir.ir import StringAttr

    return str(StringAttr(attribute).value)


@cache
def _type(text: str) -> _Type:
    if match := _ENCRYPTED.match(text):
        return _Type(_sizes(match["shape"] or ""), int(match["width"] or 1))
    clear = _SIZES.match(text)
    return _Type(_sizes(clear[1]) if clear else (), None)


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(size) for size in text.split("x") if size)


def _resolved(node: _Node) -> _Node:
    while node.same_as is not None:
        node = node.same_as
    return node


def _live(nodes: Iterable[_Node], results: Iterable[_Node]) -> list[_Node]:
    """The nodes that the results need, in their order."""
    needed: set[int] = set()
    waiting = list(results)
    while waiting:
        node = waiting.pop()
        if id(node) not in needed:
            needed.add(id(node))
            waiting += node.operands
    return [node for node in nodes if id(node) in needed]


def _simplified(node: _Node, users: Mapping[int, int], fuse_lookups: bool) -> bool:
    """Whether one of the compiler's rules changed ``node``."""
    node.operands = [_resolved(operand) for operand in node.operands]
    if not node.encrypted or not node.operands:
        return False
    if (same := _does_nothing(node)) is not None:
        node.same_as = same
        return True
    if _is_zero(node):
        node.name, node.operands = "FHE.zero", []
        return True
    before = node.operands[0]
    if fuse_lookups and _becomes_one(before, node, users):
        node.operands = [before.operands[0], *node.operands[1:]]
        return True
    return False


def _does_nothing(node: _Node) -> _Node | None:
    """The operand that ``node`` only repeats; None for an operation that does something."""
    first = node.operands[0]
    kind = node.kind
    if kind in ("add_eint_int", "sub_eint_int") and _uniform(node.operands[1]) == 0:
        return first
    if kind == "mul_eint_int" and _uniform(node.operands[1]) == 1:
        return first
    if kind in ("round", "extract_slice", "cast") and first.text == node.text:
        return first
    if kind == "concat" and len(node.operands) == 1:
        return first
    if kind in ("expand_shape", "collapse_shape"):
        inverse = first.kind in ("expand_shape", "collapse_shape") and first.kind != kind
        return first.operands[0] if inverse and first.operands[0].text == node.text else None
    if kind == "extract_slice" and first.kind == "insert_slice":
        inserted = first.operands[0]
        same = inserted.text == node.text and _slice(node) == _slice(first)
        return inserted if same else None
    if kind == "extract" and first.name == "tensor.from_elements":
        return _element(first, node.operands[1:])
    return None


def _element(tensor: _Node, indices: Iterable[_Node]) -> _Node | None:
    """The element of a tensor that was made of elements; None where indices are unknown."""
    position = 0
    for size, index in zip(tensor.type.shape, indices, strict=True):
        known = _uniform(index)
        if known is None:
            return None
        position = position * size + known
    return tensor.operands[position]


def _slice(node: _Node) -> tuple[str, ...] | None:
    """Offsets, sizes and strides, where none of them is an operand."""
    if any(not operand.encrypted for operand in node.operands):
        return None
    names = ("static_offsets", "static_sizes", "static_strides")
    return tuple(str(node.source.attributes[name]) for name in names)


def _is_zero(node: _Node) -> bool:
    clear, encrypted = 1, 0
    if node.kind == "matmul_int_eint":
        clear, encrypted = 0, 1
    if node.kind in ("mul_eint_int", "matmul_eint_int", "matmul_int_eint"):
        zeros = node.operands[encrypted].name in ("FHE.zero", "FHE.zero_tensor")
        return zeros or _uniform(node.operands[clear]) == 0
    zeros = node.operands[0].name in ("FHE.zero", "FHE.zero_tensor")
    return node.kind in ("to_signed", "to_unsigned") and zeros


def _uniform(node: _Node) -> int | None:
    """The one integer of a clear constant; None where it has several or isn't known."""
    if node.name == "tensor.from_elements":
        values = {_uniform(operand) for operand in node.operands}
        return values.pop() if len(values) == 1 else None
    if node.name != "arith.constant":
        return None
    return _one_integer(node.source.attributes["value"])


def _one_integer(attribute: Any) -> int | None:
    from mlir.ir import DenseElementsAttr, IntegerAttr

    if IntegerAttr.isinstance(attribute):
        return int(IntegerAttr(attribute).value)
    if not DenseElementsAttr.isinstance(attribute) or not DenseElementsAttr(attribute).is_splat:
        return None
    match = _SPLAT.match(str(attribute))
    return int(match[1]) if match else None


def _becomes_one(before: _Node, node: _Node, users: Mapping[int, int]) -> bool:
    """Whether the compiler makes one lookup of ``node`` and the one that it directly follows."""
    if node.name not in _FUSED or before.name not in _FUSED:
        return False
    if before.name.startswith("FHE.") != node.name.startswith("FHE."):
        return False
    tables = [*node.operands[1:], *before.operands[1:]]
    if any(table.name != "arith.constant" for table in tables):
        return False
    narrower = (before.operands[0].type.width or 0) < (before.type.width or 0)
    return users[id(before)] == 1 or narrower


def _operation(node: _Node, index: Mapping[int, int], tensors: Mapping[int, int]) -> Operation:
    width, times, steps, bit_width = _LOWERED.get(node.kind, _no_lookups)(node)
    reads = (index[id(operand)] for operand in node.operands if id(operand) in index)
    # Of the other operations' clear operands, tables and indices, nothing is computed with.
    clear = (one.type.elements for one in node.operands if not one.encrypted)
    with_clear = "int" in node.kind.split("_") or node.kind == "conv2d"
    return Operation(
        name=node.name,
        location=node.location,
        reads=tuple(dict.fromkeys(reads)),
        lookups=width * times,
        steps=steps,
        width=width,
        times=times,
        bit_width=bit_width if times else None,
        elements=max(node.type.elements, *(clear if with_clear else ()), 1),
        looked_up=tensors[id(node.operands[0])] if node.name in _LOOKUPS else None,
    )


_Lowered = tuple[int, int, int, int | None]
"""Values at a time, how often, how many of these wait for each other, bits that are read."""


def _no_lookups(node: _Node) -> _Lowered:
    return 0, 0, 0, None


def _lookup(node: _Node) -> _Lowered:
    return node.type.elements, 1, 1, node.operands[0].type.width


def _product(node: _Node) -> _Lowered:
    """x*y = (x+y)^2/4 - (x-y)^2/4, two lookups that don't wait for each other."""
    return node.type.elements, 2, 1, node.operands[0].type.width


def _matrix_product(node: _Node) -> _Lowered:
    """Such products, one after the other in each element's sum."""
    summed = node.operands[0].type.shape[-1]
    return node.type.elements, 2 * summed, 1, node.operands[0].type.width


def _maximum(node: _Node) -> _Lowered:
    """max(x, y) = max(x-y, 0) + y."""
    return node.type.elements, 1, 1, node.type.width


def _pooled_maximum(node: _Node) -> _Lowered:
    """A running maximum over each window, that starts from the smallest integer."""
    kernel = math.prod(_integers(node.source.attributes["kernel_shape"]))
    return node.type.elements, kernel, kernel, node.type.width


def _integers(attribute: Any) -> list[int]:
    from mlir.ir import DenseIntElementsAttr

    values = DenseIntElementsAttr(attribute)
    one = _one_integer(attribute)
    return [int(value) for value in values] if one is None else [one] * len(values)


def _rounded(node: _Node) -> _Lowered:
    """One bit after the other is taken away, from the lowest up; each lookup reads one bit."""
    removed = (node.operands[0].type.width or 0) - (node.type.width or 0)
    return node.type.elements, removed, removed, 1


def _lowest_bit(node: _Node) -> _Lowered:
    return node.type.elements, 1, 1, 1


_LOWERED: Mapping[str, Callable[[_Node], _Lowered]] = {
    "apply_lookup_table": _lookup,
    "apply_multi_lookup_table": _lookup,
    "apply_mapped_lookup_table": _lookup,
    "mul_eint": _product,
    "dot_eint_eint": _matrix_product,
    "matmul_eint_eint": _matrix_product,
    "max_eint": _maximum,
    "maxpool2d": _pooled_maximum,
    "round": _rounded,
    "lsb": _lowest_bit,
}
