"""Whether other programs are at work: the processors' time that isn't this program's own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from fhecost.progress import Progress
from fhecost.units import share as percentage

AT_WORK = 0.1
"""Share of the processors above which others are said to be at work: what a system does beside is
less, and a second program on two threads has half."""
_LOOK_S = 1.0
_COUNTED_S = 0.2
_QUIET_LOOKS = 2
_STAT = Path("/proc/stat")
_NEVER_IDLE = (1, 2, 3, 6, 7, 8)
"""user, nice, system, irq, softirq and steal, by their place in a line of /proc/stat."""


class Watch:
    """What others have of the processors that this process may use, from now on.

    Args:
        children: processes of ours that are still there; those that have ended are known.
    """

    def __init__(self, children: Callable[[], tuple[int, ...]] = tuple) -> None:
        self._children = children
        self._start = self._now()

    def others(self) -> float | None:
        """The share of the processors' time since then that others had; None where unknown.

        Time that a hypervisor gave to other machines counts as others'.
        """
        busy_s, own_s, at = self._now()
        before_s, own_before_s, since = self._start
        if busy_s is None or before_s is None or at <= since:
            return None
        all_s, ours_s = busy_s - before_s, own_s - own_before_s
        # Some sandboxes have the file, and count nothing in it.
        if ours_s > _COUNTED_S and all_s < ours_s / 2:
            return None
        return min(1.0, max(0.0, (all_s - ours_s) / (at - since) / _processors()))

    def _now(self) -> tuple[float | None, float, float]:
        return _busy_s(), _own_s(self._children()), time.monotonic()


def wait_for_quiet(
    most_s: float,
    progress: Progress,
    watch: Callable[[], Watch] = Watch,
    sleep: Callable[[float], None] = time.sleep,
) -> float:
    """Wait until others leave the processors alone, at most ``most_s`` seconds.

    Args:
        most_s: how long to wait; it is looked once anyway.
        progress: told what is waited for.
        watch: makes what is looked with.
        sleep: lets time go by.

    Returns:
        The seconds that it was waited for others.
    """
    waited_s, quiet = 0.0, 0
    while True:
        looking = watch()
        sleep(_LOOK_S)
        # Where it isn't known there is nothing to wait for.
        share = looking.others() or 0.0
        at_work = share > AT_WORK
        quiet = 0 if at_work else quiet + 1
        # Who wasn't at work at first needn't be looked for twice.
        if quiet >= _QUIET_LOOKS or (quiet and not waited_s) or waited_s >= most_s:
            return waited_s
        waited_s += _LOOK_S
        if at_work:
            progress(
                f"waiting for other programs, which have {percentage(share)} of the processors"
            )


def _busy_s() -> float | None:
    """Seconds that the processors of this process were at work since they were started."""
    names = _names()
    try:
        lines = _STAT.read_text(encoding="utf-8").splitlines()
        fields = [line.split() for line in lines if line.split(" ", 1)[0] in names]
        ticks = sum(int(each[place]) for each in fields for place in _NEVER_IDLE)
        return ticks / os.sysconf("SC_CLK_TCK") if fields else None
    except (OSError, ValueError, IndexError):
        return None


def _names() -> frozenset[str]:
    if not hasattr(os, "sched_getaffinity"):
        return frozenset({"cpu"})
    return frozenset(f"cpu{number}" for number in os.sched_getaffinity(0))


def _processors() -> int:
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    return len(os.sched_getaffinity(0))


def _own_s(children: tuple[int, ...]) -> float:
    """Seconds that this process, those of its children that have ended and ``children`` worked."""
    own = os.times()
    own_s = own.user + own.system + own.children_user + own.children_system
    return own_s + sum(map(_process_s, children))


def _process_s(process: int) -> float:
    """Seconds that ``process`` and its children that have ended were at work; 0 if it is gone."""
    try:
        # Its name, in brackets, may have anything in it.
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2]
        return sum(map(int, fields.split()[11:15])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return 0.0
