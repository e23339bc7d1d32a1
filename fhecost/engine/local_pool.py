"""Processes of this machine that do tasks, of which any may be killed at any moment.

Python's own pool gives up all tasks when one of its processes is killed. Here the others go on: a
process that ended is replaced, and what it was at is tried once more when nothing else runs, since
most of these are killed for want of memory.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import Any, Generic

from fhecost.engine.outcome import Lost, Outcome, Raised, Result, Task, outcome_of
from fhecost.processes import end_with, folders_within, temporary_folder

_PATIENCE_S = 5.0


@dataclass(frozen=True)
class LocalPool:
    """So many processes at most, of one thread each, that end with this one.

    Work, tasks and results go to them and back by pickle.
    """

    size: int

    def outcomes(
        self, work: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> Generator[tuple[int, Outcome[Result]], None, None]:
        """See :class:`fhecost.engine.outcome.Runner`; a task is lost when it was so twice."""
        # Folders that workers make are in the one of this process, which outlives a killed worker.
        temporary_folder()
        crew = _Crew(self.size, work, tasks)
        try:
            yield from crew.outcomes()
        finally:
            crew.dismiss()


@dataclass
class _Worker:
    """A process, the pipe to it, and the place of the task that it is at."""

    process: BaseProcess
    pipe: connection.Connection
    place: int | None = None

    def end(self) -> None:
        """End it: in peace if it is idle, and at once if it isn't, or takes long."""
        if self.place is None:
            with suppress(OSError):
                self.pipe.send(None)
            self.process.join(_PATIENCE_S)
        self.process.kill()
        self.process.join()
        self.process.close()
        self.pipe.close()

    def received(self) -> Any:
        """The outcome of its task, which is lost where the process has ended without one."""
        with suppress(EOFError, OSError):
            # A child of the process may hold the pipe open without ever writing to it.
            if self.process.is_alive() or self.pipe.poll():
                return self.pipe.recv()
        self.process.join()
        return Lost(_end_of(self.process.exitcode))


class _Crew(Generic[Task, Result]):
    """The workers of one list of tasks."""

    def __init__(self, size: int, work: Callable[[Task], Result], tasks: Sequence[Task]) -> None:
        self._size, self._work, self._tasks = size, work, tasks
        self._waiting = deque(range(len(tasks)))
        self._once_more: deque[int] = deque()
        self._lost: set[int] = set()
        self._workers: list[_Worker] = []

    def outcomes(self) -> Generator[tuple[int, Outcome[Result]], None, None]:
        """Each task's place and outcome, as they come."""
        while busy := self._busy():
            for worker in _ready(busy):
                place, outcome = worker.place, worker.received()
                assert place is not None, "it was given a task"
                if isinstance(outcome, Lost):
                    self._remove(worker)
                    if place not in self._lost:
                        self._lost.add(place)
                        self._once_more.append(place)
                        continue
                worker.place = None
                yield place, outcome

    def dismiss(self) -> None:
        """End all workers."""
        while self._workers:
            self._remove(self._workers[-1])

    def _busy(self) -> list[_Worker]:
        """All workers that have a task, once all that can have one do; none when all is done."""
        while self._waiting and (idle := self._idle_or_new()):
            self._give(idle, self._waiting)
        busy = [one for one in self._workers if one.place is not None]
        if not busy and self._once_more:
            # Alone: others would keep their memory.
            self.dismiss()
            while not busy:
                self._give(self._new(), self._once_more)
                busy = [one for one in self._workers if one.place is not None]
        return busy

    def _idle_or_new(self) -> _Worker | None:
        idle = next((one for one in self._workers if one.place is None), None)
        return idle or (self._new() if len(self._workers) < self._size else None)

    def _new(self) -> _Worker:
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.Process(target=_serve, args=(theirs, os.getpid()), daemon=True)
        process.start()
        # Else its end would never show.
        theirs.close()
        worker = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def _give(self, worker: _Worker, places: deque[int]) -> None:
        """Give ``worker`` the first of ``places``, unless it was killed while it was idle."""
        try:
            worker.pipe.send((self._work, self._tasks[places[0]]))
        except OSError:
            self._remove(worker)
        else:
            worker.place = places.popleft()

    def _remove(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.end()


def _ready(workers: Sequence[_Worker]) -> list[_Worker]:
    """Those whose task has ended, or that have ended themselves; waits until there is one."""
    waited: list[Any] = [
        one for worker in workers for one in (worker.pipe, worker.process.sentinel)
    ]
    ready = connection.wait(waited)
    return [one for one in workers if one.pipe in ready or one.process.sentinel in ready]


def _end_of(status: int | None) -> str:
    """In words, how a process has ended that had a task."""
    if status is None or status >= 0:
        return f"its process ended with status {status}"
    with suppress(ValueError):
        name = signal.Signals(-status).name
        return f"its process was killed ({name}), perhaps for its memory"
    return f"its process was killed by signal {-status}"


def _serve(pipe: connection.Connection, parent: int) -> None:
    """Do the tasks that come, until none comes any more: what a worker is."""
    begin_worker(parent)
    while job := pipe.recv():
        with folders_within("task-"):
            outcome = outcome_of(*job)
        pipe.send(_that_arrives(outcome))


def begin_worker(parent: int) -> None:
    """End with ``parent``, compute on one thread, and leave Ctrl-C to the parent."""
    end_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A progress bar may have taken their place, whose lock another thread held at the fork.
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    one_thread()


def one_thread() -> None:
    """Have this process compute on one thread: those of several would be in each other's way."""
    os.environ["OMP_NUM_THREADS"] = "1"
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def _that_arrives(outcome: Outcome[Any]) -> Outcome[Any]:
    """``outcome``, or one in words where its error would not come out of another process."""
    if isinstance(outcome, Raised):
        try:
            pickle.loads(pickle.dumps(outcome))
        except Exception:
            error = outcome.error
            return Raised(RuntimeError(f"{type(error).__name__}: {error}"))
    return outcome
