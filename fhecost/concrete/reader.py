"""Read a circuit profile from any compiled Concrete circuit.

Concrete reports every primitive operation with the location that its node had in the traced
function (tag, file and line), its keys and its count. Nodes with one tag form a stage; nodes
without a tag form one stage a source line. The circuit's graph says which stage waits for which.
Places that wait for each other (two lines of one loop) are one stage with several steps.

Concrete has no public access to the operations without a tag, so this module uses
``circuit.server._library`` of concrete-python 2.11.
"""

from __future__ import annotations

import importlib.metadata
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from fhecost.circuits.description import CircuitDescription
from fhecost.circuits.profile import (
    CircuitProfile,
    KeySwitchParameters,
    LinearOperation,
    PbsParameters,
    Stage,
)
from fhecost.circuits.stage_counts import StageCounts
from fhecost.circuits.work import bootstrap_key_bytes, key_switch_key_bytes, stage_units
from fhecost.concrete.given import as_circuit
from fhecost.errors import ImpossibleError

_LOCATION = re.compile(r'^loc\("(?:@(?P<tag>.*?) \| )?(?P<file>.*?)":(?P<line>\d+):\d+\)$')
_LINEAR: Mapping[str, LinearOperation] = {
    "CLEAR_ADDITION": "clear_addition",
    "ENCRYPTED_ADDITION": "encrypted_addition",
    "CLEAR_MULTIPLICATION": "clear_multiplication",
    "ENCRYPTED_NEGATION": "encrypted_negation",
}

