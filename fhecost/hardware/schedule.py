"""The order in which stages can run."""

from __future__ import annotations

from collections.abc import Callable

from fhecost.circuits.profile import Stage
from fhecost.circuits.workload import Workload


def dependency_levels(circuit: Workload) -> list[tuple[Stage, ...]]:
    """Stages by the length of their longest chain of predecessors.

    The stages of one level wait for nothing in it, so they can run together.
    """
    level_of: dict[str, int] = {}
    levels: list[list[Stage]] = []
    for stage in circuit.stages:
        level = 1 + max((level_of[name] for name in stage.predecessors), default=-1)
        level_of[stage.name] = level
        if level == len(levels):
            levels.append([])
        levels[level].append(stage)
    return [tuple(level) for level in levels]


def critical_path(circuit: Workload, seconds: Callable[[Stage], float | None]) -> float | None:
    """Seconds of the longest chain of stages that wait for each other.

    Args:
        circuit: its stages come after those that they wait for.
        seconds: of a stage; None where nothing is known, and then the chain is unknown too.
    """
    end: dict[str, float] = {}
    for stage in circuit.stages:
        alone_s = seconds(stage)
        if alone_s is None:
            return None
        end[stage.name] = max((end[name] for name in stage.predecessors), default=0.0) + alone_s
    return max(end.values(), default=0.0)
