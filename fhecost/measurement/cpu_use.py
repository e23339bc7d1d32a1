"""What a step of a run had of the processors, and what others had of them meanwhile.

Read before and after the step, from inside the process that computes: its own seconds on the
processors, how long its threads were ready and waited for one, and what the system counts of
everyone on the processors that it may use. A hardware thread shares its core with others, so the
siblings of these count too. What another virtual machine on the same host takes is seen as far as
the host says so (steal); what it takes of caches and memory isn't seen here at all, but only in the
probes around a run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fhecost.fields import FiniteNonNegative, Positive
from fhecost.frozen import Frozen
from fhecost.hardware.cgroups import PROCESS, ROOT, cgroup_folders, read_words
from fhecost.units import duration, share

_TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_LEAST_S = 0.3
"""The system counts in ticks of 10 ms: in less time it says too little of others."""
_OTHERS = 0.1
"""Share of the processors' time that others may have beside a step that had them to itself."""
_LOST = 0.1
"""Seconds in one of the step's that its threads, all together, may lose waiting."""
_IDLE = (3, 4)
"""Fields of a line of ``/proc/stat`` that are no work: idle, and waiting for a disk."""
_STEAL = 7


class CpuUse(Frozen):
    """Of one step; all seconds are those of all threads together. None is what isn't told.

    ``cpus`` are the hardware threads that the process may use, with those that share a core with
    them. ``own_s`` is what the process computed, ``waited_s`` what its threads were ready to and
    had no processor for, ``others_s`` what other programs had of those processors, ``stolen_s``
    what other virtual machines had, and ``throttled_s`` how long a quota held the process's group
    back.
    """

    cpus: Positive
    wall_s: FiniteNonNegative
    own_s: FiniteNonNegative
    waited_s: FiniteNonNegative | None = None
    others_s: FiniteNonNegative | None = None
    stolen_s: FiniteNonNegative | None = None
    throttled_s: FiniteNonNegative | None = None

    @property
    def share(self) -> float | None:
        """How much of the processors' time that it was ready for the step had."""
        if self.waited_s is None or self.own_s + self.waited_s == 0:
            return None
        return self.own_s / (self.own_s + self.waited_s)

    @property
    def others_share(self) -> float | None:
        """How much of the processors' time other programs had."""
        if self.others_s is None or self.wall_s == 0:
            return None
        return self.others_s / (self.cpus * self.wall_s)

    @property
    def disturbances(self) -> tuple[str, ...]:
        """What took so much from the step that its time says little; none where it was alone."""
        return tuple(self._disturbances())

    def _disturbances(self) -> Iterator[str]:
        lost = _LOST * self.wall_s
        if self.others_share is not None and self.others_share > _OTHERS:
            yield f"other programs had {share(self.others_share)} of the processors"
        if self.throttled_s is not None and self.throttled_s > lost:
            yield f"a quota held it back for {duration(self.throttled_s)}"
        elif self.waited_s is not None and self.share is not None and self.waited_s > lost:
            yield f"it had {share(self.share)} of the processors' time that it was ready for"
        if self.stolen_s is not None and self.stolen_s > lost:
            yield f"other virtual machines took {duration(self.stolen_s)}"


@dataclass(frozen=True)
class Look:
    """The system's counters at one moment, seconds since some start."""

    at_s: float
    own_s: float
    cpus: frozenset[int]
    waited_s: float | None
    busy_s: float | None
    stolen_s: float | None
    throttled_s: float | None

    def until(self, after: Look, later: Look | None = None) -> CpuUse:
        """What the time between this look and ``after`` was used for.

        Args:
            after: when the step ended.
            later: a look some time after it. The system's counters say too little of less than
                ``0.3`` s: of a shorter step, others had what they had until ``later``.
        """
        wall_s, own_s = after.at_s - self.at_s, after.own_s - self.own_s
        last = after if later is None or wall_s >= _LEAST_S else later
        span_s = last.at_s - self.at_s
        part = wall_s / span_s if span_s >= _LEAST_S else None
        busy_s, stolen_s = _passed(self.busy_s, last.busy_s), _passed(self.stolen_s, last.stolen_s)
        if busy_s is not None:
            busy_s = max(0.0, busy_s - (last.own_s - self.own_s))
        return CpuUse(
            cpus=len(after.cpus),
            wall_s=wall_s,
            own_s=own_s,
            waited_s=_passed(self.waited_s, after.waited_s),
            others_s=None if part is None or busy_s is None else busy_s * part,
            stolen_s=None if part is None or stolen_s is None else stolen_s * part,
            throttled_s=_passed(self.throttled_s, after.throttled_s),
        )


