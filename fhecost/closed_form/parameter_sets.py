"""The parameter sets that Concrete's optimizer would give a circuit.

The optimizer solves a circuit as a whole; its choice is no formula. A circuit takes the sets of its
nearest row in the table of solved circuits: first among circuits whose lookups read the same
precisions; and where there is none, partition by partition.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from fhecost.circuits.profile import KeySwitchParameters, PbsParameters
from fhecost.closed_form.needs import needs_of
from fhecost.closed_form.partitions import Partitions
from fhecost.closed_form.plan import Plan
from fhecost.closed_form.solved_circuits import (
    Decomposition,
    Pair,
    SolvedCircuit,
    SolvedTable,
    solved_circuits,
)

NEAR_ENOUGH = 1.0
"""Bits a partition within which a whole circuit's sets are taken for another's."""


@dataclass(frozen=True)
class ParameterSets:
    """The sets of a circuit's partitions, and how near the circuit was that they come from.

    ``distance`` is 0 for a circuit that is in the table; None when no circuit of the table reads
    the same precisions, so that each partition's set comes from another circuit. ``solved_for`` is
    how many lookups the smallest of these circuits has, ``beyond`` by how many bits some norm
    exceeds all that the table has for its precision. Sets that were ``solved`` come from no table.
    """

    sets: Mapping[int, PbsParameters]
    key_switches: Mapping[Pair, KeySwitchParameters]
    conversions: Mapping[Pair, KeySwitchParameters | None]
    distance: float | None
    solved_for: int
    beyond: float
    solved: bool = False


def origin_of(parameters: ParameterSets) -> str:
    """In words, where predicted sets come from."""
    if parameters.solved:
        return "solved for this circuit, as Concrete's optimizer does"
    if parameters.beyond > 0.5:
        return f"the nearest for each precision; noise is {parameters.beyond:.1f} bits beyond them"
    if parameters.distance is None:
        return "of several compiled circuits, the nearest for each precision"
    nearest = f"{parameters.distance:.2f} bits off"
    return f"of the nearest compiled circuit of the same precisions, {nearest}"


def predict_sets(
    variant: str, plan: Plan, partitions: Partitions, table: SolvedTable | None = None
) -> ParameterSets:
    """The parameter sets that the optimizer would most likely give the circuit of ``plan``.

    Args:
        variant: what the circuit is; rows of the same variant are preferred.
        plan: the circuit.
        partitions: its partitions.
        table: solved circuits; those that fhecost comes with by default.

    Raises:
        ImpossibleError: some precision is beyond all that the table's circuits read.
    """
    table = solved_circuits() if table is None else table
    needs = needs_of(plan, partitions)
    lookups = partitions.lookup_count
    circuits, distances = table.distances(variant, needs, lookups)
    nearest = float(distances.min(initial=math.inf))
    distance = nearest if nearest <= NEAR_ENOUGH * len(needs) else None
    if distance is not None:
        chosen = dict.fromkeys(needs, circuits[int(distances.argmin())])
    else:
        chosen = {precision: table.nearest(precision, need) for precision, need in needs.items()}
    sets = {precision: row.sets[precision] for precision, row in chosen.items()}
    key_switches: dict[Pair, KeySwitchParameters] = {}
    conversions: dict[Pair, KeySwitchParameters | None] = {}
    for lookup in partitions.lookups:
        own = partitions.precisions[lookup.own]
        source, target = partitions.precisions[lookup.source], partitions.precisions[lookup.target]
        if (source, own) not in key_switches:
            levels, base_log = _decomposition(chosen, table.rows, source, own)
            key_switches[source, own] = _key_switch(
                sets[source].output_lwe_dimension, sets[own].lwe_dimension, levels, base_log
            )
        if own != target and (own, target) not in conversions:
            conversions[own, target] = _conversion(chosen, table, sets, own, target)
    return ParameterSets(
        sets,
        key_switches,
        conversions,
        distance,
        min(row.lookups for row in chosen.values()),
        max(table.beyond(precision, need) for precision, need in needs.items()),
    )


def _decomposition(
    chosen: Mapping[int, SolvedCircuit], rows: Sequence[SolvedCircuit], source: int, own: int
) -> Decomposition:
    """Levels and base of the key switch before a lookup that reads ``own``."""
    row = chosen[own]
    if (source, own) in row.key_switches:
        return row.key_switches[source, own]
    # From the same partition's other sources, the nearest in precision; else from any circuit.
    others = {pair: d for pair, d in row.key_switches.items() if pair[1] == own}
    for candidate in rows if not others else ():
        others.update({pair: d for pair, d in candidate.key_switches.items() if pair[1] == own})
    pair = min(others, key=lambda pair: abs(pair[0] - source))
    return others[pair]


def _conversion(
    chosen: Mapping[int, SolvedCircuit],
    table: SolvedTable,
    sets: Mapping[int, PbsParameters],
    own: int,
    target: int,
) -> KeySwitchParameters | None:
    """The key switch after a lookup whose results go to ``target``; None where both keys are one.

    The optimizer leaves it out when both partitions have polynomials of one size and number.
    """
    if sets[own].ring == sets[target].ring:
        return None
    pair = own, target
    # One level of 25 bits is what most conversions have.
    levels, base_log = chosen[own].conversions.get(pair) or table.conversion(pair) or (1, 25)
    return _key_switch(
        sets[own].output_lwe_dimension, sets[target].output_lwe_dimension, levels, base_log
    )


@lru_cache(maxsize=4096)
def _key_switch(source: int, target: int, levels: int, base_log: int) -> KeySwitchParameters:
    """One object for equal ones: what comes from the table comes again and again."""
    return KeySwitchParameters(
        input_lwe_dimension=source,
        output_lwe_dimension=target,
        level_count=levels,
        base_log=base_log,
    )
