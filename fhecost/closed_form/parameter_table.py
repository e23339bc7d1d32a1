"""Parameter sets from a table of circuits that Concrete's optimizer really solved.

The optimizer solves a circuit as a whole; its choice is no formula. So each row of
``experiments/closed_form/circuits.json.gz`` holds one compiled circuit (``make_table.py`` there
makes it): what its partitions needed, and which sets they got. A circuit that isn't in the table
takes the sets of its nearest row: first among circuits whose lookups read the same precisions; and
where there is none, partition by partition.
"""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from fhecost.circuits.profile import KeySwitchParameters, PbsParameters
from fhecost.closed_form.partitions import Lookups, Partitions
from fhecost.closed_form.plan import ROUNDING, Plan
from fhecost.data import data_folder
from fhecost.errors import ImpossibleError

Decomposition = tuple[int, int]
"""Levels and base_log of a key switch."""

NEAR_ENOUGH = 1.0
"""Bits a partition within which a whole circuit's sets are taken for another's."""

Pair = tuple[int, int]
"""The precisions that two partitions read: where a ciphertext comes from, where it goes."""


@dataclass(frozen=True)
class Need:
    """What sets a partition's parameters apart from another's of the same precision.

    ``noise`` is log2 of the largest norm that one of its sources has, ``passed_on`` that of the
    largest norm which its results grow to, both before a lookup; ``share`` is log2 of its part of
    all lookups.
    """

    noise: float
    passed_on: float
    share: float


@dataclass(frozen=True)
class SolvedCircuit:
    """A row of the table; ``key_switches`` and ``conversions`` by pair of precisions."""

    variant: str
    lookups: int
    needs: Mapping[int, Need]
    sets: Mapping[int, PbsParameters]
    key_switches: Mapping[Pair, Decomposition]
    conversions: Mapping[Pair, Decomposition]


@dataclass(frozen=True)
class ParameterSets:
    """The sets of a circuit's partitions, and how near the circuit was that they come from.

    ``distance`` is 0 for a circuit that is in the table; None when no circuit of the table reads
    the same precisions, so that each partition's set comes from another circuit. ``solved_for`` is
    how many lookups the smallest of these circuits has, ``beyond`` by how many bits some norm
    exceeds all that the table has for its precision.
    """

    sets: Mapping[int, PbsParameters]
    key_switches: Mapping[Pair, KeySwitchParameters]
    conversions: Mapping[Pair, KeySwitchParameters | None]
    distance: float | None
    solved_for: int
    beyond: float


def origin_of(parameters: ParameterSets) -> str:
    """In words, where predicted sets come from."""
    if parameters.beyond > 0.5:
        return f"the nearest for each precision; noise is {parameters.beyond:.1f} bits beyond them"
    if parameters.distance is None:
        return "of several compiled circuits, the nearest for each precision"
    return f"of the nearest compiled circuit of the same precisions, {parameters.distance:.2f} off"


def needs_of(plan: Plan, partitions: Partitions) -> dict[int, Need]:
    """What each partition of ``plan`` needs, by the precision that it reads."""
    passed_on = _largest_norms(plan, partitions)
    noise: dict[int, float] = {}
    results: dict[int, float] = {}
    counts: dict[int, int] = {}
    for lookup in partitions.lookups:
        precision = partitions.precisions[lookup.own]
        noise[precision] = max(noise.get(precision, 0.0), _norm2_read(plan, partitions, lookup))
        results[precision] = max(
            results.get(precision, 1.0), passed_on.get(lookup.wire.index, 1.0)
        )  # fmt: skip
        counts[precision] = counts.get(precision, 0) + lookup.wire.count
    total = sum(counts.values())
    return {
        precision: Need(
            math.log2(noise[precision]) / 2,
            math.log2(results[precision]) / 2,
            math.log2(counts[precision] / total),
        )
        for precision in partitions.precisions
    }


