"""Measure what a calibration needs, step by step, each in a process as good as new.

A step makes the keys of one parameter set, uses them for the first time, and then runs lookups on
all threads and on one: what they take, what keys take and what memory holds come from one process,
so that no key is made twice. After each step all raw times are kept in a file. A calibration that
was broken off goes on from there, on the same machine and on the same day.

A step beside which other programs were at work is done again when these have ended, if they end
soon.
"""

from __future__ import annotations

import importlib.metadata
import time
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from fhecost.concrete.compilation import import_concrete
from fhecost.errors import UsageError
from fhecost.fields import Count
from fhecost.files import AnyPath, check_can_write, read_model, write_atomically
from fhecost.frozen import Frozen
from fhecost.measurement.broken_off import broken_off_path
from fhecost.measurement.calibration_steps import Step, calibration_steps, known_constants
from fhecost.measurement.cases import TransferCase
from fhecost.measurement.cpu_use import look
from fhecost.measurement.forked import Forks, OutOfMemoryError, StepTimes, forks
from fhecost.measurement.machine import (
    available_threads,
    now,
    settled_probe_seconds,
    this_machine,
)
from fhecost.measurement.quiet import others_at_work, wait_for_quiet
from fhecost.measurement.records import (
    Conditions,
    KeySample,
    LinearSample,
    LookupSample,
    Microbenchmark,
    save_microbenchmark,
)
from fhecost.measurement.single_circuits import SingleCircuit, compile_case
from fhecost.measurement.transfers import transfer_circuit, transfer_sample
from fhecost.progress import Expect, Progress, silent
from fhecost.version import VERSION

BEFORE, AFTER = "before", "after"
_WAIT_S, _THOROUGH_WAIT_S = 60.0, 300.0
"""The most that waiting for others, and doing steps again, may take."""

AnySample = LookupSample | LinearSample


class BegunCalibration(Frozen):
    """A calibration as far as it came: its first ``steps`` are in ``raw``.

    Another version of fhecost may have others.
    """

    schema_version: Literal[1] = 1
    fhecost_version: str = VERSION
    thorough: bool
    steps: Count = 0
    raw: Microbenchmark


@dataclass
class _Clock:
    """How long the steps that are left will take, by what those that are done took."""

    pace: float
    expected_s: float = 0.0
    spent_s: float = 0.0

    def left_s(self, steps: Iterable[Step]) -> float:
        """Seconds that ``steps`` will take."""
        pace = self.spent_s / self.expected_s if self.expected_s else self.pace
        return pace * sum(step.expected_s for step in steps)

    def add(self, step: Step, seconds: float) -> None:
        """Learn from what ``step`` took. The probe's pace counts as one step of its own."""
        if not self.expected_s:
            self.expected_s, self.spent_s = step.expected_s, self.pace * step.expected_s
        self.expected_s += step.expected_s
        self.spent_s += seconds


@dataclass
class _Sitting:
    """What one call measures with, and how long it may still wait for others."""

    forks: Forks
    waits_s: float
    progress: Progress
    waited_s: float = field(default=0.0)

    def wait(self) -> None:
        """Wait until others have ended, while there is time for it."""
        waited_s = wait_for_quiet(self.waits_s, self.progress)
        self.waits_s = max(0.0, self.waits_s - waited_s)
        self.waited_s += waited_s

    def conditions(self, step: str) -> Conditions:
        """The machine now, beside the steps."""
        before = look()
        probe_s = settled_probe_seconds()
        return Conditions(step=step, probe_s=probe_s, cpu=before.until(look()))

    def take(self, step: Step, so_far: Microbenchmark) -> Microbenchmark:
        """``so_far`` with what ``step`` measured; once more where others were at work beside it."""
        while True:
            self.progress(step.name)
            start = time.monotonic()
            made, times = self._measured(step, so_far)
            took_s = time.monotonic() - start
            if times is None:
                return made
            if not others_at_work(times.cpu) or took_s > self.waits_s:
                done = Conditions(step=step.name, probe_s=times.probe_s, cpu=times.cpu)
                return made.changed(conditions=(*made.conditions, done))
            # What is done again is taken off the time that there is for others to end.
            self.waits_s -= took_s
            self.wait()

    def _measured(
        self, step: Step, so_far: Microbenchmark
    ) -> tuple[Microbenchmark, StepTimes | None]:
        """``so_far`` and more, and the times; without them where the step can't be taken here."""
        if isinstance(step.case, TransferCase):
            circuit, values = transfer_circuit(step.case)
            times = self.forks.run(circuit, [values], step.repeats, step.most_s)
            probes = (times.probe_s,) * len(times.times.warm_s)
            moved = transfer_sample(circuit, times.times, probes)
            return so_far.changed(transfers=(*so_far.transfers, moved)), times
        single = compile_case(step.case, step.lookups)
        if single is None:
            return so_far, None
        try:
            times = self.forks.run(single.circuit, [single.values], step.repeats, step.most_s)
        except OutOfMemoryError as error:
            warnings.warn(f"{step.name} is left out: {error}", stacklevel=2)
            return so_far, None
        return with_times(so_far, single, times), times


