"""The order in which stages can run."""

from __future__ import annotations

from fhecost.circuits.profile import CircuitProfile, Stage


def dependency_levels(circuit: CircuitProfile) -> list[tuple[Stage, ...]]:
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
