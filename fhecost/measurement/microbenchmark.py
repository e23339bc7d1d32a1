"""Time table lookups, linear operations and keys of Concrete on this machine, set by set.

All circuits of a group are compiled and given keys first; then rounds visit every circuit at each
thread count, so that a machine that drifts shifts all samples alike. A visit runs twice and times
the second run: the first one brings the keys back into the caches. One fixed computation is timed
along with every round: it tells a round in which the machine was slower. Rounds go on until the
confidence interval of each median is tight, or the time is up; a circuit whose median is settled is
visited no more.

Making keys, their first use and the memory that they take are measured in processes of their own,
where no other keys have left memory to use again.
"""

from __future__ import annotations

import importlib.metadata
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fhecost.concrete.compilation import import_concrete
from fhecost.errors import FieldError
from fhecost.measurement.cases import Case, Operation, cases, key_cases
from fhecost.measurement.machine import available_threads, now, probe_seconds, this_machine
from fhecost.measurement.records import KeySample, LinearSample, LookupSample, Microbenchmark
from fhecost.measurement.repeats import is_tight
from fhecost.measurement.single_circuits import SingleCircuit, compile_case
from fhecost.measurement.timed_run import RunOptions, run_once
from fhecost.measurement.transfers import step_count as transfers_step_count
from fhecost.measurement.transfers import time_transfers
from fhecost.progress import Progress, silent

MINUTES = 12.5  # the last rounds, begun in time, end within 15 minutes on 2 cores
QUICK_MINUTES = 2.25
_WITH_TRANSFERS = ("pbs", "linear")
_FEWEST_ROUNDS = 2
_MOST_ROUNDS = 15
_PROBES_PER_ROUND = 15


@dataclass
class _Prepared:
    """A circuit with keys and an encrypted input, and its times by thread count."""

    single: SingleCircuit
    encrypted: Any
    seconds: dict[int, list[float]] = field(default_factory=dict)
    probes: list[float] = field(default_factory=list)

    def run(self) -> float:
        start = time.perf_counter()
        self.single.circuit.run(self.encrypted)
        return time.perf_counter() - start

    def visit(self, thread_counts: Sequence[int]) -> None:
        """Time one run at each thread count."""
        from threadpoolctl import threadpool_limits

        for threads in thread_counts:
            with threadpool_limits(limits=threads, user_api="openmp"):
                self.run()
                self.seconds.setdefault(threads, []).append(self.run())


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
        minutes: no round starts after this time, keys included; 12.5, or 2.25 when quick. Two
            rounds are made whatever it is.
        progress: called after each of :func:`step_count` steps with what was done.

    Raises:
        UsageError: Concrete isn't installed, or ``minutes`` isn't positive.
    """
    minutes = minutes if minutes is not None else (QUICK_MINUTES if quick else MINUTES)
    if not minutes > 0:
        raise FieldError("minutes", "must be more than 0", f"{minutes:g}")
    import_concrete()
    start = time.monotonic()
    started = now()
    machine = this_machine()
    keys = []
    for key_case in key_cases(operation, quick):
        single = compile_case(key_case)
        if single is not None:
            options = RunOptions(threads=1 if key_case.single_thread else None, warm_runs=2)
            times, _ = run_once(single.circuit, [single.values], options)
            keys.append(KeySample(pbs=single.pbs, key_switch=single.key_switch, times=times))
        progress(f"keys in a process of their own, N={key_case.polynomial_size}")
    transfers = time_transfers(progress) if operation in _WITH_TRANSFERS else ()
    samples: list[LookupSample | LinearSample] = []
    groups = cases(operation, quick)
    sets = sum(map(len, groups))
    rounds_start = time.monotonic()
    left = max(0.0, start + 60 * minutes - rounds_start)
    for index, group in enumerate(groups):
        # What is left is shared out by sets, so that the large ones at the end get their rounds.
        behind = sum(map(len, groups[: index + 1])) / sets
        for item in _measure_group(group, rounds_start + left * behind, progress):
            samples += [
                item.single.sample(threads, times, item.probes)
                for threads, times in item.seconds.items()
            ]
    return Microbenchmark(
        started=started,
        machine=machine,
        versions={"concrete-python": importlib.metadata.version("concrete-python")},
        lookups=tuple(sample for sample in samples if isinstance(sample, LookupSample)),
        linear=tuple(sample for sample in samples if isinstance(sample, LinearSample)),
        keys=tuple(keys),
        transfers=transfers,
    )


def step_count(operation: Operation, quick: bool) -> int:
    """Steps that :func:`run_microbenchmark` reports to its progress function."""
    groups = cases(operation, quick)
    rounds = _MOST_ROUNDS * len(groups)
    moved = transfers_step_count() if operation in _WITH_TRANSFERS else 0
    return moved + len(key_cases(operation, quick)) + sum(map(len, groups)) + rounds


def _measure_group(group: Sequence[Case], until: float, progress: Progress) -> list[_Prepared]:
    prepared = []
    for case in group:
        single = compile_case(case)
        if single is not None:
            single.circuit.keygen()
            prepared.append(_Prepared(single, single.circuit.encrypt(single.values)))
        progress(f"keys for N={case.polynomial_size}")
    counts = sorted({1, available_threads()})
    restless, done = prepared, 0
    while restless and done < _MOST_ROUNDS and (done < _FEWEST_ROUNDS or time.monotonic() < until):
        every = max(1, len(restless) // _PROBES_PER_ROUND)
        probes = [probe_seconds() for _ in range(_PROBES_PER_ROUND - len(restless) // every)]
        for index, item in enumerate(restless):
            if index % every == 0:
                probes.append(probe_seconds())
            item.visit(counts)
        for item in restless:
            item.probes.append(statistics.median(probes))
        restless = [one for one in restless if not all(map(is_tight, one.seconds.values()))]
        done += 1
        progress("timing")
    for _ in range(_MOST_ROUNDS - done):
        progress("timing")
    return prepared
