"""Tasks on the workers of a Dask cluster: one of this machine, or the user's own.

Imported only where Dask is asked for. Work and tasks go to workers by pickle, and results back:
whoever can reach the scheduler can run code, so the cluster is trusted; see SECURITY.md.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import dask
import distributed
from distributed.comm.addressing import get_address_host_port

from fhecost.engine.local_pool import one_thread
from fhecost.engine.outcome import Lost, Outcome, Raised, Result, Task, outcome_of
from fhecost.errors import FieldError, ImpossibleError
from fhecost.hardware.limits import free_memory_bytes
from fhecost.processes import end_with, folders_within, temporary_folder

_PATIENCE_S = 10
"""For an answer of a scheduler."""
_ONCE_MORE = 1
"""How often a task whose worker died is tried again, on a cluster that is started here."""


@dataclass(frozen=True)
class DaskPool:
    """The workers of a Dask cluster, by a client of theirs; each does one task at a time."""

    client: Any

    def outcomes(
        self, work: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> Generator[tuple[int, Outcome[Result]], None, None]:
        """See :class:`fhecost.engine.outcome.Runner`.

        Raises:
            ImpossibleError: the scheduler is gone.
        """
        run = uuid.uuid4().hex

        def submitted(place: int, name: str) -> Any:
            return self.client.submit(
                *(_on_worker, work, tasks[place]),
                key=f"fhecost-{run}-{name}",
                pure=False,
            )

        places = {submitted(place, str(place)): place for place in range(len(tasks))}
        done = distributed.as_completed(list(places), loop=self.client.loop)
        suspects = []
        try:
            for future in done:
                place = places.pop(future)
                outcome = _outcome(future)
                if isinstance(outcome, Lost):
                    suspects.append(place)
                else:
                    yield place, outcome
                # The cluster keeps a result as long as somebody may ask for it.
                future.release()
            # To a scheduler, all tasks that a worker has been sent are at work when it ends, those
            # too that wait there. With no other beside it, a task answers for itself.
            for place in suspects:
                future = submitted(place, f"{place}-alone")
                places[future] = place
                yield place, _outcome(future)
                del places[future]
        finally:
            # What can't be told to a scheduler that is gone needs not be.
            with suppress(Exception):
                self.client.cancel(list(places), force=True)


def _outcome(future: Any) -> Any:
    """What became of a task that has ended, or of its worker.

    A result that ended with its worker before it was fetched is waited for: it is made once more.
    """
    try:
        return future.result()
    except CancelledError as error:
        raise ImpossibleError(
            "the connection to the Dask scheduler is lost; what was finished is kept"
        ) from error
    except distributed.KilledWorker as ended:
        tried = ended.allowed_failures + 1
        return Lost(f"{tried} workers ended while they were at it, perhaps for their memory")
    except Exception as error:
        return Raised(error)


_ONE_AT_A_TIME = threading.Lock()


def _on_worker(work: Callable[[Any], Any], task: Any) -> Outcome[Any]:
    """Do a task; a worker of several threads does one at a time, since models are shared."""
    with _ONE_AT_A_TIME, folders_within("task-"):
        one_thread()
        return outcome_of(work, task)


@contextmanager
def cluster_here(workers: int) -> Iterator[DaskPool]:
    """A cluster of so many worker processes of this machine, which share its free memory.

    Raises:
        FieldError: there can be no such number of workers.
        ImpossibleError: it can't be started.
    """
    if workers < 1:
        raise FieldError("dask", "must be at least 1", workers)
    memory = free_memory_bytes()
    settings = {"distributed.scheduler.allowed-failures": _ONCE_MORE}
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(settings))
        try:
            cluster = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=True,
                    host="127.0.0.1",
                    dashboard_address=None,
                    memory_limit=None if memory is None else memory // workers,
                    local_directory=str(temporary_folder("dask-")),
                    silence_logs=logging.CRITICAL,
                )
            )
            client = stack.enter_context(distributed.Client(cluster, set_as_default=False))
            client.register_plugin(_EndsWith(os.getpid()))
        except (OSError, RuntimeError, TimeoutError) as error:
            raise ImpossibleError(f"no Dask cluster could be started here: {error}") from error
        yield DaskPool(client)


class _EndsWith(distributed.WorkerPlugin):  # type: ignore[misc]
    """A worker that ends with its parent, also while compiled code runs."""

    name = "ends with its parent"

    def __init__(self, parent: int) -> None:
        self._parent = parent

    def setup(self, worker: Any) -> None:
        """Called on each worker, also on one that stands in for another."""
        end_with(self._parent)


@contextmanager
def cluster_at(scheduler: str) -> Iterator[DaskPool]:
    """The cluster whose scheduler is at an address such as ``tcp://10.0.0.1:8786``.

    Raises:
        FieldError: no scheduler answers there.
    """
    try:
        # A client that finds nobody tries on, and complains when the process ends.
        host, port = get_address_host_port(scheduler)
        socket.create_connection((host, port), _PATIENCE_S).close()
        client = distributed.Client(scheduler, timeout=_PATIENCE_S, set_as_default=False)
    except (OSError, ValueError, TypeError, TimeoutError) as error:
        why = f"no Dask scheduler answers there: {error}"
        raise FieldError("scheduler", why, scheduler) from error
    try:
        yield DaskPool(client)
    finally:
        client.close()
