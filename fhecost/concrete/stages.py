"""The stages of a compiled circuit: its operations by place, in the order of their dependencies.

Operations with one tag form a stage; those without a tag form one stage a source line. Places that
wait for each other (two lines of one loop) are one stage with several steps.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from fhecost.circuits.profile import Stage
from fhecost.circuits.stage_counts import StageCounts
from fhecost.concrete.dataflow import Operation

_LOCATION = re.compile(r'^loc\("(?P<name>.*)":(?P<line>\d+):\d+\)$')
_ESCAPED = re.compile(rb"\\(\\|[0-9A-Fa-f]{2})")


def place_names(graph: Any) -> Callable[[str], str]:
    """The function from a location in the MLIR to the name of its stage.

    Args:
        graph: of the circuit. Concrete writes tag and file of its nodes as ``@tag | file``, which
            tags and files with such a bar in them leave ambiguous.
    """
    known: dict[str, tuple[str, str]] = {}
    for node in graph.graph.nodes:
        file = node.location.rsplit(":", maxsplit=1)[0]
        known[f"@{node.tag} | {file}" if node.tag else file] = node.tag, file

    def place(location: str) -> str:
        match = _LOCATION.match(location)
        if match is None:
            return "unlocated"
        text = _unescaped(match["name"])
        tag, file = known.get(text) or _split(text)
        # A name in parentheses means something that belongs to no stage.
        return tag.lstrip("(") or f"{PurePath(file).name.lstrip('(')}:{match['line']}"

    return place


def _split(text: str) -> tuple[str, str]:
    tag, bar, file = text.rpartition(" | ")
    return (tag[1:], file) if bar and tag.startswith("@") else ("", text)


def _unescaped(text: str) -> str:
    """``text`` without MLIR's escapes: a backslash and two hexadecimal digits for a byte."""

    def byte(match: re.Match[bytes]) -> bytes:
        found = match[1]
        return found if found == b"\\" else bytes([int(found, 16)])

    return _ESCAPED.sub(byte, text.encode()).decode(errors="replace")


def read_stages(
    operations: Sequence[Operation],
    counted: Mapping[str, StageCounts],
    place_of: Callable[[str], str],
    loops_of: Callable[[Operation], tuple[int, int]] | None,
) -> list[Stage]:
    """The stages of a circuit.

    Args:
        operations: its dataflow.
        counted: what Concrete counts at each location.
        place_of: the name of a location's stage.
        loops_of: the loops that an operation's lookups run in, their width and number; None where
            they aren't known.
    """
    costs: dict[str, StageCounts] = defaultdict(StageCounts)
    for location, counts in counted.items():
        costs[place_of(location)].add(counts)
    places = [place_of(operation.location) for operation in operations]
    groups, edges, order = _group(operations, places, set(costs))
    taken = set(costs)
    stages: list[Stage] = []
    waits_for: dict[int, tuple[str, ...]] = {}
    for group in order:
        members = [operations[index] for index in groups[group]]
        names = sorted({places[index] for index in groups[group]} & costs.keys())
        predecessors = tuple(
            dict.fromkeys(name for before in sorted(edges[group]) for name in waits_for[before])
        )
        if not names:
            # Nothing to pay for, such as a slice: what reads it waits for what it waits for.
            waits_for[group] = predecessors
            continue
        counts = StageCounts(bit_width=_widest(members))
        for name in names:
            counts.add(costs.pop(name))
        stage = counts.stage(
            _joined(names, taken),
            steps=_depth(operations, groups[group]) if counts.pbs else 1,
            largest_tensor=max(operation.elements for operation in members),
            predecessors=predecessors,
            loops=_loops(members, loops_of) if loops_of else None,
            repeated=_repeated(members),
        )
        stages.append(stage)
        waits_for[group] = (stage.name,)
    for name, counts in costs.items():
        # Concrete counts linear operations where its MLIR has none: they run last.
        last = tuple(stage.name for stage in stages)
        stages.append(counts.stage(name, steps=1, largest_tensor=1, predecessors=last))
    return stages


