"""Compile the circuits of single operations: one parameter set each, or nothing.

Concrete chooses parameters itself; restricting its choice to one (k, N, l) and allowing a high
error probability gives a spread of sets for small tables, whose speed doesn't depend on the error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fhecost.circuits.profile import KeySwitchParameters, PbsParameters
from fhecost.concrete.compilation import import_concrete
from fhecost.concrete.reader import profile_circuit
from fhecost.measurement.cases import Case, LookupCase
from fhecost.measurement.machine import available_threads
from fhecost.measurement.records import LinearSample, LookupSample
from fhecost.quantization import IntArray

_LAX_P_ERROR = 0.01
_TARGET_RUN_UNITS = 2.5e9
"""Work of one timed run, about half a second on one thread of 2024."""


@dataclass(frozen=True)
class SingleCircuit:
    """A compiled circuit, an input for it and the parameters that Concrete chose.

    Its times are those of a ``kind`` of sample, which says ``what`` was timed.
    """

    circuit: Any
    values: IntArray
    pbs: PbsParameters
    key_switch: KeySwitchParameters
    kind: type[LookupSample | LinearSample]
    what: Mapping[str, int]

    def sample(
        self, threads: int, seconds: Sequence[float], probes_s: Sequence[float]
    ) -> LookupSample | LinearSample:
        """The record of ``seconds``, one each run."""
        return self.kind(
            threads=threads,
            seconds=tuple(seconds),
            probes_s=tuple(probes_s),
            pbs=self.pbs,
            key_switch=self.key_switch,
            **self.what,
        )


def compile_case(case: Case, lookups: int | None = None) -> SingleCircuit | None:
    """The circuit of ``case``; None where Concrete doesn't offer its parameter set.

    Args:
        case: what is to be timed.
        lookups: how many of them a run makes; enough for half a second when None.
    """
    fhe = import_concrete()
    function, values, other = (
        _lookup(case, fhe, lookups) if isinstance(case, LookupCase) else _product_and_lookup(fhe)
    )
    circuit = fhe.Compiler(function, {"values": "encrypted"}).compile(
        [values, other], configuration=_configuration(case, fhe)
    )
    (stage,) = profile_circuit(circuit).stages
    ((pbs,), (switch,)) = stage.pbs, stage.key_switches
    # An impossible restriction is dropped without a word.
    chosen = (pbs.parameters.glwe_dimension, pbs.parameters.polynomial_size)
    if chosen != (case.glwe_dimension, case.polynomial_size):
        return None
    sets = (pbs.parameters, switch.parameters)
    if isinstance(case, LookupCase):
        return SingleCircuit(circuit, values, *sets, LookupSample, {"elements": values.size})
    (dimension,) = {use.lwe_dimension for use in stage.linear}
    operations = sum(use.count for use in stage.linear)
    what = {"operations": operations, "lwe_dimension": dimension}
    return SingleCircuit(circuit, values, *sets, LinearSample, what)


_Function = tuple[Callable[[Any], Any], IntArray, IntArray]
"""What a circuit computes, its input when it is timed, and one that sets its bit width."""


def _lookup(case: LookupCase, fhe: Any, lookups: int | None) -> _Function:
    size = 2**case.bits
    table = _table(size, fhe)
    elements = _enough_lookups(case) if lookups is None else lookups
    values = np.arange(elements) % size
    return lambda values: table[values], values, np.full(elements, size - 1)


def _enough_lookups(case: LookupCase) -> int:
    transforms = (case.glwe_dimension + 1) * (case.level_count + 1)
    units = 700 * transforms * case.polynomial_size * (math.log2(case.polynomial_size) + 1)
    threads = available_threads()
    return case.scale * threads * max(2, min(32, round(_TARGET_RUN_UNITS / units / threads)))


def _product_and_lookup(fhe: Any) -> _Function:
    weight, table = np.resize(np.array([3, 5, 7, 2, 6]), (64, 64)), _table(8, fhe)
    # A single one keeps the sums, and with them the lookup, small; speed doesn't depend on values.
    values = np.zeros((16, 64), dtype=np.int64)
    values[0, 0] = 1
    return lambda values: table[(values @ weight)[0, 0]], values, values * 0


def _table(size: int, fhe: Any) -> Any:
    return fhe.LookupTable([(3 * index + 1) % size for index in range(size)])


def _configuration(case: Case, fhe: Any) -> Any:
    from concrete.compiler import RangeRestriction

    restriction = RangeRestriction()
    restriction.add_available_glwe_log_polynomial_size(int(math.log2(case.polynomial_size)))
    restriction.add_available_glwe_dimension(case.glwe_dimension)
    restriction.add_available_pbs_level_count(case.level_count)
    if case.key_switch_levels is not None:
        restriction.add_available_ks_level_count(case.key_switch_levels)
    if case.lwe_dimension is not None:
        restriction.add_available_internal_lwe_dimension(case.lwe_dimension)
    return fhe.Configuration(
        range_restriction=restriction,
        p_error=_LAX_P_ERROR,
        dump_artifacts_on_unexpected_failures=False,
    )