_UNFOLDED = frozenset(
    {"equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "maximum", "minimum"}
    | {"bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift"}
    | {"round_bit_pattern", "truncate_bit_pattern"}
)


def profile_circuit(
    circuit: Any,
    *,
    name: str = "circuit",
    source: str = "compiled Concrete circuit",
    description: CircuitDescription | Mapping[str, str | int | float] | None = None,
    packages: Sequence[str] = ("concrete-python", "numpy"),
) -> CircuitProfile:
    """The circuit profile of a compiled ``concrete.fhe.Circuit``.

    Args:
        circuit: what ``fhe.Compiler.compile`` or ``@fhe.compiler(...).compile`` returned, compiled
            for execution (a simulation-only circuit has no keys); or a function of a compiled
            ``fhe.module``, whose keys are those of the module: see :func:`profile_module`.
        name: a short name for reports.
        source: what the profile was read from, in words.
        description: what the circuit computes, in fields, or in names of your own.
        packages: those whose versions shaped the circuit.

    Raises:
        ImpossibleError: the circuit uses an operation that has no cost here (WoP-PBS), or has no
            encrypted operation at all.
        UsageError: ``circuit`` is something else.
    """
    circuit = as_circuit(circuit)
    keys = _read_keys(circuit)
    places = _counts_by_place(circuit, keys)
    groups, edges, order = _group_nodes(circuit.graph, set(places))
    stages = _stages(circuit.graph, places, groups, edges, order)
    if not stages:
        raise ImpossibleError(
            f"circuit {name!r} has no operation on encrypted data: no cost to model"
        )
    return CircuitProfile(
        name=name,
        source=source,
        description=(
            description
            if isinstance(description, CircuitDescription)
            else CircuitDescription.of(description or {})
        ),
        stages=tuple(stages),
        bsk_bytes=sum(map(bootstrap_key_bytes, keys.bootstrap)),
        ksk_bytes=sum(map(key_switch_key_bytes, keys.key_switch)),
        input_bytes=circuit.size_of_inputs,
        output_bytes=circuit.size_of_outputs,
        max_bit_width=circuit.graph.maximum_integer_bit_width(),
        # Of a module Concrete states the work of all functions together.
        complexity=sum(map(stage_units, stages))
        if circuit.complexity is None
        else circuit.complexity,
        p_error=circuit.p_error,
        # circuit.global_p_error repeats the error of one lookup; the statistics have the right one.
        global_p_error=circuit.statistics["global_p_error"],
        versions={package: importlib.metadata.version(package) for package in packages},
    )


def _place(tag: str, file: str, line: str | int) -> str:
    """The name of the place that a node or an operation belongs to."""
    # A name in parentheses means something that belongs to no stage.
    return tag.lstrip("(") or f"{PurePath(file).name.lstrip('(')}:{line}"


@dataclass(frozen=True)
class _Keys:
    """The keys of a circuit, in the order in which its operations refer to them.

    Their bytes are computed from these: the size of bootstrap keys that Concrete 2.11 reports is k
    times that of the keys it makes.
    """

    secret: tuple[int, ...]
    bootstrap: tuple[PbsParameters, ...]
    key_switch: tuple[KeySwitchParameters, ...]


def _read_keys(circuit: Any) -> _Keys:
    keyset = circuit.server.program_info.get_keyset_info()
    secret = tuple(key.dimension() for key in keyset.secret_keys())
    bootstrap = (
        PbsParameters(
            lwe_dimension=key.input_lwe_dimension(),
            glwe_dimension=key.glwe_dimension(),
            polynomial_size=key.polynomial_size(),
            level_count=key.level(),
            base_log=key.base_log(),
        )
        for key in keyset.bootstrap_keys()
    )
    key_switch = (
        KeySwitchParameters(
            input_lwe_dimension=secret[key.input_secret_key_id()],
            output_lwe_dimension=secret[key.output_secret_key_id()],
            level_count=key.level(),
            base_log=key.base_log(),
        )
        for key in keyset.keyswitch_keys()
    )
    return _Keys(secret, tuple(bootstrap), tuple(key_switch))


def _counts_by_place(circuit: Any, keys: _Keys) -> dict[str, StageCounts]:
    """Concrete's own operation counts, by tag or source line, in the order of the program."""
    library = circuit.server._library
    feedback = library.get_program_compilation_feedback().get_circuit_feedback(circuit._name)
    places: dict[str, StageCounts] = defaultdict(StageCounts)
    for statistic in feedback.statistics:
        operation = statistic.operation.name
        match = _LOCATION.match(statistic.location)
        place = _place(match["tag"] or "", match["file"], match["line"]) if match else "unlocated"
        if operation not in ("PBS", "KEY_SWITCH", *_LINEAR):
            raise ImpossibleError(
                f"the circuit's operation {operation} at {place} has no cost model here; "
                "narrower lookups (fewer bits) need no such operation"
            )
        ((_, key_index),) = statistic.keys
        counts = places[place]
        if operation == "PBS":
            counts.pbs[keys.bootstrap[key_index]] += statistic.count
        elif operation == "KEY_SWITCH":
            counts.key_switches[keys.key_switch[key_index]] += statistic.count
        else:
            counts.linear[_LINEAR[operation], keys.secret[key_index]] += statistic.count
    return places


def _group_nodes(
    graph: Any, costly: set[str]
) -> tuple[list[list[Any]], dict[int, set[int]], list[int]]:
    """Group the graph's nodes by place, merge places that wait for each other, and order them.

    Nodes whose place has no cost of its own (slices, reshapes) stay alone, so that they link the
    stages around them without merging what they merely pass by.

    Returns:
        the groups, the groups that each group waits for, and the groups in dependency order.
    """
    import networkx as nx

    place_of: dict[Any, str] = {}
    for index, node in enumerate(nx.topological_sort(graph.graph)):
        file, line = node.location.rsplit(":", maxsplit=1)
        place = _place(node.tag, file, line)
        place_of[node] = place if place in costly else f"\0{index}"
    computed_with = _computed_with(graph, place_of, costly)
    quotient = nx.DiGraph()
    members: dict[str, list[Any]] = defaultdict(list)
    for node, place in place_of.items():
        members[place].append(node)
        quotient.add_node(place)
    for before, after in graph.graph.edges():
        if place_of[before] != place_of[after] and after not in computed_with:
            quotient.add_edge(place_of[before], place_of[after])
    for node, other in computed_with.items():
        quotient.add_edge(place_of[other], place_of[node])
    condensed = nx.condensation(quotient)
    groups = [
        [node for place in condensed.nodes[index]["members"] for node in members[place]]
        for index in range(condensed.number_of_nodes())
    ]
    edges = {index: set(condensed.predecessors(index)) for index in condensed.nodes}
    first_seen = {node: position for position, node in enumerate(place_of)}
    order = list(
        nx.lexicographical_topological_sort(
            condensed, key=lambda index: min(first_seen[node] for node in groups[index])
        )
    )
    return groups, edges, order


def _computed_with(graph: Any, place_of: Mapping[Any, str], costly: set[str]) -> dict[Any, Any]:
    """The lookups that the compiler merged into an equal one before, and which one that is.

    A lookup at a place without any cost isn't computed there. It is equal to another one if both
    have the same line of source, shape and bounds, and are constant or read equal values.

    Args:
        graph: of the circuit.
        place_of: the place of each node, in dependency order.
        costly: the places with operations of their own.
    """
    value_of: dict[Any, int] = {}
    numbers: dict[tuple[object, ...], int] = {}
    computed: dict[int, Any] = {}
    merged: dict[Any, Any] = {}
    for node, place in place_of.items():
        before = graph.ordered_preds_of(node)
        constant = node.bounds is not None and node.bounds[0] == node.bounds[1]
        reads = () if constant else tuple(value_of[other] for other in before) or (id(node),)
        like = (node.location, node.properties.get("name"), str(node.output), node.bounds, reads)
        value_of[node] = number = numbers.setdefault(like, len(numbers))
        if not _has_lookup(graph, node):
            continue
        if place in costly:
            computed.setdefault(number, node)
        elif number in computed:
            merged[node] = computed[number]
    return merged


def _stages(
    graph: Any,
    places: dict[str, StageCounts],
    groups: list[list[Any]],
    edges: dict[int, set[int]],
    order: list[int],
) -> list[Stage]:
    """Turn groups of nodes into stages; a group without cost hands on what it waits for."""
    remaining = dict(places)
    waits_for: dict[int, tuple[str, ...]] = {}
    stages: list[Stage] = []
    for index in order:
        predecessors = tuple(
            dict.fromkeys(name for before in sorted(edges[index]) for name in waits_for[before])
        )
        names: list[str] = []
        counts = StageCounts()
        for node in groups[index]:
            file, line = node.location.rsplit(":", maxsplit=1)
            place = _place(node.tag, file, line)
            if place in remaining:
                names.append(place)
                counts.add(remaining.pop(place))
        if not names:
            waits_for[index] = predecessors
            continue
        stages.append(_stage("+".join(sorted(names)), counts, graph, groups[index], predecessors))
        waits_for[index] = (stages[-1].name,)
    for place, counts in remaining.items():
        # The compiler moved these operations to no place of the graph: they run last, one stage.
        last = tuple(stage.name for stage in stages)
        stages.append(_stage(place, counts, graph, [], last))
    return stages


def _stage(
    name: str, counts: StageCounts, graph: Any, nodes: Iterable[Any], predecessors: tuple[str, ...]
) -> Stage:
    members = set(nodes)
    counts.bit_width = _lookup_bit_width(graph, members)
    return counts.stage(
        name,
        steps=_depth(graph, members, counts.pbs.total()) if counts.pbs else 1,
        largest_tensor=max((int(math.prod(node.output.shape)) for node in members), default=1),
        predecessors=predecessors,
    )


def _depth(graph: Any, members: set[Any], pbs_count: int) -> int:
    """Steps of a stage that wait for each other, at least 1.

    The compiler unfolds comparisons, bitwise operations and roundings into lookups that the graph
    doesn't show; most of one element's wait for each other, so all of them are taken to.
    """
    unfolded = [node for node in members if _is_unfolded(node)]
    if not unfolded:
        return max(1, _lookup_depth(graph, members))
    elements = max(int(math.prod(node.output.shape)) for node in unfolded)
    return max(1, math.ceil(pbs_count / elements))


def _is_unfolded(node: Any) -> bool:
    attributes = node.properties.get("attributes", {})
    return node.properties.get("name") in _UNFOLDED or "is_multivariate" in attributes


def _lookup_depth(graph: Any, members: set[Any]) -> int:
    """Table lookups on the longest path through ``members``: steps that wait for each other."""
    import networkx as nx

    inside = graph.graph.subgraph(members)
    depth: dict[Any, int] = {}
    for node in nx.topological_sort(inside):
        before = max((depth[previous] for previous in inside.predecessors(node)), default=0)
        own = _has_lookup(graph, node) and not _melts_into_lookup_before(graph, node)
        depth[node] = before + (1 if own else 0)
    return max(depth.values(), default=0)


def _melts_into_lookup_before(graph: Any, node: Any) -> bool:
    """Whether the compiler makes one table of this lookup and the one that it directly follows."""
    encrypted = [before for before in graph.ordered_preds_of(node) if before.output.is_encrypted]
    return (
        node.converted_to_table_lookup
        and len(encrypted) == 1
        and encrypted[0].converted_to_table_lookup
        and graph.graph.out_degree(encrypted[0]) == 1
    )


def _has_lookup(graph: Any, node: Any) -> bool:
    """Whether evaluating ``node`` needs a PBS."""
    if node.converted_to_table_lookup:
        return True
    encrypted = [p for p in graph.ordered_preds_of(node) if p.output.is_encrypted]
    return len(encrypted) > 1 and node.properties.get("name") in ("multiply", "matmul", "dot")


def _lookup_bit_width(graph: Any, members: set[Any]) -> int | None:
    """Bits of the widest integer that a lookup among ``members`` reads."""
    widths = [
        before.output.dtype.bit_width
        for node in members
        if _has_lookup(graph, node)
        for before in graph.ordered_preds_of(node)
        if before.output.is_encrypted
    ]
    return max(widths, default=None)