def _joined(names: Sequence[str], taken: set[str]) -> str:
    """The name of a stage of several places, which isn't ``taken`` by a tag with a plus in it."""
    if len(names) == 1:
        return names[0]
    bond = "+"
    while bond.join(names) in taken:
        bond = f" {bond} "
    taken.add(bond.join(names))
    return bond.join(names)


def _group(
    operations: Sequence[Operation], places: Sequence[str], costly: set[str]
) -> tuple[list[list[int]], dict[int, set[int]], list[int]]:
    """Group operations by place, merge places that wait for each other, and order them.

    Operations whose place has no cost (slices, reshapes) stay alone, so that they link the stages
    around them without merging what they merely pass by.

    Returns:
        the operations of each group, the groups that each waits for, and the groups in the order of
        their dependencies.
    """
    import networkx as nx

    keys = [place if place in costly else f"\0{index}" for index, place in enumerate(places)]
    offers = _waited_for(operations, keys)
    members: dict[str, list[int]] = defaultdict(list)
    quotient = nx.DiGraph()
    for index, (key, operation) in enumerate(zip(keys, operations, strict=True)):
        members[key].append(index)
        quotient.add_node(key)
        read = (
            other for before in operation.reads if keys[before] != key for other in offers[before]
        )
        quotient.add_edges_from((other, key) for other in read if other != key)
    condensed = nx.condensation(quotient)
    groups = [
        sorted(index for key in condensed.nodes[group]["members"] for index in members[key])
        for group in range(condensed.number_of_nodes())
    ]
    edges = {group: set(condensed.predecessors(group)) for group in condensed.nodes}
    order = nx.lexicographical_topological_sort(condensed, key=lambda group: groups[group][0])
    return groups, edges, list(order)


def _waited_for(operations: Sequence[Operation], keys: Sequence[str]) -> list[frozenset[str]]:
    """By operation, the places that a reader of its result waits for.

    That is its own, unless lookups take the time there and none of them is before it: readers at
    other places share such an addition or slice, and wait for what it waits for.
    """
    looks_up = {key for key, one in zip(keys, operations, strict=True) if one.lookups}
    depth: list[int] = []
    offers: list[frozenset[str]] = []
    for key, operation in zip(keys, operations, strict=True):
        before = (depth[read] for read in operation.reads if keys[read] == key)
        depth.append(operation.steps + max(before, default=0))
        shared = key in looks_up and not depth[-1]
        passed = frozenset[str]().union(*(offers[read] for read in operation.reads))
        offers.append(passed if shared else frozenset({key}))
    return offers


def _depth(operations: Sequence[Operation], members: Sequence[int]) -> int:
    """PBS on the longest path through ``members``, at least 1."""
    depth: dict[int, int] = {}
    for index in members:
        before = (depth[read] for read in operations[index].reads if read in depth)
        depth[index] = operations[index].steps + max(before, default=0)
    return max(1, *depth.values())


def _loops(
    members: Sequence[Operation], loops_of: Callable[[Operation], tuple[int, int]]
) -> Counter[int]:
    """How many loops there are over the lookups of ``members``, by their width."""
    loops: Counter[int] = Counter()
    for width, times in (loops_of(operation) for operation in members if operation.lookups):
        loops[width] += times
    return loops


def _repeated(operations: Sequence[Operation]) -> int:
    """How many of their table lookups read a value that another one before has read."""
    seen: dict[int, int] = {}
    repeated = 0
    for one in operations:
        if one.looked_up is not None:
            repeated += min(one.lookups, seen.get(one.looked_up, 0))
            seen[one.looked_up] = max(one.lookups, seen.get(one.looked_up, 0))
    return repeated


def _widest(operations: Sequence[Operation]) -> int | None:
    """Bits of the widest integer that a lookup reads; None without lookups."""
    widths = [one.bit_width for one in operations if one.bit_width is not None]
    return max(widths, default=None)
