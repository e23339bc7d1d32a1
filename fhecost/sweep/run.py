"""The sweep itself: what isn't finished is given to workers, and kept as it comes."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from fhecost.accuracy.sweep import ROW_BYTES
from fhecost.concrete.compilation import COMPILATION_BYTES
from fhecost.engine.memory import pool_size
from fhecost.engine.outcome import Finished, Lost, Raised, Runner
from fhecost.engine.places import runner
from fhecost.errors import FieldError, UsageError
from fhecost.files import AnyPath, check_can_write
from fhecost.measurement.machine import available_threads
from fhecost.progress import Expect, Progress, silent
from fhecost.sweep.experiment import Experiment
from fhecost.sweep.plan import Plan, plan_of
from fhecost.sweep.records import SweepReport, SweepResult
from fhecost.sweep.results_file import results_file
from fhecost.sweep.tasks import SweepTask, lost, run_task, tasks_of
from fhecost.version import VERSION

SHAPE_BYTES = 0.3e9
"""Memory of a process that writes circuits down by their shape; 0.07 to 0.13 GB were seen."""


def run_sweep(
    experiment: Experiment | AnyPath,
    results: AnyPath,
    *,
    resume: bool = False,
    retry_failed: bool = False,
    processes: int | None = None,
    dask: int | None = None,
    scheduler: str | None = None,
    progress: Progress = silent,
    expect: Expect = silent,
) -> SweepReport:
    """What ``fhecost sweep`` does: compute all points of an experiment, here or on a cluster.

    A point that fails is a result too, with its reason; the others go on. A finished one is never
    computed twice.

    Args:
        experiment: a YAML file, or what it says.
        results: the file that keeps a line a point, as soon as it is there.
        resume: go on where a sweep with the same file stopped.
        retry_failed: compute what has failed once more; it goes on, too.
        processes: tasks at the same time on this machine; as many as threads and memory hold when
            None.
        dask: so many workers of Dask on this machine instead.
        scheduler: the address of a Dask scheduler, whose workers do it instead.
        progress: called after each point.
        expect: called with the number of points, when it is known.

    Raises:
        UsageError: the experiment is wrong, the file can't be written or is another sweep's, Dask
            isn't installed, or no scheduler answers.
        ImpossibleError: the scheduler is gone, or no cluster can be started.
    """
    if processes is not None and processes < 1:
        raise FieldError("processes", "must be at least 1", processes)
    path = Path(results)
    check_can_write(appended=[path])
    plan = plan_of(experiment)
    with results_file(path, resume=resume or retry_failed) as file:
        file.check_same_origin(plan.points)
        again = {"failed"} if retry_failed else set()
        missing = [
            one
            for one in plan.points
            if one.key not in file.found or file.found[one.key].status in again
        ]
        expect(len(plan.points))
        left = {one.key for one in missing}
        for planned in plan.points:
            if planned.key not in left:
                progress(planned.point.short)
        tasks = tasks_of(plan, missing)
        if tasks:
            size = processes or _processes(plan, len(tasks))
            _check_alone(plan, size, dask)
            with runner(size, dask=dask, scheduler=scheduler) as place:
                for result in _results(place, tasks):
                    file.add(result)
                    progress(result.point.short)
        try:
            file.put_in_order(plan.points)
        except UsageError as error:
            warnings.warn(f"the results aren't put in order: {error}", stacklevel=2)
        return _report(plan, path, [file.found[one.key] for one in plan.points])


def _results(place: Runner, tasks: Sequence[SweepTask]) -> Iterator[SweepResult]:
    """The results of all tasks, as they come."""
    with closing(place.outcomes(run_task, tasks)) as outcomes:
        for number, outcome in outcomes:
            match outcome:
                case Finished(found):
                    yield from found
                case Lost(reason):
                    yield from lost(tasks[number], reason)
                case Raised(error):
                    # A worker that lacks fhecost can't even begin.
                    yield from lost(tasks[number], f"{type(error).__name__}: {error}")


def _processes(plan: Plan, tasks: int) -> int:
    """How many tasks to do at once on this machine."""
    if "measure" in plan.steps:
        # A run that others disturb measures nothing.
        return 1
    if plan.needs_concrete:
        task_bytes = COMPILATION_BYTES
    elif plan.from_weights or "accuracy" in plan.steps:
        task_bytes = ROW_BYTES
    else:
        task_bytes = SHAPE_BYTES
    return pool_size(tasks, available_threads(), task_bytes)


def _check_alone(plan: Plan, processes: int, dask: int | None) -> None:
    """Raise a FieldError where measured runs would disturb each other."""
    for field, value in (("processes", processes), ("dask", dask or 1)):
        if "measure" in plan.steps and value > 1:
            raise FieldError(field, "runs that are measured go one at a time: must be 1", value)


def _report(plan: Plan, path: Path, results: Sequence[SweepResult]) -> SweepReport:
    counts = Counter(result.status for result in results)
    return SweepReport(
        fhecost_version=VERSION,
        title=plan.title,
        file=str(path),
        points=len(results),
        done=counts["done"],
        impossible=counts["impossible"],
        failed=counts["failed"],
        results=tuple(results),
    )