def predict_sets(
    variant: str, plan: Plan, partitions: Partitions, table: Sequence[SolvedCircuit] | None = None
) -> ParameterSets:
    """The parameter sets that the optimizer would most likely give the circuit of ``plan``.

    Args:
        variant: what the circuit is; rows of the same variant are preferred.
        plan: the circuit.
        partitions: its partitions.
        table: the rows; those that fhecost comes with by default.

    Raises:
        ImpossibleError: some precision is beyond all that the table's circuits read.
    """
    rows = solved_circuits() if table is None else table
    needs = needs_of(plan, partitions)
    lookups = sum(lookup.wire.count for lookup in partitions.lookups)
    fitting = [row for row in rows if row.sets.keys() == needs.keys()]
    distances = [
        circuit_distance(row, needs, lookups) + (row.variant != variant) for row in fitting
    ]
    distance = min(distances, default=math.inf)
    if distance <= NEAR_ENOUGH * len(needs):
        row = fitting[distances.index(distance)]
        chosen = dict.fromkeys(needs, row)
    else:
        distance = math.inf
        chosen = {precision: _nearest(rows, precision, need) for precision, need in needs.items()}
    sets = {precision: row.sets[precision] for precision, row in chosen.items()}
    key_switches: dict[Pair, KeySwitchParameters] = {}
    conversions: dict[Pair, KeySwitchParameters | None] = {}
    for lookup in partitions.lookups:
        own = partitions.precisions[lookup.own]
        source, target = partitions.precisions[lookup.source], partitions.precisions[lookup.target]
        if (source, own) not in key_switches:
            levels, base_log = _decomposition(chosen, rows, source, own)
            key_switches[source, own] = KeySwitchParameters(
                input_lwe_dimension=_external(sets[source]),
                output_lwe_dimension=sets[own].lwe_dimension,
                level_count=levels,
                base_log=base_log,
            )
        if own != target and (own, target) not in conversions:
            conversions[own, target] = _conversion(chosen, rows, sets, own, target)
    return ParameterSets(
        sets,
        key_switches,
        conversions,
        None if math.isinf(distance) else distance,
        min(row.lookups for row in chosen.values()),
        max(_beyond(rows, precision, need) for precision, need in needs.items()),
    )


def circuit_distance(row: SolvedCircuit, needs: Mapping[int, Need], lookups: int) -> float:
    """How far a row's circuit is from one that reads the same precisions, in bits.

    The norms count in full, what merely weighs the optimizer's choices (shares and the number of
    lookups, through the error that each may have) counts for less.
    """
    norms = sum(
        abs(row.needs[p].noise - need.noise) + abs(row.needs[p].passed_on - need.passed_on)
        for p, need in needs.items()
    )
    shares = sum(abs(row.needs[p].share - need.share) for p, need in needs.items())
    return norms + 0.25 * shares + 0.1 * abs(math.log2(row.lookups / lookups))


@cache
def solved_circuits() -> tuple[SolvedCircuit, ...]:
    """The rows of the table that fhecost comes with."""
    path = data_folder("experiments/closed_form") / "circuits.json.gz"
    rows = json.loads(gzip.decompress(path.read_bytes()))
    return tuple(read_row(row) for row in rows["circuits"])


def read_row(row: Mapping[str, object]) -> SolvedCircuit:
    """One row of the table, as ``make_table.py`` writes it."""
    partitions: list[Mapping[str, list[float]]] = row["partitions"]  # type: ignore[assignment]
    pairs: Mapping[str, list[list[int]]] = row  # type: ignore[assignment]
    precisions = [int(partition["reads"][0]) for partition in partitions]
    return SolvedCircuit(
        variant=str(row["variant"]),
        lookups=int(str(row["lookups"])),
        needs={
            precision: Need(*partition["needs"])
            for precision, partition in zip(precisions, partitions, strict=True)
        },
        sets={
            precision: _set(partition["set"])
            for precision, partition in zip(precisions, partitions, strict=True)
        },
        key_switches={(a, b): (levels, base) for a, b, levels, base in pairs["key_switches"]},
        conversions={(a, b): (levels, base) for a, b, levels, base in pairs["conversions"]},
    )


