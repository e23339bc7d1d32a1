"""Where tasks are to be done: here, in processes of this machine, or on Dask's workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fhecost.engine.local_pool import LocalPool
from fhecost.engine.outcome import Runner
from fhecost.errors import UsageError


@contextmanager
def runner(
    processes: int, *, dask: int | None = None, scheduler: str | None = None
) -> Iterator[Runner]:
    """Processes of this machine, ``dask`` workers on it, or the cluster at ``scheduler``.

    Raises:
        UsageError: Dask isn't installed, no scheduler answers, or both of them are named.
        ImpossibleError: no cluster can be started.
    """
    if dask is None and scheduler is None:
        yield LocalPool(processes)
        return
    if dask is not None and scheduler is not None:
        raise UsageError("dask and scheduler: name one of them, workers here or a cluster")
    try:
        from fhecost.engine.dask_cluster import cluster_at, cluster_here
    except ImportError as error:
        raise UsageError("Dask needs: pip install 'fhecost[sweep]'") from error
    opened = cluster_at(scheduler) if scheduler is not None else cluster_here(dask or 0)
    with opened as pool:
        yield pool