def measure_for_calibration(
    thorough: bool = False,
    *,
    keep: AnyPath | None = None,
    progress: Progress = silent,
    expect: Expect = silent,
) -> Microbenchmark:
    """Time all that a calibration needs: in about a minute, or ten when ``thorough``.

    Args:
        thorough: more parameter sets, with larger N, each more often.
        keep: the file for all raw times. Until they are all there, those that are stand beside it,
            in a file with ``.part`` after its name. What stands there of the same machine, day and
            Concrete is gone on with; anything else is begun anew.
        progress: called with what is timed, or waited for, when that begins.
        expect: called before the first step and after each with the seconds that are left.

    Raises:
        UsageError: Concrete isn't installed, or ``keep`` can't be written.
        ImpossibleError: a step failed, or took far too long.
    """
    import_concrete()
    path = None if keep is None else Path(keep)
    check_can_write(path)
    threads = available_threads()
    steps = calibration_steps(threads, thorough, this_machine().memory_bytes)
    so_far = _begun(path, thorough, len(steps))
    with forks(threads) as forking:
        sitting = _Sitting(forking, _THOROUGH_WAIT_S if thorough else _WAIT_S, progress)
        usual_s = known_constants()["probe_s"]
        clock = _Clock(settled_probe_seconds() / usual_s)
        expect(clock.left_s(steps[so_far.steps :]))
        progress("looking for other programs at work")
        sitting.wait()
        before = sitting.conditions(BEFORE)
        clock.pace = before.probe_s / usual_s
        expect(clock.left_s(steps[so_far.steps :]))
        raw = so_far.raw
        if not raw.conditions:
            raw = raw.changed(conditions=(before,))
        for number, step in enumerate(steps[so_far.steps :], so_far.steps + 1):
            start = time.monotonic()
            raw = sitting.take(step, raw)
            clock.add(step, time.monotonic() - start)
            if path is not None:
                begun = so_far.changed(steps=number, raw=raw)
                write_atomically(broken_off_path(path), begun.model_dump_json(indent=1) + "\n")
            expect(clock.left_s(steps[number:]))
        conditions = (*raw.conditions, sitting.conditions(AFTER))
        raw = raw.changed(conditions=conditions, waited_s=raw.waited_s + sitting.waited_s)
    if path is not None:
        save_microbenchmark(raw, path)
        broken_off_path(path).unlink(missing_ok=True)
    return raw


def _begun(path: Path | None, thorough: bool, steps: int) -> BegunCalibration:
    """What an earlier call came to, where it can be gone on with; else nothing."""
    machine, concrete = this_machine(), importlib.metadata.version("concrete-python")
    new = Microbenchmark(
        started=now(),
        machine=machine,
        versions={"concrete-python": concrete},
        lookups=(),
        linear=(),
    )
    anew = BegunCalibration(thorough=thorough, raw=new)
    part = None if path is None else broken_off_path(path)
    if part is None or not part.exists():
        return anew
    try:
        begun = read_model(part, BegunCalibration)
    except UsageError as error:
        warnings.warn(f"{error}; all is timed anew", stacklevel=2)
        return anew
    same_day = begun.raw.started[:10] == new.started[:10]
    same = (begun.thorough, begun.fhecost_version) == (anew.thorough, anew.fhecost_version)
    same = same and begun.raw.versions == new.versions and begun.steps <= steps
    if not (same and same_day) or machine.differences(begun.raw.machine):
        return anew
    return begun.changed(raw=begun.raw.changed(resumed=(*begun.raw.resumed, new.started)))


def with_times(raw: Microbenchmark, single: SingleCircuit, times: StepTimes) -> Microbenchmark:
    """``raw`` with a circuit's times; a set that it has already gets further ones."""
    on_all = times.times
    made = [_sample_of(single, on_all.threads, on_all.warm_s, times.probe_s)]
    if times.alone_s:
        made.append(_sample_of(single, 1, times.alone_s, times.probe_s))
    for sample in made:
        if isinstance(sample, LinearSample):
            raw = raw.changed(linear=_merged(raw.linear, sample))
        # With fewer lookups than threads, not all of them are at work.
        elif sample.threads == 1 or sample.elements >= sample.threads:
            raw = raw.changed(lookups=_merged(raw.lookups, sample))
    keys = KeySample(pbs=single.pbs, key_switch=single.key_switch, times=on_all)
    known = {(one.pbs, one.key_switch) for one in raw.keys}
    if single.kind is LookupSample and (keys.pbs, keys.key_switch) not in known:
        raw = raw.changed(keys=(*raw.keys, keys))
    return raw


def _sample_of(
    single: SingleCircuit, threads: int, seconds: tuple[float, ...], probe_s: float
) -> Any:
    return single.sample(threads, seconds, [probe_s] * len(seconds))


def _merged(samples: Sequence[AnySample], more: AnySample) -> tuple[AnySample, ...]:
    """``samples`` with the times of ``more``, in the sample of the same runs if there is one."""
    for place, known in enumerate(samples):
        if _runs(known) == _runs(more):
            longer = known.changed(
                seconds=(*known.seconds, *more.seconds), probes_s=(*known.probes_s, *more.probes_s)
            )
            return (*samples[:place], longer, *samples[place + 1 :])
    return (*samples, more)


def _runs(sample: AnySample) -> dict[str, Any]:
    return sample.model_dump(exclude={"seconds", "probes_s"})