def _set(values: Sequence[float]) -> PbsParameters:
    """A parameter set from n, k, N, l and base_log; rows were valid when they were written."""
    n, k, size, levels, base_log = map(int, values)
    return PbsParameters.model_construct(
        lwe_dimension=n,
        glwe_dimension=k,
        polynomial_size=size,
        level_count=levels,
        base_log=base_log,
    )


def _norm2_read(plan: Plan, partitions: Partitions, lookup: Lookups) -> float:
    """The squared norm of what a lookup reads, in units of the precision at which it reads it."""
    source = plan.wires[lookup.wire.sources[0]]
    narrowed = partitions.width[source.index] - source.width if lookup.shifted else 0
    return float(source.norm2 * 4.0**narrowed)


def _largest_norms(plan: Plan, partitions: Partitions) -> dict[int, float]:
    """By lookup wire: the largest squared norm of what its results go into."""
    largest: dict[int, float] = {}
    origins: list[frozenset[int]] = []
    for wire in plan.wires:
        if wire.kind == "linear":
            origins.append(frozenset().union(*(origins[source] for source in wire.sources)))
            for origin in origins[-1]:
                largest[origin] = max(largest.get(origin, 1.0), wire.norm2)
        else:
            origins.append(frozenset([wire.index]))
    for lookup in partitions.lookups:
        for origin in origins[lookup.wire.sources[0]]:
            largest[origin] = max(
                largest.get(origin, 1.0), _norm2_read(plan, partitions, lookup)
            )  # fmt: skip
    return largest


def _external(parameters: PbsParameters) -> int:
    """The dimension of what comes out of a bootstrap."""
    return parameters.glwe_dimension * parameters.polynomial_size


def _nearest(rows: Sequence[SolvedCircuit], precision: int, need: Need) -> SolvedCircuit:
    """The row that has the partition of ``precision`` nearest to ``need``."""
    known = [row for row in rows if precision in row.sets]
    if not known:
        widest = max(p for row in rows for p in row.sets)
        what = "one bit for rounding" if precision == ROUNDING else f"{precision} bits"
        raise ImpossibleError(
            f"no parameter set for lookups that read {what}: Concrete's widest here read {widest}; "
            "use fewer bits or a variant that rounds"
        )

    def distance(row: SolvedCircuit) -> float:
        own = row.needs[precision]
        return (
            _norm_distance(own.noise, need.noise)
            + _norm_distance(own.passed_on, need.passed_on)
            + 0.25 * abs(own.share - need.share)
        )

    return min(known, key=distance)


def _norm_distance(known: float, needed: float) -> float:
    """A set solved for less noise than is needed would not do: it counts as farther."""
    return known - needed if known >= needed else 3 * (needed - known)


def _beyond(rows: Sequence[SolvedCircuit], precision: int, need: Need) -> float:
    """By how many bits ``need`` exceeds what the table has for ``precision``."""
    known = [row.needs[precision] for row in rows if precision in row.needs]
    return max(
        0.0,
        need.noise - max(one.noise for one in known),
        need.passed_on - max(one.passed_on for one in known),
    )


def _decomposition(
    chosen: Mapping[int, SolvedCircuit],
    rows: Sequence[SolvedCircuit],
    source: int,
    own: int,
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
    rows: Sequence[SolvedCircuit],
    sets: Mapping[int, PbsParameters],
    own: int,
    target: int,
) -> KeySwitchParameters | None:
    """The key switch after a lookup whose results go to ``target``; None where both keys are one.

    The optimizer leaves it out when both partitions have polynomials of one size and number.
    """
    if (sets[own].glwe_dimension, sets[own].polynomial_size) == (
        sets[target].glwe_dimension,
        sets[target].polynomial_size,
    ):
        return None
    row = chosen[own]
    known = row.conversions.get((own, target))
    if known is None:
        found = [r.conversions[own, target] for r in rows if (own, target) in r.conversions]
        # One level of 25 bits is what most conversions have.
        known = found[0] if found else (1, 25)
    return KeySwitchParameters(
        input_lwe_dimension=_external(sets[own]),
        output_lwe_dimension=_external(sets[target]),
        level_count=known[0],
        base_log=known[1],
    )
