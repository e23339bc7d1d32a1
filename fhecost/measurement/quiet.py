"""Waiting until other programs leave the processors alone."""

from __future__ import annotations

import time
from collections.abc import Callable

from fhecost.measurement.cpu_use import CpuUse, Look, look
from fhecost.progress import Progress

AT_WORK = 0.1
"""Share of the processors above which others are worth waiting for: what a system does beside is
less, and a second program on two threads has half."""
_LOOK_S = 1.0
_QUIET_LOOKS = 2


def others_at_work(use: CpuUse) -> bool:
    """Whether other programs had a good part of the processors; not where that isn't told."""
    return (use.others_share or 0.0) > AT_WORK


def wait_for_quiet(
    most_s: float,
    progress: Progress,
    looks: Callable[[], Look] = look,
    sleep: Callable[[float], None] = time.sleep,
) -> float:
    """Wait until others leave the processors alone, at most ``most_s`` seconds.

    Args:
        most_s: how long to wait; it is looked once anyway.
        progress: told what is waited for.
        looks: reads the system's counters.
        sleep: lets time go by.

    Returns:
        The seconds that it was waited for others.
    """
    waited_s, quiet = 0.0, 0
    while True:
        before = looks()
        sleep(_LOOK_S)
        use = before.until(looks())
        quiet = 0 if others_at_work(use) else quiet + 1
        # Who wasn't at work at first needn't be looked for twice.
        if quiet >= _QUIET_LOOKS or (quiet and not waited_s) or waited_s >= most_s:
            return waited_s
        waited_s += _LOOK_S
        if not quiet:
            progress(f"waiting: {'; '.join(use.disturbances)}")
