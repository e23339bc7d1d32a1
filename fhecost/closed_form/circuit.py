"""From a plan and its parameter sets to the circuit profile that compiling would give."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from fhecost.circuits.any_error import error_of_any
from fhecost.circuits.description import CircuitDescription
from fhecost.circuits.profile import (
    LINEAR_OPERATIONS,
    CircuitProfile,
    KeySwitchParameters,
    LinearOperation,
)
from fhecost.circuits.stage_counts import StageCounts, count_up
from fhecost.circuits.work import (
    bootstrap_key_bytes,
    ciphertext_bytes,
    key_switch_key_bytes,
    key_switch_units,
    pbs_units,
)
from fhecost.closed_form.cost_error import cost_error
from fhecost.closed_form.parameter_sets import ParameterSets, origin_of, predict_sets
from fhecost.closed_form.partitions import Partitions, partition
from fhecost.closed_form.plan import Plan, Wire
from fhecost.closed_form.solved_sets import Wanted, all_solved_sets
from fhecost.concrete.compilation import GLOBAL_P_ERROR
from fhecost.errors import ImpossibleError
from fhecost.heads.parameter_rules import USUAL, ParameterRules

SPLIT_BY_NOISE = 0.3
"""How far the cost of a circuit may be off whose lookups are split by their noise: of fifteen
compiled ones (``experiments/closed_form/fast.json.gz``) up to 1.30 times as much was predicted."""


class PlannedCircuit(NamedTuple):
    """A circuit of which a profile is to be predicted.

    ``description`` is what it computes, as far as it is known before its parameter sets are; so
    many ``sharing_tokens`` share its cost, None where that is no question. ``rules`` say how often
    a lookup may go wrong, and which sets may be. With Concrete's default the sets come from a table
    unless they are to be solved; otherwise they always are. That lookups of one precision may be
    split by their noise is left out: it makes a circuit cheaper, by up to a quarter.
    """

    plan: Plan
    name: str
    description: CircuitDescription
    sharing_tokens: int | None = None
    rules: ParameterRules = USUAL


def predicted_profile(
    plan: Plan,
    name: str,
    description: CircuitDescription,
    sharing_tokens: int | None = None,
    rules: ParameterRules = USUAL,
    *,
    solve: bool = False,
    global_p_error: float | None = None,
) -> CircuitProfile:
    """The circuit profile of ``plan`` with predicted sets.

    Args:
        plan: the circuit.
        name: a short name for reports.
        description: see :class:`PlannedCircuit`, as the next two.
        sharing_tokens: how many tokens share the cost.
        rules: what is asked of the parameter sets.
        solve: whether to take the time, up to some seconds, that exact sets need.
        global_p_error: solve them for so many errors in all, whatever the rules say of errors.

    Raises:
        ImpossibleError: a lookup reads more than any circuit in the table of parameter sets, or
            there are no parameters.
    """
    planned = PlannedCircuit(plan, name, description, sharing_tokens, rules)
    (profile,) = predicted_profiles([planned], solve=solve, global_p_error=global_p_error)
    if isinstance(profile, ImpossibleError):
        raise profile
    return profile


def predicted_profiles(
    circuits: Sequence[PlannedCircuit],
    *,
    solve: bool = False,
    global_p_error: float | None = None,
) -> list[CircuitProfile | ImpossibleError]:
    """The circuit profiles of several ``circuits``, or why there is none.

    As :func:`predicted_profile` predicts one; what has to be solved takes a fraction of the time
    for each.
    """
    found: dict[int, CircuitProfile | ImpossibleError] = {}
    wanted: dict[int, Wanted] = {}
    for at, circuit in enumerate(circuits):
        rules = circuit.rules
        try:
            partitions = partition(circuit.plan)
            if rules == USUAL and not solve and global_p_error is None:
                variant = circuit.description.variant or ""
                parameters = predict_sets(variant, circuit.plan, partitions)
                found[at] = _profile(circuit, partitions, parameters)
                continue
        except ImpossibleError as error:
            found[at] = error
            continue
        p_error = rules.p_error if global_p_error is None else None
        in_all = (global_p_error or GLOBAL_P_ERROR) if p_error is None else None
        wanted[at] = Wanted(circuit.plan, partitions, p_error, in_all, rules.restriction)
    for (at, one), solved in zip(wanted.items(), all_solved_sets([*wanted.values()]), strict=True):
        found[at] = (
            solved
            if isinstance(solved, ImpossibleError)
            else _profile(
                circuits[at],
                one.partitions,
                solved.parameters,
                (solved.p_error, solved.global_p_error),
            )
        )
    return [found[at] for at in range(len(circuits))]


def _profile(
    circuit: PlannedCircuit,
    partitions: Partitions,
    parameters: ParameterSets,
    errors: tuple[float, float] | None = None,
) -> CircuitProfile:
    """The profile of ``circuit`` with such parameter sets, and what it says of their origin."""
    plan, description, sharing = circuit.plan, circuit.description, circuit.sharing_tokens
    return circuit_profile(
        plan,
        partitions,
        parameters,
        name=circuit.name,
        description=description.changed(
            parameter_sets=origin_of(parameters),
            pbs_per_token=sharing and math.ceil(partitions.lookup_count / sharing),
            cached_bytes=sum(_input_bytes(plan, partitions, parameters)[1:]) or None,
        ),
        cost_error=max(
            cost_error(
                parameters,
                stated=(description.variant or "") if description.widths == "stated" else None,
            ),
            SPLIT_BY_NOISE if circuit.rules.by_noise else 0.0,
        ),
        errors=errors,
    )


def circuit_profile(
    plan: Plan,
    partitions: Partitions,
    parameters: ParameterSets,
    *,
    name: str,
    description: CircuitDescription | None = None,
    cost_error: float | None = None,
    errors: tuple[float, float] | None = None,
) -> CircuitProfile:
    """The circuit profile of ``plan``, its stages in the order in which they were written down.

    Args:
        plan: the circuit.
        partitions: its partitions.
        parameters: their sets.
        name: a short name for reports.
        description: what the circuit computes.
        cost_error: how far the cost may be off, as a fraction.
        errors: how often the worst lookup goes wrong and how often any, where that is known.
    """
    of_key = [parameters.sets[p].output_lwe_dimension for p in partitions.precisions]
    dimension = [of_key[key] for key in partitions.of_wire]
    counts = _counts(plan, partitions, parameters, dimension)
    repeated = _repeated(partitions)
    pbs_count = sum(stage.pbs_count for stage in counts.values())
    of_pbs, of_switch = cache(pbs_units), cache(key_switch_units)
    complexity = sum(
        sum(of_pbs(use) * count for use, count in stage.pbs.items())
        + sum(of_switch(use) * count for use, count in stage.key_switches.items())
        for stage in counts.values()
    )
    # A circuit of more lookups than the one that its sets were solved for gets that one's error a
    # lookup, and so a larger one in all.
    p_error = GLOBAL_P_ERROR / max(1, min(pbs_count, parameters.solved_for))
    # That any lookup goes wrong; never quite sure.
    global_p_error = error_of_any([(p_error, pbs_count)])
    if errors is not None:
        p_error, global_p_error = errors
    return CircuitProfile.model_validate(
        {
            "name": name,
            "source": "closed form",
            "description": description or CircuitDescription(),
            "stages": [
                counts[stage].fields(
                    stage,
                    steps=shape.depth,
                    largest_tensor=shape.largest_tensor,
                    predecessors=tuple(shape.predecessors),
                    repeated=repeated.get(stage, 0),
                )
                for stage, shape in plan.stages.items()
            ],
            "bsk_bytes": sum(bootstrap_key_bytes(use) for use in set(parameters.sets.values())),
            "ksk_bytes": sum(map(key_switch_key_bytes, _switching_keys(parameters))),
            "input_bytes": sum(_input_bytes(plan, partitions, parameters)),
            "output_bytes": plan.output.integers * ciphertext_bytes(dimension[plan.output.number]),
            "max_bit_width": max(partitions.width),
            "complexity": complexity,
            "p_error": p_error,
            "global_p_error": min(global_p_error, math.nextafter(1, 0)),
            "cost_error": cost_error,
        }
    )


def _switching_keys(parameters: ParameterSets) -> list[KeySwitchParameters]:
    """Each key once: secret keys of one dimension differ where their polynomials do."""
    ring = {precision: used.ring for precision, used in parameters.sets.items()}
    before = {(ring[source], switch) for (source, _), switch in parameters.key_switches.items()}
    after = {
        (ring[own], ring[target], switch)
        for (own, target), switch in parameters.conversions.items()
        if switch is not None
    }
    return [switch for _, switch in before] + [switch for *_, switch in after]


def _input_bytes(plan: Plan, partitions: Partitions, parameters: ParameterSets) -> list[int]:
    """What each input takes as ciphertexts: the tokens first, then what is kept of those before."""
    return [
        wire.integers * ciphertext_bytes(ciphertext_dimension(parameters, partitions, wire))
        for wire in plan.wires
        if wire.kind == "input"
    ]


def _counts(
    plan: Plan, partitions: Partitions, parameters: ParameterSets, dimension: list[int]
) -> dict[str, StageCounts]:
    counts: dict[str, StageCounts] = defaultdict(StageCounts)
    for lookup in partitions.lookups:
        wire, of_stage = lookup.wire, counts[lookup.wire.stage]
        own, n = partitions.precisions[lookup.own], wire.integers
        source = plan.wires[wire.sources[0]]
        count_up(of_stage.pbs, parameters.sets[own], n)
        switch = parameters.key_switches[partitions.precisions[lookup.source], own]
        count_up(of_stage.key_switches, switch, n)
        if lookup.own != lookup.target:
            conversion = parameters.conversions[own, partitions.precisions[lookup.target]]
            if conversion is not None:
                count_up(of_stage.key_switches, conversion, n)
        if lookup.shifted:
            made_in = counts[source.stage] if wire.rounds else of_stage
            linear: tuple[LinearOperation, int] = ("clear_multiplication", dimension[source.number])
            count_up(made_in.linear, linear, source.integers)
        of_stage.bit_width = max(of_stage.bit_width or 1, own)
    for work in plan.linear_work:
        of_stage, of_wire = counts[work.stage], dimension[work.wire]
        for operation in LINEAR_OPERATIONS:
            if count := work.counts.get(operation, 0):
                count_up(of_stage.linear, (operation, of_wire), count * work.times)
    return counts


def _repeated(partitions: Partitions) -> dict[str, int]:
    """By stage, the lookups of a wire that another lookup of the stage has looked up before."""
    seen: set[tuple[str, int, int]] = set()
    repeated: dict[str, int] = {}
    for lookup in partitions.lookups:
        wire = lookup.wire
        key = wire.stage, wire.sources[0], lookup.own
        if key in seen:
            count_up(repeated, wire.stage, wire.integers)
        seen.add(key)
    return repeated


def ciphertext_dimension(parameters: ParameterSets, partitions: Partitions, wire: Wire) -> int:
    """The LWE dimension of the ciphertexts of ``wire``."""
    own = parameters.sets[partitions.precisions[partitions.of_wire[wire.number]]]
    return own.output_lwe_dimension
