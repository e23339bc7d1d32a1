"""How much of a machine this process may use: by its affinity, and by the quota of its group.

A container limited to one processor still sees all of them, and so does a program under
``taskset``; what is estimated and measured there goes by what it may use.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field

from fhecost.fields import LARGEST_COUNT, Positive
from fhecost.frozen import Frozen
from fhecost.hardware.cgroups import PROCESS, ROOT, cgroup_folders, read_words
from fhecost.hardware.profile import HardwareProfile
from fhecost.provenance import Figure, Source
from fhecost.units import amount

_NO_LIMIT_BYTES = 2**60
"""The first version of control groups states no limit as the largest number of whole pages."""


class Limits(Frozen):
    """What the system lets a process use; None is no limit, or one that isn't told.

    ``threads`` are the hardware threads of its affinity, ``quota_cpus`` how many processors' time
    its group has, 1.5 for one and a half, ``memory_bytes`` what its group may hold.
    """

    threads: Positive | None = None
    quota_cpus: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    memory_bytes: Positive | None = None

    @property
    def available(self) -> int | None:
        """Threads that are worth starting: no more than there is time for."""
        if self.quota_cpus is None or self.threads is None:
            return self.threads
        return max(1, min(self.threads, math.ceil(self.quota_cpus)))

    @property
    def thread_share(self) -> float:
        """How much of a processor each of the available threads has when all of them work."""
        if self.quota_cpus is None or self.available is None:
            return 1.0
        return min(1.0, self.quota_cpus / self.available)


def this_limits() -> Limits:
    """What this process may use of this machine."""
    return read_limits(_affinity(), PROCESS, ROOT)


def read_limits(threads: int | None, process: Path, root: Path) -> Limits:
    """What the control groups below ``root`` leave of ``threads``.

    Args:
        threads: of the affinity.
        process: as ``/proc/self/cgroup``; it need not be there.
        root: as ``/sys/fs/cgroup``; it need not be there.
    """
    folders = cgroup_folders(process, root)
    return Limits(
        threads=threads,
        quota_cpus=_least(map(_quota, folders)),
        memory_bytes=_least(map(_memory, folders)),
    )


def available_threads() -> int | None:
    """Hardware threads that this process may use; None where the system doesn't tell."""
    return this_limits().available


def free_memory_bytes(
    meminfo: Path = Path("/proc/meminfo"), process: Path = PROCESS, root: Path = ROOT
) -> int | None:
    """Memory that this process may still have; None where the system doesn't tell.

    Args:
        meminfo: as ``/proc/meminfo``.
        process: as ``/proc/self/cgroup``.
        root: as ``/sys/fs/cgroup``.
    """
    lines = (line.split() for line in read_words(meminfo).splitlines())
    known = {line[0]: _positive(line[1]) for line in lines if len(line) > 1}
    kilobytes = known.get("MemAvailable:")
    left = [None if kilobytes is None else kilobytes * 1024]
    for folder in cgroup_folders(process, root):
        limit = _memory(folder)
        used = [
            _positive(read_words(folder / name))
            for name in ("memory.current", "memory.usage_in_bytes")
        ]
        if limit is not None:
            left.append(max(0, limit - (_least(used) or 0) + _given_up(folder)))
    return _least(left)


def _given_up(folder: Path) -> int:
    """Bytes of files that were read, which the system gives up before any process."""
    words = (line.split() for line in read_words(folder / "memory.stat").splitlines())
    known = {line[0]: line[1] for line in words if len(line) > 1}
    return _positive(known.get("inactive_file", known.get("total_inactive_file", ""))) or 0


