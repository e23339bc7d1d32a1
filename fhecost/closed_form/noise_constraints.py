"""What a plan asks of its parameter sets: how often each operation, and how little noise.

As the optimizer of zama-ai/concrete@ebef4fb61 sees it (``multi_parameters/analyze.rs``, and
``ConcreteOptimizer.cpp`` of the compiler, which tells it the circuit): the noise of a ciphertext is
a sum of what inputs, bootstraps and conversions between keys added, each times the squared
coefficients that linear operations gave it; what goes in twice counts as independent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from fhecost.closed_form.partitions import Lookups, Partitions
from fhecost.closed_form.plan import ROUNDING, Plan, Wire
from fhecost.quantization import FloatArray

Indices = tuple[int, int]
"""Of two partitions, counted from 0: where a ciphertext comes from, where it goes."""

OUTPUT = -1
"""The reader of what isn't looked up but returned."""


@dataclass(frozen=True)
class Constraint:
    """Ciphertexts under the key of partition ``source``, all read by ``reader``.

    ``noise`` (constraints, 3 P) are coefficients of the variances of P partitions' bootstraps, of
    P partitions' inputs, and of conversions from P partitions to ``source``; ``counts`` are how
    many ciphertexts each. They hold ``precision`` bits. ``tightest`` are the rows that no other row
    dominates; by their bytes constraints are compared, which is all that a search depends on.
    """

    source: int
    reader: int
    precision: int
    noise: FloatArray = field(compare=False)
    counts: FloatArray = field(compare=False)
    tightest: FloatArray = field(compare=False)
    tightest_bytes: bytes


@dataclass(frozen=True)
class CircuitNeeds:
    """What the optimizer knows of a circuit: operations of each kind, and constraints on noise.

    By partition ``bootstraps`` (P,); by pair of partitions ``key_switches``, before a bootstrap,
    and ``conversions`` after one.
    """

    bootstraps: tuple[int, ...]
    key_switches: Mapping[Indices, int] = field(hash=False)
    conversions: Mapping[Indices, int] = field(hash=False)
    constraints: tuple[Constraint, ...]

    def divided(self, by: int) -> CircuitNeeds:
        """With counts that many times smaller."""
        return replace(
            self,
            bootstraps=tuple(count // by for count in self.bootstraps),
            key_switches={pair: count // by for pair, count in self.key_switches.items()},
            conversions={pair: count // by for pair, count in self.conversions.items()},
        )


def circuit_needs(plan: Plan, partitions: Partitions) -> CircuitNeeds:
    """What ``plan`` asks of the sets of its ``partitions``."""
    count = len(partitions.precisions)
    noise = _noise_of_wires(plan, partitions)
    bootstraps = [0] * count
    key_switches: dict[Indices, int] = defaultdict(int)
    conversions: dict[Indices, int] = defaultdict(int)
    read: dict[tuple[int, int, int], list[tuple[FloatArray, int]]] = defaultdict(list)
    for lookup in partitions.lookups:
        own, integers = lookup.own, lookup.wire.integers
        bootstraps[own] += integers
        key_switches[lookup.source, own] += integers
        if own != lookup.target:
            conversions[own, lookup.target] += integers
        source = plan.wires[lookup.wire.sources[0]]
        rows = read[lookup.source, own, partitions.precisions[own]]
        into = noise[source.number] * _narrowing(partitions, lookup, source)
        if lookup.wire.reads == ROUNDING:
            bits = lookup.wire.size // source.size
            width = source.width if lookup.narrowed else partitions.width[source.number]
            rows += [
                ((into + bit * noise[lookup.wire.number]) * 4.0 ** (width - bit), integers // bits)
                for bit in range(bits)
            ]
        else:
            rows.append((into, integers))
    output = plan.output.number
    last = partitions.of_wire[output], OUTPUT, partitions.width[output]
    read[last].append((noise[output], plan.output.integers))
    return CircuitNeeds(
        tuple(bootstraps),
        dict(key_switches),
        dict(conversions),
        tuple(_constraint(*key, rows) for key, rows in read.items()),
    )


def _constraint(
    source: int, reader: int, precision: int, rows: list[tuple[FloatArray, int]]
) -> Constraint:
    merged: dict[bytes, list[float]] = {}
    for row, times in rows:
        merged.setdefault(row.tobytes(), []).append(times)
    noise = np.array([np.frombuffer(row) for row in merged])
    counts = np.array([sum(times) for times in merged.values()], dtype=float)
    # A row is dominated by another that is nowhere smaller; all differ.
    below = (noise[:, None, :] <= noise[None, :, :]).all(axis=2)
    np.fill_diagonal(below, val=False)
    tightest = noise[~below.any(axis=1)]
    return Constraint(source, reader, precision, noise, counts, tightest, tightest.tobytes())


def _narrowing(partitions: Partitions, lookup: Lookups, source: Wire) -> float:
    """By how much the noise of ``source`` grows before ``lookup`` reads it at its own width."""
    # What was clipped had its multiplication before that.
    if not lookup.narrowed or source.aligned_by != source.number:
        return 1.0
    return float(4.0 ** (partitions.width[source.number] - source.width))


def _noise_of_wires(plan: Plan, partitions: Partitions) -> FloatArray:
    """By wire, shape (wires, 3 P): its noise, see :class:`Constraint`."""
    count = len(partitions.precisions)
    noise = np.zeros((len(plan.wires), 3 * count))
    lookups = {lookup.wire.number: lookup for lookup in partitions.lookups}
    for wire in plan.wires:
        own = noise[wire.number]
        if wire.kind == "lookup":
            lookup = lookups[wire.number]
            own[lookup.own] = 1.0
            if lookup.own != lookup.target:
                own[2 * count + lookup.own] = 1.0
        elif not wire.sources:
            own[count + partitions.of_wire[wire.number]] = wire.norm2
        else:
            own += _noise_of_linear(plan, partitions, lookups, noise, wire)
    return noise


def _noise_of_linear(
    plan: Plan,
    partitions: Partitions,
    lookups: dict[int, Lookups],
    noise: FloatArray,
    wire: Wire,
) -> FloatArray:
    sources = [plan.wires[number] for number in wire.sources]
    into = noise[list(wire.sources)]
    last, clipped = sources[-1], wire.aligned_by != wire.number
    if last.reads == ROUNDING or clipped:
        # A lookup's results come back into what it read.
        sum_of_both: FloatArray = into[0] * _narrowing(partitions, lookups[last.number], sources[0])
        sum_of_both += into[1] * (1 if clipped else last.size // wire.size)
        # What was clipped is doubled, for the bit that the overflow had.
        sum_of_both *= 4.0 if clipped else 1.0
        return sum_of_both
    total = sum(source.norm2 for source in sources)
    if len(sources) > 1 and wire.norm2 < total:
        # Joined, not added.
        largest: FloatArray = into.max(axis=0)
        return largest
    scaled: FloatArray = into.sum(axis=0) * (wire.norm2 / total)
    return scaled
