"""Time table lookups and linear operations of Concrete on this machine, set by set.

Concrete chooses parameters itself; restricting its choice to one (k, N, l) and allowing a high
error probability gives a spread of sets for small tables, whose speed doesn't depend on the error.
All circuits are compiled and given keys first; then rounds visit every circuit at each thread
count, so that a machine that drifts shifts all samples alike and the median drops single outliers.
A visit runs twice and times the second run: the first one brings the keys back into the caches.
Before each visit one fixed computation is timed: it tells a round in which the machine was slower.
Making the keys and the very first run are timed once.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fhecost.circuits.compilation import import_concrete
from fhecost.circuits.concrete_reader import profile_circuit
from fhecost.errors import UsageError
from fhecost.measurement.machine import available_threads, memory_bytes, probe_seconds, this_machine
from fhecost.measurement.records import KeySample, LinearSample, LookupSample, Microbenchmark
from fhecost.progress import Progress, silent

_LAX_P_ERROR = 0.01
_TARGET_RUN_UNITS = 2.5e9
"""Work of one timed run, about half a second on one thread of 2024."""


@dataclass(frozen=True)
class LookupCase:
    """A table lookup of ``bits`` bits with one (k, N, l); KS levels and n where they are forced."""

    bits: int
    glwe_dimension: int
    polynomial_size: int
    level_count: int
    key_switch_levels: int | None = None
    lwe_dimension: int | None = None


@dataclass(frozen=True)
class LinearCase:
    """A product of a 16 x 64 encrypted matrix with a 64 x 64 clear one at LWE dimension N."""

    polynomial_size: int


QUICK: tuple[LookupCase, ...] = (
    LookupCase(2, 6, 256, 1),
    LookupCase(2, 3, 512, 1),
    LookupCase(2, 4, 512, 2),
    LookupCase(3, 2, 1024, 1),
    LookupCase(3, 2, 1024, 2),
    LookupCase(3, 1, 2048, 1),
    LookupCase(3, 1, 2048, 3),
    LookupCase(4, 1, 4096, 1),
    LookupCase(4, 1, 4096, 2),
    # Many KS levels, so that the fit can tell the key switch from the bootstrap.
    LookupCase(3, 1, 2048, 1, key_switch_levels=12),
    LookupCase(4, 1, 4096, 1, key_switch_levels=12),
)
FULL: tuple[LookupCase, ...] = (
    *QUICK,
    LookupCase(2, 5, 256, 2),
    LookupCase(2, 6, 256, 3),
    LookupCase(2, 2, 512, 5),
    LookupCase(3, 2, 1024, 4, lwe_dimension=900),
    LookupCase(3, 1, 2048, 2),
    LookupCase(3, 1, 2048, 1, lwe_dimension=1300),
    LookupCase(3, 1, 4096, 1, lwe_dimension=1100),
    LookupCase(3, 2, 2048, 2),
    LookupCase(5, 1, 8192, 1),
    LookupCase(5, 1, 8192, 2),
    LookupCase(6, 1, 16384, 1),
    LookupCase(7, 1, 32768, 1),
)
LINEAR: tuple[LinearCase, ...] = (LinearCase(2048), LinearCase(8192), LinearCase(32768))


@dataclass
class _Prepared:
    """A compiled circuit with keys and an encrypted input, and its times by thread count."""

    circuit: Any
    values: Any
    sample: Callable[[int, Sequence[float]], LookupSample | LinearSample]
    seconds: dict[int, list[float]]
    keygen_s: float
    keygen_memory_bytes: int
    cold_s: float
    cold_memory_bytes: int

    def run(self) -> float:
        start = time.perf_counter()
        self.circuit.run(self.values)
        return time.perf_counter() - start


def measure_pbs(
    *, quick: bool = False, rounds: int | None = None, progress: Progress = silent
) -> Microbenchmark:
    """Time lookups over a spread of parameter sets, and linear operations, on this machine.

    Args:
        quick: only sets with N up to 4096, fewer rounds; about a minute and a half on 2 cores.
        rounds: timed runs of each circuit at each thread count; 5, or 3 when quick.
        progress: called after each of :func:`step_count` steps with what was done.

    Raises:
        UsageError: Concrete isn't installed, or ``rounds`` isn't positive.
    """
    rounds = rounds if rounds is not None else (3 if quick else 5)
    if rounds < 1:
        raise UsageError(f"--rounds {rounds}: must be at least 1")
    import_concrete()
    from threadpoolctl import threadpool_limits

    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    machine = this_machine()
    prepared = []
    for case in _cases(quick):
        prepared.append(_prepare(case))
        progress(f"keys for N={case.polynomial_size}")
    counts = sorted({1, available_threads()})
    probes: list[list[float]] = [[] for _ in range(rounds)]
    for of_round in probes:
        for item in prepared:
            of_round.append(probe_seconds())
            for threads in counts:
                with threadpool_limits(limits=threads, user_api="openmp"):
                    item.run()
                    item.seconds.setdefault(threads, []).append(item.run())
        progress("timing")
    samples = [
        item.sample(threads, times) for item in prepared for threads, times in item.seconds.items()
    ]
    # Keys were made, and first used, with all threads.
    keys = [
        _key_sample(item, item.sample(counts[-1], item.seconds[counts[-1]])) for item in prepared
    ]
    return Microbenchmark(
        started=started,
        machine=machine,
        versions={"concrete-python": importlib.metadata.version("concrete-python")},
        lookups=tuple(sample for sample in samples if isinstance(sample, LookupSample)),
        linear=tuple(sample for sample in samples if isinstance(sample, LinearSample)),
        keys=tuple(keys),
        probes_s=tuple(map(tuple, probes)),
    )


def step_count(quick: bool, rounds: int | None) -> int:
    """Steps that :func:`measure_pbs` reports to its progress function."""
    return len(_cases(quick)) + (rounds if rounds is not None else (3 if quick else 5))


def _cases(quick: bool) -> tuple[LookupCase | LinearCase, ...]:
    return (*QUICK, *LINEAR[:2]) if quick else (*FULL, *LINEAR)


def _prepare(case: LookupCase | LinearCase) -> _Prepared:
    return _prepare_lookup(case) if isinstance(case, LookupCase) else _prepare_linear(case)


def _configuration(
    fhe: Any,
    polynomial_size: int,
    glwe_dimension: int,
    levels: int | None,
    ks_levels: int | None,
    lwe_dimension: int | None = None,
) -> Any:
    from concrete.compiler import RangeRestriction

    restriction = RangeRestriction()
    restriction.add_available_glwe_log_polynomial_size(int(math.log2(polynomial_size)))
    restriction.add_available_glwe_dimension(glwe_dimension)
    if levels is not None:
        restriction.add_available_pbs_level_count(levels)
    if ks_levels is not None:
        restriction.add_available_ks_level_count(ks_levels)
    if lwe_dimension is not None:
        restriction.add_available_internal_lwe_dimension(lwe_dimension)
    return fhe.Configuration(
        range_restriction=restriction,
        p_error=_LAX_P_ERROR,
        dump_artifacts_on_unexpected_failures=False,
    )


def _prepare_lookup(case: LookupCase) -> _Prepared:
    fhe = import_concrete()
    size = 2**case.bits
    table = fhe.LookupTable([(3 * index + 1) % size for index in range(size)])

    def lookup(values: Any) -> Any:
        return table[values]

    transforms = (case.glwe_dimension + 1) * (case.level_count + 1)
    units = 700 * transforms * case.polynomial_size * (math.log2(case.polynomial_size) + 1)
    threads = available_threads()
    elements = threads * max(2, min(32, round(_TARGET_RUN_UNITS / units / threads)))
    values = np.arange(elements) % size
    circuit = fhe.Compiler(lookup, {"values": "encrypted"}).compile(
        [values, np.full(elements, size - 1)],
        configuration=_configuration(
            fhe,
            case.polynomial_size,
            case.glwe_dimension,
            case.level_count,
            case.key_switch_levels,
            case.lwe_dimension,
        ),
    )
    (stage,) = profile_circuit(circuit).stages
    ((pbs,), (switch,)) = stage.pbs, stage.key_switches
    return _with_keys(
        circuit,
        values,
        lambda threads, times: LookupSample(
            threads=threads,
            seconds=tuple(times),
            elements=elements,
            pbs=pbs.parameters,
            key_switch=switch.parameters,
        ),
    )


def _prepare_linear(case: LinearCase) -> _Prepared:
    fhe = import_concrete()
    weight = np.resize(np.array([3, 5, 7, 2, 6]), (64, 64))
    table = fhe.LookupTable([(3 * index + 1) % 8 for index in range(8)])

    def product_and_lookup(values: Any) -> Any:
        return table[(values @ weight)[0, 0]]

    # A single one keeps the sums, and with them the lookup, small; speed doesn't depend on values.
    values = np.zeros((16, 64), dtype=np.int64)
    values[0, 0] = 1
    circuit = fhe.Compiler(product_and_lookup, {"values": "encrypted"}).compile(
        [values * 0, values],
        configuration=_configuration(fhe, case.polynomial_size, 1, 1, None),
    )
    (stage,) = profile_circuit(circuit).stages
    operations = sum(use.count for use in stage.linear)
    (dimension,) = {use.lwe_dimension for use in stage.linear}
    ((pbs,), (switch,)) = stage.pbs, stage.key_switches
    return _with_keys(
        circuit,
        values,
        lambda threads, times: LinearSample(
            threads=threads,
            seconds=tuple(times),
            operations=operations,
            lwe_dimension=dimension,
            pbs=pbs.parameters,
            key_switch=switch.parameters,
        ),
    )


def _with_keys(
    circuit: Any,
    values: Any,
    sample: Callable[[int, Sequence[float]], LookupSample | LinearSample],
) -> _Prepared:
    before = memory_bytes()
    start = time.perf_counter()
    circuit.keygen()
    keygen_s = time.perf_counter() - start
    encrypted, with_keys = circuit.encrypt(values), memory_bytes()
    start = time.perf_counter()
    circuit.run(encrypted)
    cold_s = time.perf_counter() - start
    return _Prepared(
        circuit,
        encrypted,
        sample,
        {},
        keygen_s=keygen_s,
        keygen_memory_bytes=with_keys - before,
        cold_s=cold_s,
        cold_memory_bytes=memory_bytes() - with_keys,
    )


def _key_sample(item: _Prepared, sample: LookupSample | LinearSample) -> KeySample:
    return KeySample(
        threads=sample.threads,
        pbs=sample.pbs,
        key_switch=sample.key_switch,
        keygen_s=item.keygen_s,
        cold_s=item.cold_s,
        warm_s=sample.median_s,
        keygen_memory_bytes=item.keygen_memory_bytes,
        cold_memory_bytes=item.cold_memory_bytes,
    )