def within(hardware: HardwareProfile, limits: Limits) -> HardwareProfile:
    """``hardware``, a CPU, with what ``limits`` leave of it, and words of what they took.

    Fewer threads run at least as fast each as all together did. A quota that is no whole number of
    processors slows all threads when they work together, one below 1 whatever is done. What a quota
    took at the calibration already is in the figures, and isn't taken twice.
    """
    figures, said = dict(hardware.figures), []
    threads, available = figures.get("threads"), limits.available
    if threads is not None and available is not None and available != threads.value:
        if available > threads.value:
            said.append(
                f"this process may use {available} threads, {hardware.name} was calibrated with "
                f"{threads.value:.0f}: the estimate is for these"
            )
        else:
            why = f"of {threads.value:.0f} threads this process may use {available}"
            if available != limits.threads:
                why += f": its group has a quota of {_processors(limits)}"
            figures["threads"] = Figure(value=available, source=Source.MEASURED, ref=why)
            said.append(why)
            if "thread_efficiency" in figures:
                figures["thread_efficiency"] = _changed(figures["thread_efficiency"], high=1.0)
    slower, fuller = _by_quotas(hardware, limits)
    quota = "no quota" if limits.quota_cpus is None else f"a quota of {_processors(limits)}"
    if hardware.calibrated_thread_share is not None:
        quota += f", {hardware.calibrated_thread_share:.0%} of a thread at the calibration"
    kinds = hardware.pbs
    if slower != 1:
        figures |= _lengthened(hardware.figures, slower)
        if kinds is not None:
            kinds = {
                kind: of.changed(figures={**of.figures, **_lengthened(of.figures, slower)})
                for kind, of in kinds.items()
            }
        said.append(f"{quota}: everything takes {slower:.3g} times as long")
    if fuller != 1 and "thread_efficiency" in figures:
        figures["thread_efficiency"] = _times(figures["thread_efficiency"], fuller, most=1.0)
        of_each = f"{fuller:.0%} of one each" if fuller < 1 else f"{fuller:.3g} times as much each"
        said.append(f"{quota}: {available} threads at work have {of_each}")
    memory, limit = figures.get("memory_bytes"), limits.memory_bytes
    if limit is not None and (memory is None or limit < memory.value):
        of = "" if memory is None else f"of {amount(memory.value, 'B')} of memory "
        why = f"{of}this process may use {amount(limit, 'B')}"
        figures["memory_bytes"] = Figure(value=limit, source=Source.MEASURED, ref=why)
        said.append(why)
    if not said:
        return hardware
    return hardware.changed(figures=figures, pbs=kinds, assumptions=(*hardware.assumptions, *said))


def _lengthened(figures: Mapping[str, Figure], slower: float) -> dict[str, Figure]:
    """The times among ``figures``, each ``slower`` times as long."""
    return {
        name: _times(figure, slower)
        for name, figure in figures.items()
        if name.endswith("_s") and not name.endswith("_per_s")
    }


def _by_quotas(hardware: HardwareProfile, limits: Limits) -> tuple[float, float]:
    """By what quotas multiply all times, and what threads that work together have of one each.

    One thread alone is held back by a quota below one processor only, whatever it does; several
    are held back when all work.
    """
    slower = fuller = 1.0
    before, threads = hardware.calibrated_thread_share, hardware.figures.get("threads")
    if before is not None and threads is not None and threads.value == 1:
        slower *= before
    elif before is not None:
        fuller /= before
    if limits.available == 1:
        slower /= limits.thread_share
    else:
        fuller *= limits.thread_share
    return _not_one(slower), _not_one(fuller)


def _not_one(factor: float) -> float:
    """``factor``, or just 1 where it is so by all but rounding."""
    return 1.0 if math.isclose(factor, 1.0, rel_tol=0.01) else factor


def _processors(limits: Limits) -> str:
    quota = limits.quota_cpus or 0.0
    return f"{quota:.3g} processor{'' if quota == 1 else 's'}"


def _affinity() -> int | None:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _quota(folder: Path) -> float | None:
    """Processors' time that the group has, by either version's files."""
    quota, _, period = read_words(folder / "cpu.max").partition(" ")
    if not period:
        quota = read_words(folder / "cpu.cfs_quota_us")
        period = read_words(folder / "cpu.cfs_period_us")
    allowed, of = _positive(quota), _positive(period)
    return None if allowed is None or of is None else allowed / of


def _memory(folder: Path) -> int | None:
    limits = (
        _positive(read_words(folder / name)) for name in ("memory.max", "memory.limit_in_bytes")
    )
    return _least(limit for limit in limits if limit is None or limit < _NO_LIMIT_BYTES)


def _positive(text: str) -> int | None:
    """The number that ``text`` is, if it is one that limits: the files say max, and -1, too."""
    return int(text) if text.isdecimal() and 0 < int(text) <= LARGEST_COUNT else None


_Number = TypeVar("_Number", int, float)


def _least(found: Iterable[_Number | None]) -> _Number | None:
    return min((one for one in found if one is not None), default=None)


def _changed(figure: Figure, **fields: float | None) -> Figure:
    return Figure(**{**dict(figure), **fields})


def _times(figure: Figure, factor: float, *, most: float = math.inf) -> Figure:
    ends = {"low": figure.low, "high": figure.high}
    known = {name: min(most, end * factor) for name, end in ends.items() if end is not None}
    value = min(most, figure.value * factor)
    return _changed(figure, value=value, standard_error=None, **known)