def look(
    process: Path = Path("/proc/self"),
    stat: Path = Path("/proc/stat"),
    topology: Path = Path("/sys/devices/system/cpu"),
    cgroups: Path = ROOT,
) -> Look:
    """The counters of this process and of the processors that it may use, now.

    Args:
        process: as ``/proc/self``.
        stat: as ``/proc/stat``.
        topology: as ``/sys/devices/system/cpu``.
        cgroups: as ``/sys/fs/cgroup``.

    None of the files need be there.
    """
    cpus = _with_siblings(_affinity(), topology)
    busy_s, stolen_s = _of_all(stat, cpus)
    return Look(
        at_s=time.perf_counter(),
        own_s=time.process_time(),
        cpus=cpus,
        waited_s=_waited_s(process),
        busy_s=busy_s,
        stolen_s=stolen_s,
        throttled_s=_throttled_s(process / PROCESS.name, cgroups),
    )


def _affinity() -> frozenset[int]:
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def _with_siblings(cpus: frozenset[int], topology: Path) -> frozenset[int]:
    found = set(cpus)
    for cpu in cpus:
        listed = read_words(topology / f"cpu{cpu}" / "topology" / "thread_siblings_list")
        for part in filter(None, listed.split(",")):
            first, _, last = part.partition("-")
            found |= set(range(int(first), int(last or first) + 1))
    return frozenset(found)


def _of_all(stat: Path, cpus: frozenset[int]) -> tuple[float | None, float | None]:
    """Seconds that anyone worked on ``cpus``, and that other virtual machines did."""
    names = {f"cpu{cpu}" for cpu in cpus}
    lines = [line.split() for line in read_words(stat).splitlines()]
    counts = [[int(field) for field in line[1:]] for line in lines if line and line[0] in names]
    if len(counts) < len(cpus) or any(len(one) <= _STEAL for one in counts):
        return None, None
    # What guests of this machine do is in the first fields already, so what follows isn't added.
    busy = sum(sum(one[:_STEAL]) - sum(one[field] for field in _IDLE) for one in counts)
    return busy / _TICKS_PER_S, sum(one[_STEAL] for one in counts) / _TICKS_PER_S


def _waited_s(process: Path) -> float | None:
    """Seconds that the threads were ready and had no processor: the second of three counters."""
    words = [read_words(path).split() for path in (process / "task").glob("*/schedstat")]
    # A thread can have ended since the folder was read.
    waited = [int(one[1]) for one in words if len(one) > 1]
    return sum(waited) / 1e9 if waited else None


def _throttled_s(process: Path, cgroups: Path) -> float | None:
    """Seconds that quotas held back the groups of this process; None where nothing counts them."""
    found = []
    for folder in cgroup_folders(process, cgroups):
        counted = dict(
            line.split() for line in read_words(folder / "cpu.stat").splitlines() if " " in line
        )
        for name, per_s in (("throttled_usec", 1e6), ("throttled_time", 1e9)):
            if counted.get(name, "").isdecimal():
                found.append(int(counted[name]) / per_s)
    return sum(found) if found else None


def _passed(before: float | None, after: float | None) -> float | None:
    """Between two looks at a counter, which a thread that ended can have set back."""
    return None if before is None or after is None else max(0.0, after - before)
