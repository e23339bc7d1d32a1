"""Time table lookups and linear operations of Concrete on this machine, set by set.

Concrete chooses parameters itself; restricting its choice to one (k, N, l) and allowing a high
error probability gives a spread of sets for small tables, whose speed doesn't depend on the error.
All circuits of a group are compiled and given keys first; then rounds visit every circuit at each
thread count, so that a machine that drifts shifts all samples alike. A visit runs twice and times
the second run: the first one brings the keys back into the caches. One fixed computation is timed
along with every round: it tells a round in which the machine was slower. Rounds go on until the
confidence interval of each median is tight, or the time is up; a circuit whose median is settled is
visited no more. Making the keys and the very first run are timed once.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fhecost.circuits.compilation import import_concrete
from fhecost.circuits.concrete_reader import profile_circuit
from fhecost.circuits.profile import PbsParameters
from fhecost.errors import UsageError
from fhecost.measurement.cases import Case, LinearCase, LookupCase, Operation, cases
from fhecost.measurement.machine import available_threads, memory_bytes, probe_seconds, this_machine
from fhecost.measurement.records import KeySample, LinearSample, LookupSample, Microbenchmark
from fhecost.measurement.repeats import is_tight
from fhecost.progress import Progress, silent

_LAX_P_ERROR = 0.01
_TARGET_RUN_UNITS = 2.5e9
"""Work of one timed run, about half a second on one thread of 2024."""
MINUTES = 10.0  # keys of the largest sets come on top: 14 minutes in all on 2 cores
QUICK_MINUTES = 2.75
_FEWEST_ROUNDS = 3
_MOST_ROUNDS = 15
_PROBES_PER_ROUND = 15


@dataclass
class _Prepared:
    """A compiled circuit with keys and an encrypted input, and its times by thread count."""

    circuit: Any
    values: Any
    sample: Callable[[int, Sequence[float], Sequence[float]], LookupSample | LinearSample]
    keygen_s: float
    keygen_memory_bytes: int
    cold_s: float
    cold_memory_bytes: int
    seconds: dict[int, list[float]] = field(default_factory=dict)
    probes: list[float] = field(default_factory=list)

    def run(self) -> float:
        start = time.perf_counter()
        self.circuit.run(self.values)
        return time.perf_counter() - start

    def visit(self, thread_counts: Sequence[int]) -> None:
        """Time one run at each thread count."""
        from threadpoolctl import threadpool_limits

        for threads in thread_counts:
            with threadpool_limits(limits=threads, user_api="openmp"):
                self.run()
                self.seconds.setdefault(threads, []).append(self.run())

    def settled(self) -> bool:
        return all(is_tight(times) for times in self.seconds.values())

    def samples(self) -> list[LookupSample | LinearSample]:
        return [self.sample(threads, times, self.probes) for threads, times in self.seconds.items()]


def run_microbenchmark(
    operation: Operation = "pbs",
    *,
    quick: bool = False,
    minutes: float | None = None,
    progress: Progress = silent,
) -> Microbenchmark:
    """Time single operations over a spread of parameter sets on this machine.

    Args:
        operation: "pbs" times all that a calibration needs; "ks", "linear" and "keygen" only the
            sets that show these.
        quick: only sets with N up to 4096.
        minutes: no round starts after this time; 10, or 2.75 when quick. Three rounds are made
            whatever it is.
        progress: called after each of :func:`step_count` steps with what was done.

    Raises:
        UsageError: Concrete isn't installed, or ``minutes`` isn't positive.
    """
    minutes = minutes if minutes is not None else (QUICK_MINUTES if quick else MINUTES)
    if not minutes > 0:
        raise UsageError(f"--minutes {minutes:g}: must be more than 0")
    import_concrete()
    start = time.monotonic()
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    machine = this_machine()
    samples: list[LookupSample | LinearSample] = []
    keys: list[KeySample] = []
    groups = cases(operation, quick)
    sets = sum(map(len, groups))
    for index, group in enumerate(groups):
        # What is left is shared out by sets, so that the large ones at the end get their rounds.
        behind = sum(map(len, groups[: index + 1])) / sets
        prepared = _measure_group(group, operation, start + 60 * minutes * behind, progress)
        for item in prepared:
            of_item = item.samples()
            samples += of_item
            # Keys were made, and first used, with all threads: the last of the counts.
            keys.append(_key_sample(item, of_item[-1]))
    return Microbenchmark(
        started=started,
        machine=machine,
        versions={"concrete-python": importlib.metadata.version("concrete-python")},
        lookups=tuple(sample for sample in samples if isinstance(sample, LookupSample)),
        linear=tuple(sample for sample in samples if isinstance(sample, LinearSample)),
        keys=tuple(keys),
    )


def step_count(operation: Operation, quick: bool) -> int:
    """Steps that :func:`run_microbenchmark` reports to its progress function."""
    groups = cases(operation, quick)
    return sum(map(len, groups)) + _most_rounds(operation) * len(groups)


def _most_rounds(operation: Operation) -> int:
    # Keys are made once; one warm run is what the first run is compared with.
    return 1 if operation == "keygen" else _MOST_ROUNDS


def _measure_group(
    group: Sequence[Case], operation: Operation, until: float, progress: Progress
) -> list[_Prepared]:
    prepared = []
    for case in group:
        item = _prepare(case)
        if item is not None:
            prepared.append(item)
        progress(f"keys for N={case.polynomial_size}")
    counts = sorted({1, available_threads()})
    most, restless, done = _most_rounds(operation), prepared, 0
    while restless and done < most and (done < _FEWEST_ROUNDS or time.monotonic() < until):
        every = max(1, len(restless) // _PROBES_PER_ROUND)
        probes = [probe_seconds() for _ in range(_PROBES_PER_ROUND - len(restless) // every)]
        for index, item in enumerate(restless):
            if index % every == 0:
                probes.append(probe_seconds())
            item.visit(counts)
        for item in restless:
            item.probes.append(statistics.median(probes))
        restless, done = [item for item in restless if not item.settled()], done + 1
        progress("timing")
    for _ in range(most - done):
        progress("timing")
    return prepared


def _prepare(case: Case) -> _Prepared | None:
    """The case with its keys; None where Concrete doesn't offer its parameter set."""
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


def _prepare_lookup(case: LookupCase) -> _Prepared | None:
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
    if not _as_asked(pbs.parameters, case.glwe_dimension, case.polynomial_size):
        return None
    return _with_keys(
        circuit,
        values,
        lambda threads, times, probes: LookupSample(
            threads=threads,
            seconds=tuple(times),
            probes_s=tuple(probes),
            elements=elements,
            pbs=pbs.parameters,
            key_switch=switch.parameters,
        ),
    )


def _prepare_linear(case: LinearCase) -> _Prepared | None:
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
    if not _as_asked(pbs.parameters, 1, case.polynomial_size):
        return None
    return _with_keys(
        circuit,
        values,
        lambda threads, times, probes: LinearSample(
            threads=threads,
            seconds=tuple(times),
            probes_s=tuple(probes),
            operations=operations,
            lwe_dimension=dimension,
            pbs=pbs.parameters,
            key_switch=switch.parameters,
        ),
    )


def _as_asked(parameters: PbsParameters, glwe_dimension: int, polynomial_size: int) -> bool:
    # An impossible restriction is dropped without a word.
    return (parameters.glwe_dimension, parameters.polynomial_size) == (
        glwe_dimension,
        polynomial_size,
    )


def _with_keys(
    circuit: Any,
    values: Any,
    sample: Callable[[int, Sequence[float], Sequence[float]], LookupSample | LinearSample],
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
