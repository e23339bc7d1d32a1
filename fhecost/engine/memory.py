"""For how many processes the free memory is enough."""

from __future__ import annotations

from fhecost.hardware.limits import free_memory_bytes

_KEPT = 0.1
"""Share of the free memory that is left to others."""


def pool_size(tasks: int, threads: int, task_bytes: float, available: int | None = None) -> int:
    """How many tasks to do at once: as many as there are threads, and as memory holds.

    Args:
        tasks: how many there are in all.
        threads: hardware threads that may be used.
        task_bytes: what the process of one task holds at most.
        available: memory for all of them; what is free when None.
    """
    available = free_memory_bytes() if available is None else available
    held = threads if available is None else int((1 - _KEPT) * available // task_bytes)
    return max(1, min(tasks, threads, held))
