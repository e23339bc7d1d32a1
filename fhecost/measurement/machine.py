"""What machine this is, as far as a measurement needs to say."""

from __future__ import annotations

import datetime
import os
import platform
import statistics
import time
from pathlib import Path

import numpy as np

from fhecost.errors import ImpossibleError
from fhecost.fields import FiniteNonNegative, Positive, Threads
from fhecost.frozen import Frozen

_PROBES_IN_A_ROW = 9


class Machine(Frozen):
    """The fingerprint of the machine that a measurement ran on."""

    processor: str
    family: str
    threads: Threads
    memory_bytes: Positive
    system: str
    python: str
    load_average: FiniteNonNegative


def this_machine() -> Machine:
    """The fingerprint of this machine, read from ``/proc`` where there is one."""
    info = _processor_info()
    return Machine(
        processor=info.get("model name", platform.processor() or "unknown"),
        family=" ".join(
            f"{name} {info[name]}" for name in ("cpu family", "model", "stepping") if name in info
        ),
        threads=available_threads(),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        system=platform.system(),
        python=platform.python_version(),
        load_average=os.getloadavg()[0],
    )


def now() -> str:
    """The time in UTC, ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def available_threads() -> int:
    """Hardware threads that this process may use.

    Raises:
        ImpossibleError: the system doesn't tell.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    threads = os.cpu_count()
    if threads is None:
        raise ImpossibleError("the system doesn't tell how many threads it has")
    return threads


def peak_memory_bytes() -> int:
    """The most that this process has held, without what its parent had."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no VmHWM")


def probe_seconds() -> float:
    """Seconds of one fixed computation on one thread, some 0.05 s on a processor of 2024.

    The same work at different times tells a machine that changed its speed: on a shared machine,
    one that others slow down. Arrays stay far below the 128 KiB from which the C library asks the
    kernel for fresh pages at every allocation: with those, the same work took 1.3 times as long in
    a process that had just started as in one that had freed large arrays before.
    """
    values = np.linspace(0.0, 1.0, 1 << 12)
    start = time.perf_counter()
    for _ in range(1200):
        values = np.fft.irfft(np.fft.rfft(values))
    return time.perf_counter() - start


def settled_probe_seconds() -> float:
    """Median of some probes in a row: the machine's speed now, without its hiccups."""
    return statistics.median(probe_seconds() for _ in range(_PROBES_IN_A_ROW))


def _processor_info() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    first = path.read_text(encoding="utf-8").split("\n\n", 1)[0]
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}
