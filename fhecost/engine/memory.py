"""How much memory there is for processes, and for how many of them that is enough."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_CONTROL_GROUP = Path("/sys/fs/cgroup")
_KEPT = 0.1
"""Share of the free memory that is left to others."""


def available_bytes() -> int | None:
    """Memory that new processes may have without pushing others out; None where nothing tells.

    The least of what the kernel calls available and of what a container leaves.
    """
    found = [size for size in (_of_the_machine(), _of_the_container()) if size is not None]
    return min(found) if found else None


def _of_the_machine() -> int | None:
    with suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    with suppress(OSError, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None


def _of_the_container() -> int | None:
    """What the control group (version 2) of this process may still take; None without a limit."""
    with suppress(OSError, ValueError):
        most = int((_CONTROL_GROUP / "memory.max").read_text(encoding="utf-8"))
        used = int((_CONTROL_GROUP / "memory.current").read_text(encoding="utf-8"))
        # Files that were read are given up before any process is.
        for line in (_CONTROL_GROUP / "memory.stat").read_text(encoding="utf-8").splitlines():
            name, _, size = line.partition(" ")
            if name == "inactive_file":
                used -= int(size)
        return max(0, most - used)
    return None


def pool_size(tasks: int, threads: int, task_bytes: float, available: int | None = None) -> int:
    """How many tasks to do at once: as many as there are threads, and as memory holds.

    Args:
        tasks: how many there are in all.
        threads: hardware threads that may be used.
        task_bytes: what the process of one task holds at most.
        available: memory for all of them; what :func:`available_bytes` says when None.
    """
    available = available_bytes() if available is None else available
    held = threads if available is None else int((1 - _KEPT) * available // task_bytes)
    return max(1, min(tasks, threads, held))
