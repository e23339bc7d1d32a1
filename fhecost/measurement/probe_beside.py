"""The probe beside the work: what a processor does in a second while the work runs, not around it.

Concrete gives Python's lock away while a circuit runs, so a thread of the same process can time a
piece of the probe now and then, on the same processors, in the same seconds. It takes the seconds
that it had of a processor, not those of the clock: waiting is counted in
:mod:`fhecost.measurement.cpu_use`. What remains is how fast that processor was, with the work's own
threads and everybody else's beside it on the same core, in the same cache, at the same memory: what
a tenant of the host changes there, no counter of the system shows.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType

from fhecost.measurement.machine import probe_seconds

_PART = 4
"""A piece takes 12 ms instead of 50."""
_FIRST_S, _EACH_S = 0.5, 2.0
"""Every two seconds: less than one in a hundred of one thread's seconds."""


class ProbeBeside:
    """A context whose ``seconds`` are those of each probe, none where the work is short."""

    def __init__(self, first_s: float = _FIRST_S, each_s: float = _EACH_S) -> None:
        self.seconds: list[float] = []
        self._waits = first_s, each_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._probe, daemon=True)

    def __enter__(self) -> ProbeBeside:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def _probe(self) -> None:
        first_s, each_s = self._waits
        wait_s = first_s
        while not self._done.wait(wait_s):
            seconds = probe_seconds(time.thread_time, _PART)
            # One that the end of the work cut into ran beside something else.
            if not self._done.is_set():
                self.seconds.append(seconds)
            wait_s = each_s
