"""The table of circuits that Concrete's optimizer really solved.

Each row of ``experiments/closed_form/circuits.json.gz`` holds one compiled circuit
(``make_table.py`` there makes it): what its partitions needed, and which sets they got.
"""

from __future__ import annotations

import gzip
import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from fhecost.circuits.profile import PbsParameters
from fhecost.closed_form.needs import Need
from fhecost.closed_form.plan import ROUNDING
from fhecost.data import data_folder
from fhecost.errors import ImpossibleError
from fhecost.quantization import FloatArray

Decomposition = tuple[int, int]
"""Levels and base_log of a key switch."""

Pair = tuple[int, int]
"""The precisions that two partitions read: where a ciphertext comes from, where it goes."""


@dataclass(frozen=True, eq=False)
class SolvedCircuit:
    """A row of the table; ``key_switches`` and ``conversions`` by pair of precisions."""

    variant: str
    lookups: int
    needs: Mapping[int, Need]
    sets: Mapping[int, PbsParameters]
    key_switches: Mapping[Pair, Decomposition]
    conversions: Mapping[Pair, Decomposition]


class SolvedTable:
    """Solved circuits, found by what their partitions read and need."""

    def __init__(self, rows: Sequence[SolvedCircuit]) -> None:
        self.rows = tuple(rows)
        by_precisions: dict[frozenset[int], list[SolvedCircuit]] = defaultdict(list)
        of_precision: dict[int, list[SolvedCircuit]] = defaultdict(list)
        for row in rows:
            by_precisions[frozenset(row.needs)].append(row)
            for precision in row.needs:
                of_precision[precision].append(row)
        self._by_precisions = {
            precisions: _SamePrecisions.of(members) for precisions, members in by_precisions.items()
        }
        self._of_precision = dict(of_precision)
        self._conversions: dict[Pair, Decomposition] = {}
        for row in rows:
            for pair, decomposition in row.conversions.items():
                self._conversions.setdefault(pair, decomposition)
        # Noise, what results grow to, share: one row each.
        self._needs: dict[int, FloatArray] = {
            precision: np.array([row.needs[precision] for row in members]).T.copy()
            for precision, members in of_precision.items()
        }
        self._most = {
            precision: tuple(map(float, known.max(axis=1)))
            for precision, known in self._needs.items()
        }

    def distances(
        self, variant: str, needs: Mapping[int, Need], lookups: int
    ) -> tuple[Sequence[SolvedCircuit], FloatArray]:
        """The circuits whose lookups read just the precisions of ``needs``; how far each is.

        In bits. The norms count in full, what merely weighs the optimizer's choices (shares and the
        number of lookups, through the error that each may have) counts for less; another variant
        counts as one bit.
        """
        known = self._by_precisions.get(frozenset(needs))
        if known is None:
            return (), np.empty(0)
        return known.circuits, known.distances(variant, needs, lookups)

    def conversion(self, pair: Pair) -> Decomposition | None:
        """How the first circuit that converts between the keys of ``pair`` decomposes."""
        return self._conversions.get(pair)

    def nearest(self, precision: int, need: Need) -> SolvedCircuit:
        """The circuit that has the partition of ``precision`` nearest to ``need``.

        A set solved for less noise than is needed would not do: what lacks counts three times.

        Raises:
            ImpossibleError: no circuit reads that precision.
        """
        known = self._needs.get(precision)
        if known is None:
            widest = max(self._needs, default=0)
            narrowest = min((each for each in self._needs if each != ROUNDING), default=0)
            if ROUNDING < precision < narrowest:
                raise ImpossibleError(
                    f"values of {precision} bit{'s' * (precision > 1)} reach a lookup, where "
                    f"Concrete's circuits have {narrowest} or more: nothing is left of them "
                    "at these widths"
                )
            what = "one bit for rounding" if precision == ROUNDING else f"{precision} bits"
            raise ImpossibleError(
                f"no parameter set for lookups that read {what}: Concrete's widest here read "
                f"{widest}; use fewer bits or a variant that rounds"
            )
        noise, passed_on = known[0] - need.noise, known[1] - need.passed_on
        distance = np.maximum(noise, -3.0 * noise) + np.maximum(passed_on, -3.0 * passed_on)
        distance += 0.25 * np.abs(known[2] - need.share)
        return self._of_precision[precision][int(distance.argmin())]

    def beyond(self, precision: int, need: Need) -> float:
        """By how many bits a norm of ``need`` exceeds all that ``precision`` has here."""
        noise, passed_on, _ = self._most[precision]
        return max(0.0, need.noise - noise, need.passed_on - passed_on)


@dataclass(frozen=True, eq=False)
class _SamePrecisions:
    """Circuits that read the same ``precisions``, as columns to be searched at once.

    ``columns`` are each precision's needs one after the other and, last, the logarithm of the
    number of lookups, one row a circuit; ``weights`` are what a column's difference counts for.
    """

    circuits: tuple[SolvedCircuit, ...]
    precisions: tuple[int, ...]
    columns: FloatArray
    weights: FloatArray
    variants: np.ndarray[Any, np.dtype[np.str_]]

    @classmethod
    def of(cls, circuits: Sequence[SolvedCircuit]) -> _SamePrecisions:
        precisions = tuple(circuits[0].needs)
        rows = [_circuit_columns(row.needs, precisions, row.lookups) for row in circuits]
        return cls(
            tuple(circuits),
            precisions,
            np.array(rows),
            np.array((*_NEED_WEIGHTS * len(precisions), _LOOKUPS_WEIGHT)),
            np.array([row.variant for row in circuits]),
        )

    def distances(self, variant: str, needs: Mapping[int, Need], lookups: int) -> FloatArray:
        wanted = np.array(_circuit_columns(needs, self.precisions, lookups))
        distances: FloatArray = np.abs(self.columns - wanted) @ self.weights
        distances += self.variants != variant
        return distances


_NEED_WEIGHTS = (1.0, 1.0, 0.25)
_LOOKUPS_WEIGHT = 0.1


def _circuit_columns(
    needs: Mapping[int, Need], precisions: Sequence[int], lookups: int
) -> tuple[float, ...]:
    by_precision = (column for p in precisions for column in needs[p])
    return (*by_precision, math.log2(lookups))


@cache
def solved_circuits() -> SolvedTable:
    """The table that fhecost comes with."""
    path = data_folder("experiments/closed_form") / "circuits.json.gz"
    rows = json.loads(gzip.decompress(path.read_bytes()))
    return SolvedTable([read_row(row) for row in rows["circuits"]])


def read_row(row: Mapping[str, Any]) -> SolvedCircuit:
    """One row of the table, as ``make_table.py`` writes it."""
    partitions = {int(partition["reads"][0]): partition for partition in row["partitions"]}
    return SolvedCircuit(
        variant=row["variant"],
        lookups=row["lookups"],
        needs={reads: Need(*partition["needs"]) for reads, partition in partitions.items()},
        sets={reads: _set(partition["set"]) for reads, partition in partitions.items()},
        key_switches={(a, b): (levels, base) for a, b, levels, base in row["key_switches"]},
        conversions={(a, b): (levels, base) for a, b, levels, base in row["conversions"]},
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
