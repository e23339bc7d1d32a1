"""Read a circuit profile from any compiled Concrete circuit.

What is counted comes from Concrete's statistics, what waits for what from the MLIR that it compiled
(``fhecost.concrete.dataflow``). The two are held to each other, and the work of all lookups to the
complexity that Concrete's optimizer states: a circuit that was read wrongly is refused.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fhecost.circuits.any_error import error_of_any
from fhecost.circuits.description import CircuitDescription
from fhecost.circuits.profile import CircuitProfile, Stage
from fhecost.circuits.work import bootstrap_key_bytes, key_switch_key_bytes, stage_units
from fhecost.concrete.dataflow import Operation, read_operations
from fhecost.concrete.given import as_circuit
from fhecost.concrete.inputs import input_bytes
from fhecost.concrete.stages import place_names, read_stages
from fhecost.concrete.statistics import counts_by_location, read_keys
from fhecost.errors import ImpossibleError

_TOLERANCE = 1e-3
"""How far work and complexity may be apart, relatively: the optimizer rounds with one set."""


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
            ``fhe.module``, whose keys are those of the module: see :func:`profile_module`. One with
            ``dataflow_parallelize`` or ``auto_parallelize`` is compiled once more without, to be
            counted.
        name: a short name for reports.
        source: what the profile was read from, in words.
        description: what the circuit computes, in fields, or in names of your own.
        packages: those whose versions shaped the circuit.

    Raises:
        ImpossibleError: the circuit uses an operation that has no cost here (WoP-PBS), has no
            encrypted operation at all, or what Concrete says of it contradicts itself.
        UsageError: ``circuit`` is something else.
    """
    circuit = as_circuit(circuit)
    server, module, function = _counted(circuit), circuit.mlir_module, circuit._name
    keys = read_keys(server)
    fused = server._configuration.enable_tlu_fusing
    operations = read_operations(module, function, fuse_lookups=fused)
    place_of = place_names(circuit.graph)
    counted = counts_by_location(server, function, keys, operations, place_of)
    stages = read_stages(operations, counted, place_of, _loops_of(circuit))
    if not stages:
        raise ImpossibleError(
            f"circuit {name!r} has no operation on encrypted data: no cost to model"
        )
    looked_up = (stage.bit_width for stage in stages if stage.bit_width is not None)
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
        input_bytes=input_bytes(circuit, server, function),
        output_bytes=circuit.size_of_outputs,
        # A lookup of what the compiler unfolds can read more bits than any node of the graph has.
        max_bit_width=max(circuit.graph.maximum_integer_bit_width(), *looked_up, 1),
        complexity=_complexity(circuit, server, stages, bool(keys.bootstrap)),
        p_error=circuit.p_error,
        global_p_error=_global_p_error(circuit, stages),
        versions={package: importlib.metadata.version(package) for package in packages},
    )


def _counted(circuit: Any) -> Any:
    """The server whose statistics hold all operations of ``circuit``.

    Concrete's miss what it puts into tasks of their own to run them side by side. The same MLIR
    gives the same parameters without, and statistics that are whole.
    """
    server = circuit.server
    configuration = server._configuration
    if not (configuration.dataflow_parallelize or configuration.auto_parallelize):
        return server
    whole = type(server).create(
        circuit.mlir_module,
        configuration.fork(dataflow_parallelize=False, auto_parallelize=False),
        compilation_context=circuit._module.compilation_context,
        composition_rules=server._composition_rules,
        tfhers_specs=server._tfhers_specs,
    )
    if not read_keys(whole).alike(read_keys(server)):
        raise ImpossibleError(
            "compiled without dataflow_parallelize and auto_parallelize, whose statistics miss "
            "operations, the circuit has other keys: profile a circuit compiled without them"
        )
    return whole


def _loops_of(circuit: Any) -> Callable[[Operation], tuple[int, int]] | None:
    """The loops that an operation's lookups run in, by their width and number.

    Without ``loop_parallelize`` threads share nothing out; tasks side by side have no such order.
    """
    configuration = circuit.server._configuration
    if configuration.dataflow_parallelize or configuration.auto_parallelize:
        return None
    if configuration.loop_parallelize:
        return lambda operation: (operation.width, operation.times)
    return lambda operation: (1, operation.lookups)


def _complexity(circuit: Any, server: Any, stages: Sequence[Stage], has_keys: bool) -> float:
    """The optimizer's complexity, held to the work of all PBS and KS.

    The strategy V0 states that of one lookup; the circuit's is the work then.
    """
    pbs_count, work = sum(stage.pbs_count for stage in stages), sum(map(stage_units, stages))
    if circuit.complexity is None:
        # Of a module Concrete states that of all functions together, which share the keys.
        return work
    if has_keys != bool(pbs_count):
        raise ImpossibleError(
            f"the circuit has {'bootstrap' if has_keys else 'no bootstrap'} keys and "
            f"{pbs_count} PBS: Concrete's statistics miss operations"
        )
    stated: float = circuit.complexity
    if not pbs_count:
        return stated
    if server._configuration.parameter_selection_strategy.name == "V0":
        return work
    if abs(work / stated - 1) > _TOLERANCE:
        raise ImpossibleError(
            f"the PBS and KS that Concrete counts are {work:.4g} units of work, its complexity is "
            f"{stated:.4g}: one of them isn't of this circuit"
        )
    return stated


def _global_p_error(circuit: Any, stages: Sequence[Stage]) -> float:
    """The probability that any lookup of the circuit goes wrong."""
    # circuit.global_p_error repeats the error of one lookup; the statistics have the right one,
    # but for the strategy V0, which leaves it at zero.
    stated: float = circuit.statistics["global_p_error"]
    if stated or not circuit.p_error:
        return stated
    return error_of_any([(circuit.p_error, sum(stage.pbs_count for stage in stages))])
