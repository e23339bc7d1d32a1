"""Whether other programs are at work on this machine right now."""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

from fhecost.hardware.cgroups import read_words

_LOADAVG = Path("/proc/loadavg")
_LOOKS, _APART_S = 7, 0.01
"""Most programs that wake up are back asleep within some milliseconds."""

AT_WORK = "other programs are at work on this machine now: the estimate is for it without them"


def others_at_work(available: int | None, loadavg: Path = _LOADAVG) -> bool:
    """Whether other programs need processors that this process would use.

    Looked at some times within less than 0.1 s. Where the system doesn't tell, none are seen.

    Args:
        available: threads that this process may use; all when None.
        loadavg: as ``/proc/loadavg``.
    """
    machine = os.cpu_count() or 1
    wanted = min(available or machine, machine)
    seen = []
    for look in range(_LOOKS):
        if look:
            time.sleep(_APART_S)
        running = _running(loadavg)
        if running is None:
            return False
        seen.append(running)
    # One of those that run is this process.
    return statistics.median(seen) - 1 + wanted > machine


def _running(loadavg: Path) -> int | None:
    """How many threads run, or wait for a processor: before the stroke in the fourth field."""
    fields = read_words(loadavg).split()
    running = fields[3].partition("/")[0] if len(fields) > 3 else ""
    return int(running) if running.isdecimal() else None
