"""Time table lookups, linear operations and keys of Concrete on this machine, set by set.

All circuits of a group are compiled and given keys first; then rounds visit every circuit at each
thread count, so that a machine that drifts shifts all samples alike. A visit runs twice and times
the second run: the first one brings the keys back into the caches. One fixed computation is timed
along with every round: it tells a round in which the machine was slower. Rounds go on until the
confidence interval of each median is tight, or the time is up; a circuit whose median is settled is
visited no more.

Making keys, their first use and the memory that they take are measured in processes of their own,
where no other keys have left memory to use again.

After each key and each round, all that there is so far can be kept in a file, from which a run that
was broken off goes on.
"""

from __future__ import annotations

import importlib.metadata
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fhecost.concrete.compilation import import_concrete
from fhecost.errors import FieldError, UsageError
from fhecost.files import AnyPath, check_can_write
from fhecost.measurement.broken_off import (
    BegunCase,
    BrokenOff,
    broken_off_path,
    keep_broken_off,
    load_broken_off,
)
from fhecost.measurement.cases import Case, LookupCase, Operation, cases, key_cases
from fhecost.measurement.machine import available_threads, now, probe_seconds, this_machine
from fhecost.measurement.records import (
    KeySample,
    LinearSample,
    LookupSample,
    Microbenchmark,
    TransferSample,
    save_microbenchmark,
)
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

    @classmethod
    def of(cls, single: SingleCircuit, begun: BegunCase | None) -> _Prepared:
        """``single`` with keys, and with the times that it has of an earlier run."""
        single.circuit.keygen()
        item = cls(single, single.circuit.encrypt(single.values))
        if begun is not None:
            item.seconds |= {threads: list(times) for threads, times in begun.seconds.items()}
            item.probes += begun.probes_s
        return item

    @property
    def settled(self) -> bool:
        """Whether its medians are known well enough."""
        return bool(self.seconds) and all(map(is_tight, self.seconds.values()))

    @property
    def begun(self) -> BegunCase:
        """The rounds that it has had."""
        seconds = {threads: tuple(times) for threads, times in self.seconds.items()}
        return BegunCase(seconds=seconds, probes_s=tuple(self.probes))

    def samples(self) -> list[LookupSample | LinearSample]:
        """The record of its times, one each thread count."""
        return [
            self.single.sample(threads, times, self.probes)
            for threads, times in self.seconds.items()
        ]

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


class _Log:
    """What there is so far, kept beside ``path`` as it grows, if there is one."""

    def __init__(self, so_far: BrokenOff, path: Path | None) -> None:
        self.so_far = so_far
        self._path = path

    def add_key(self, sample: KeySample | None) -> None:
        """Keep that one more of the keys is done; None for a set that Concrete doesn't offer."""
        raw = self.so_far.raw
        if sample is not None:
            raw = raw.changed(keys=(*raw.keys, sample))
        self._keep(key_cases=self.so_far.key_cases + 1, raw=raw)

    def add_transfers(self, samples: tuple[TransferSample, ...]) -> None:
        """Keep what runs without lookups take."""
        self._keep(raw=self.so_far.raw.changed(transfers=samples))

    def add_round(self, items: Mapping[int, _Prepared]) -> None:
        """Keep one more round of the circuits of a group, by their place in it."""
        self._keep(begun={place: item.begun for place, item in items.items()})

    def add_group(self, items: Mapping[int, _Prepared]) -> None:
        """Keep that the circuits of a group are done."""
        raw = self.so_far.raw
        samples = [sample for item in items.values() for sample in item.samples()]
        lookups = (sample for sample in samples if isinstance(sample, LookupSample))
        linear = (sample for sample in samples if isinstance(sample, LinearSample))
        raw = raw.changed(lookups=(*raw.lookups, *lookups), linear=(*raw.linear, *linear))
        self._keep(groups=self.so_far.groups + 1, begun={}, raw=raw)

    def _keep(self, **changes: Any) -> None:
        self.so_far = self.so_far.changed(**changes)
        if self._path is not None:
            keep_broken_off(self.so_far, self._path)

    def finish(self) -> Microbenchmark:
        """All raw times, which are now in the file itself."""
        if self._path is not None:
            save_microbenchmark(self.so_far.raw, self._path)
            broken_off_path(self._path).unlink(missing_ok=True)
        return self.so_far.raw


