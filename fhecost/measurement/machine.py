"""What machine this is, as far as a measurement needs to say."""

from __future__ import annotations

import datetime
import os
import platform
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydantic import Field

from fhecost.errors import ImpossibleError
from fhecost.fields import FiniteNonNegative, Positive, Threads
from fhecost.frozen import Frozen
from fhecost.hardware import limits
from fhecost.hardware.limits import Limits, this_limits
from fhecost.hardware.processor import Processor, this_processor

_PROBES_IN_A_ROW = 9
_OF_THE_MOMENT = frozenset({"load_average"})
"""What a machine says of itself that another run on it needn't share."""
_VENDORS = {"AMD": "AuthenticAMD", "Intel": "GenuineIntel"}


class Machine(Frozen):
    """The fingerprint of the machine that a measurement ran on."""

    processor: str
    family: str
    threads: Threads
    memory_bytes: Positive
    system: str
    python: str
    load_average: FiniteNonNegative
    cpu: Processor | None = Field(
        default=None, description="what tells it from others of its name; older records lack it"
    )
    limits: Limits | None = Field(
        default=None, description="what of it the process might use; older records lack it"
    )

    def differences(self, other: Machine) -> list[str]:
        """The fields that tell the two apart, but for what is of the moment."""
        fields = sorted(set(type(self).model_fields) - _OF_THE_MOMENT)
        return [name for name in fields if getattr(self, name) != getattr(other, name)]

    def identity(self) -> Processor:
        """What tells this machine from others of its name, as far as the record says.

        Older records have the name and the family alone; what they don't say tells nothing.
        """
        if self.cpu is not None:
            return self.cpu
        said = dict(re.findall(r"(cpu family|model) (\d+)", self.family))
        vendors = [vendor for word, vendor in _VENDORS.items() if word in self.processor]
        return Processor(
            vendor=vendors[0] if vendors else None,
            name=self.processor,
            family=int(said["cpu family"]) if "cpu family" in said else None,
            model=int(said["model"]) if "model" in said else None,
            threads=self.threads,
            memory_bytes=self.memory_bytes,
        )


def this_machine() -> Machine:
    """The fingerprint of this machine, read from ``/proc`` where there is one."""
    cpu = this_processor()
    known = {"cpu family": cpu.family, "model": cpu.model}
    return Machine(
        processor=cpu.name or "unknown",
        family=" ".join(f"{name} {value}" for name, value in known.items() if value is not None),
        threads=available_threads(),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        system=platform.system(),
        python=platform.python_version(),
        load_average=os.getloadavg()[0],
        cpu=cpu,
        limits=this_limits(),
    )


def now() -> str:
    """The time in UTC, ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def available_threads() -> int:
    """Hardware threads that this process may use.

    Raises:
        ImpossibleError: the system doesn't tell.
    """
    threads = limits.available_threads()
    if threads is None:
        raise ImpossibleError("the system doesn't tell how many threads it has")
    return threads


def peak_memory_bytes() -> int:
    """The most that this process has held, without what its parent had."""
    return _memory_bytes("VmHWM")


def file_memory_bytes() -> int:
    """What this process holds now of files, such as the libraries that it has loaded."""
    return _memory_bytes("RssFile")


def _memory_bytes(name: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {name}")


def probe_seconds(clock: Callable[[], float] = time.perf_counter, part: int = 1) -> float:
    """Seconds of one fixed computation on one thread, some 0.05 s on a processor of 2024.

    The same work at different times tells a machine that changed its speed: on a shared machine,
    one that others slow down. Arrays stay far below the 128 KiB from which the C library asks the
    kernel for fresh pages at every allocation: with those, the same work took 1.3 times as long in
    a process that had just started as in one that had freed large arrays before.

    Args:
        clock: seconds; ``time.thread_time`` for those that the thread had of a processor.
        part: only one in so many parts of the computation is done, and its time multiplied.
    """
    values = np.linspace(0.0, 1.0, 1 << 12)
    start = clock()
    for _ in range(1200 // part):
        values = np.fft.irfft(np.fft.rfft(values))
    return (clock() - start) * part


def settled_probe_seconds() -> float:
    """Median of some probes in a row: the machine's speed now, without its hiccups."""
    return statistics.median(probe_seconds() for _ in range(_PROBES_IN_A_ROW))
