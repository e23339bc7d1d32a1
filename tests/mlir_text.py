"""Another, plainer reading of a circuit's MLIR: its text, and recursion over its values."""

import re
from dataclasses import dataclass, field
from functools import cache
from math import prod

LINE = re.compile(r'^\s*(?P<result>%\S+) = "?(?P<name>[\w.]+)"?(?P<rest>.*) loc\((?P<loc>#?\w+)\)$')
TYPE = re.compile(r"(?:tensor<((?:\d+x)*))?!FHE\.es?int<(\d+)>")
TABLE = "lookup_table"


@dataclass
class Shape:
    """What the text says of one stage."""

    pbs: int = 0
    depth: int = 0
    bit_width: int | None = None
    predecessors: set[str] = field(default_factory=set)


def read_mlir_text(module, graph, stages, fused):
    """The shape of each of ``stages`` by its name."""
    text = module.operation.get_asm(enable_debug_info=True)
    locations = dict(re.findall(r"^(#loc\d*) = loc\((.*)\)$", text, re.MULTILINE))
    lines = {}
    returned = []
    for line in text.splitlines():
        if match := LINE.match(line):
            lines[match["result"]] = match
        elif line.strip().startswith("return "):
            returned = re.findall(r"%\w+", line)

    def clear(match):
        """The number that a clear operand is made of, None where there are several."""
        found = re.search(r"constant (?:dense<)?(-?\d+)>? :", match.group())
        if match["name"] == "tensor.from_elements":
            values = {clear(lines[one]) for one in operands(match) if one in lines}
            return values.pop() if len(values) == 1 else None
        return int(found[1]) if found else None

    def operands(match):
        return re.findall(r"%\w+", match["rest"].partition(" : ")[0])

    def same(value):
        """``value``, or the one that it only repeats."""
        match = lines.get(value)
        if match is None:
            return value
        kind, found = match["name"].rpartition(".")[2], operands(match)
        nothing = {"add_eint_int": 0, "sub_eint_int": 0, "mul_eint_int": 1}
        if kind in nothing and found[1] in lines and clear(lines[found[1]]) == nothing[kind]:
            return same(found[0])
        if match["name"] == "tensor.extract" and found[0] in lines:
            source = lines[found[0]]
            if source["name"] == "tensor.from_elements":
                return same(operands(source)[clear(lines[found[1]])])
        return value

    def reads(value):
        """The ciphertexts that ``value`` is made of, before lookups are fused."""
        match = lines[value]
        found = operands(match)
        is_product = match["name"].endswith(".mul_eint_int") and found[1] in lines
        if is_product and clear(lines[found[1]]) == 0:
            return []
        types = match["rest"].rpartition(" : ")[2]
        ciphertexts = [same(one) for one in found if one in lines and encrypted(one)]
        # What only repeats an input of the circuit is that input, which no line makes.
        return [one for one in ciphertexts if one in lines] if types else []

    def encrypted(value):
        return (
            "!FHE.e" in lines[value]["rest"].rpartition("->")[2]
            or "!FHE.e" in (lines[value]["rest"].rpartition(" : ")[2])
        )

    def is_table(value):
        match = lines[value]
        constant = all(
            one in lines and lines[one]["name"] == "arith.constant" for one in operands(match)[1:]
        )
        return match["name"].endswith(TABLE) and "multi_" not in match["name"] and constant

    def width(value):
        match = lines[value]
        inputs = match["rest"].rpartition(" : ")[2].partition("->")[0]
        return int(TYPE.search(inputs)[2])

    users = {}
    seen = []
    waiting = [same(one) for one in returned if same(one) in lines]
    for one in waiting:
        users.setdefault(one, []).append(None)
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.append(one)
        for other in reads(one):
            users.setdefault(other, []).append(one)
            waiting.append(other)

    @cache
    def first(value):
        """The first of the lookups that the compiler makes one of, with ``value`` the last."""
        found = reads(value) if fused and is_table(value) else []
        if not found or not is_table(found[0]):
            return value
        before = first(found[0])
        return before if len(users[found[0]]) == 1 or width(before) < width(value) else value

    def sources(value):
        """What ``value`` reads once lookups that follow each other are one."""
        return reads(first(value))

    def pbs(value):
        """PBS of one operation, those that wait for each other, and the bits that they read."""
        match = lines[value]
        kind = match["name"].rpartition(".")[2]
        result = TYPE.findall(match["rest"])[-1]
        elements = prod(int(size) for size in result[0].split("x") if size)
        if kind.endswith(TABLE):
            return elements, 1, width(first(value))
        if kind == "lsb":
            return elements, 1, 1
        if kind == "mul_eint":
            return 2 * elements, 1, width(value)
        if kind in ("dot_eint_eint", "matmul_eint_eint"):
            summed = int(TYPE.search(match["rest"])[1].split("x")[-2])
            return 2 * elements * summed, 1, width(value)
        if kind == "max_eint":
            return elements, 1, int(result[1])
        if kind == "maxpool2d":
            shape = re.search(r"kernel_shape = dense<\[?([\d, ]+)\]?>", match["rest"])[1]
            sizes = [int(size) for size in shape.split(",")]
            window = prod(sizes if len(sizes) == 2 else sizes * 2)
            return elements * window, window, int(result[1])
        if kind == "round":
            removed = width(value) - int(result[1])
            return elements * removed, removed, 1
        return 0, 0, None

    needed = []
    waiting = [same(one) for one in returned if same(one) in lines]
    while waiting:
        one = waiting.pop()
        if one not in needed:
            needed.append(one)
            waiting += sources(one)

    names = stage_names(graph, locations, stages)

    def stage_of(value):
        loc = lines[value]["loc"]
        return names.get(locations.get(loc, loc))

    @cache
    def longest(value, stage):
        before = (longest(one, stage) for one in sources(value) if stage_of(one) == stage)
        return pbs(value)[1] + max(before, default=0)

    looks_up = {stage_of(one) for one in needed if pbs(one)[0]}

    @cache
    def waits_for(value):
        """The stages that a reader of ``value`` waits for."""
        stage = stage_of(value)
        if stage is not None and (stage not in looks_up or longest(value, stage)):
            return frozenset([stage])
        return frozenset().union(*(waits_for(one) for one in sources(value)))

    shapes = {stage.name: Shape() for stage in stages}
    for one in needed:
        stage = stage_of(one)
        if stage is None:
            continue
        shape, (count, _, bits) = shapes[stage], pbs(one)
        shape.pbs += count
        shape.depth = max(shape.depth, longest(one, stage))
        if count:
            shape.bit_width = max(bits, shape.bit_width or 0)
        for other in sources(one):
            if stage_of(other) != stage:
                shape.predecessors |= waits_for(other) - {stage}
    return shapes


def stage_names(graph, locations, stages):
    """The stage of each location that has one, by what Concrete makes of a node's tag and file."""
    known = {name: stage.name for stage in stages for name in stage.name.split("+")}
    found = {}
    for node in graph.graph.nodes:
        file, line = node.location.rsplit(":", 1)
        name = node.tag.lstrip("(") or f"{file.rpartition('/')[2].lstrip('(')}:{line}"
        name = known.get(name) or known.get(node.tag)
        text = f"@{node.tag} | {file}" if node.tag else file
        escaped = "".join(
            chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\' else f"\\{byte:02X}"
            for byte in text.encode()
        ).replace("\\5C", "\\\\")
        found[f'"{escaped}":{line}:0'] = name
    return found