def run_microbenchmark(
    operation: Operation = "pbs",
    *,
    quick: bool = False,
    minutes: float | None = None,
    keep: AnyPath | None = None,
    resume: bool = False,
    progress: Progress = silent,
) -> Microbenchmark:
    """Time single operations over a spread of parameter sets on this machine.

    Args:
        operation: "pbs" times all that a calibration needs; "ks", "linear" and "keygen" only the
            sets that show these.
        quick: only sets with N up to 4096.
        minutes: no round starts after this time, keys included; 12.5, or 2.25 when quick. Two
            rounds are made whatever it is.
        keep: the file for all raw times. Until they are all there, those that are stand beside it,
            in a file with ``.part`` after its name.
        resume: go on from there, where an earlier call was broken off.
        progress: called after each of :func:`step_count` steps with what was done.

    Raises:
        UsageError: Concrete isn't installed, ``minutes`` isn't positive, ``keep`` can't be written,
            an earlier call was broken off there and ``resume`` isn't asked for, or it was of
            something else.
    """
    minutes = minutes if minutes is not None else (QUICK_MINUTES if quick else MINUTES)
    if not minutes > 0:
        raise FieldError("minutes", "must be more than 0", f"{minutes:g}")
    import_concrete()
    start = time.monotonic()
    path = None if keep is None else Path(keep)
    begun = _begun(operation, quick, path, resume)
    log = _Log(begun, path)
    for number, key_case in enumerate(key_cases(operation, quick)):
        if number >= begun.key_cases:
            log.add_key(_key_sample(key_case))
        progress(f"keys in a process of their own, N={key_case.polynomial_size}")
    if operation in _WITH_TRANSFERS:
        if not begun.raw.transfers:
            log.add_transfers(time_transfers(progress))
        else:
            for _ in range(transfers_step_count()):
                progress("timed before")
    groups = cases(operation, quick)
    sets = sum(map(len, groups[begun.groups :]))
    rounds_start = time.monotonic()
    left = max(0.0, start + 60 * minutes - rounds_start)
    for index, group in enumerate(groups):
        if index < begun.groups:
            for _ in range(len(group) + _MOST_ROUNDS):
                progress("timed before")
            continue
        # What is left is shared out by sets, so that the large ones at the end get their rounds.
        behind = sum(map(len, groups[begun.groups : index + 1])) / sets
        log.add_group(_measure_group(group, rounds_start + left * behind, log, progress))
    return log.finish()


def _begun(operation: Operation, quick: bool, path: Path | None, resume: bool) -> BrokenOff:
    """What there is before the first measurement: nothing, or what an earlier call came to."""
    machine, concrete = this_machine(), importlib.metadata.version("concrete-python")
    if path is None:
        if resume:
            raise FieldError("resume", "goes with the file that the raw times are kept in")
    else:
        check_can_write(path)
        part = broken_off_path(path)
        if resume:
            begun = load_broken_off(path)
            begun.check_same(operation, quick, machine, concrete)
            return begun.changed(raw=begun.raw.changed(resumed=(*begun.raw.resumed, now())))
        if part.exists():
            raise UsageError(
                f"{part}: from a run that was broken off; go on with it (--resume), or remove it"
            )
    raw = Microbenchmark(
        started=now(),
        machine=machine,
        versions={"concrete-python": concrete},
        lookups=(),
        linear=(),
    )
    return BrokenOff(operation=operation, quick=quick, raw=raw)


def _key_sample(case: LookupCase) -> KeySample | None:
    """Keys of ``case``, made and used in a process of their own."""
    single = compile_case(case)
    if single is None:
        return None
    options = RunOptions(threads=1 if case.single_thread else None, warm_runs=2)
    times, _ = run_once(single.circuit, [single.values], options)
    return KeySample(pbs=single.pbs, key_switch=single.key_switch, times=times)


def step_count(operation: Operation, quick: bool) -> int:
    """Steps that :func:`run_microbenchmark` reports to its progress function."""
    groups = cases(operation, quick)
    rounds = _MOST_ROUNDS * len(groups)
    moved = transfers_step_count() if operation in _WITH_TRANSFERS else 0
    return moved + len(key_cases(operation, quick)) + sum(map(len, groups)) + rounds


def _measure_group(
    group: Sequence[Case], until: float, log: _Log, progress: Progress
) -> Mapping[int, _Prepared]:
    """The circuits of a group with their times, by their place in it."""
    prepared: dict[int, _Prepared] = {}
    for place, case in enumerate(group):
        single = compile_case(case)
        if single is not None:
            prepared[place] = _Prepared.of(single, log.so_far.begun.get(place))
        progress(f"keys for N={case.polynomial_size}")
    counts = sorted({1, available_threads()})
    restless = [one for one in prepared.values() if not one.settled]
    done = max((len(one.probes) for one in prepared.values()), default=0)
    for _ in range(done):
        progress("timed before")
    while restless and done < _MOST_ROUNDS and (done < _FEWEST_ROUNDS or time.monotonic() < until):
        every = max(1, len(restless) // _PROBES_PER_ROUND)
        probes = [probe_seconds() for _ in range(_PROBES_PER_ROUND - len(restless) // every)]
        for index, item in enumerate(restless):
            if index % every == 0:
                probes.append(probe_seconds())
            item.visit(counts)
        for item in restless:
            item.probes.append(statistics.median(probes))
        restless = [one for one in restless if not one.settled]
        done += 1
        log.add_round(prepared)
        progress("timing")
    for _ in range(_MOST_ROUNDS - done):
        progress("timing")
    return prepared
