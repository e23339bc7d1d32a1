"""What differs between two circuits: counts, keys, stages, and the time that they take."""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from typing import Literal

from fhecost.circuits.profile import CircuitProfile, Stage
from fhecost.circuits.work import stage_units
from fhecost.frozen import Frozen
from fhecost.hardware.estimate import CircuitSummary, Estimate
from fhecost.hardware.estimator import Estimator, summarize
from fhecost.hardware.profile import HardwareProfile
from fhecost.hardware.refusals import estimates_or_refusals
from fhecost.version import VERSION

_LINES = re.compile(r"[^+]+:\d+(\+[^+]+:\d+)*")
"""The name of a stage without a tag: its lines."""


class StageChange(Frozen):
    """A stage that one circuit has and the other hasn't, or has otherwise."""

    before: Stage | None
    after: Stage | None

    @property
    def name(self) -> str:
        """What the stage is called."""
        stage = self.after or self.before
        assert stage is not None
        return stage.name

    @property
    def work_change(self) -> float:
        """Units of complexity that it has more than before."""
        before, after = (
            0.0 if stage is None else stage_units(stage) for stage in (self.before, self.after)
        )
        return after - before


class MachineChange(Frozen):
    """Both circuits on one machine; a circuit that it can't run has a reason instead of a time.

    ``ratio`` is the likely time after over that before: the figures of the machine are the same in
    both, so what is wrong with them is mostly wrong in both.
    """

    hardware: str
    title: str
    before: Estimate | None
    after: Estimate | None
    refused_before: str | None = None
    refused_after: str | None = None

    @property
    def ratio(self) -> float | None:
        """Time after over time before; None where one is unknown."""
        if self.before is None or self.after is None:
            return None
        return self.after.latency_s / self.before.latency_s


class DifferenceReport(Frozen):
    """What ``fhecost diff`` prints: both circuits, the stages that changed, and their times.

    Stages are the same if their names are; those without a tag are called by their line, which
    moves as a script is edited, so that equal ones of two lines are the same too.
    """

    schema_version: Literal[1] = 1
    fhecost_version: str
    before: CircuitSummary
    after: CircuitSummary
    stages: tuple[StageChange, ...]
    same_stages: int
    machines: tuple[MachineChange, ...]


def difference(
    before: CircuitProfile, after: CircuitProfile, hardware: Sequence[HardwareProfile]
) -> DifferenceReport:
    """What differs between two circuits.

    Args:
        before: one of them.
        after: the other one.
        hardware: the machines on which their times are compared.

    Raises:
        UsageError: a hardware profile is incomplete.
    """
    pairs = list(_pairs(before.stages, after.stages))
    changed = [pair for pair in pairs if _differ(*pair)]
    return DifferenceReport(
        fhecost_version=VERSION,
        before=summarize(before),
        after=summarize(after),
        stages=tuple(StageChange(before=old, after=new) for old, new in changed),
        same_stages=len(pairs) - len(changed),
        machines=tuple(_on_machine(before, after, machine) for machine in hardware),
    )


def _on_machine(
    before: CircuitProfile, after: CircuitProfile, machine: HardwareProfile
) -> MachineChange:
    name, estimators = machine.name, {machine.name: Estimator(machine)}
    made_before, refused_before = estimates_or_refusals(before, estimators)
    made_after, refused_after = estimates_or_refusals(after, estimators)
    return MachineChange(
        hardware=name,
        title=machine.title,
        before=made_before.get(name),
        after=made_after.get(name),
        refused_before=refused_before.get(name),
        refused_after=refused_after.get(name),
    )


def _pairs(
    before: Sequence[Stage], after: Sequence[Stage]
) -> Iterator[tuple[Stage | None, Stage | None]]:
    """Stages that are the same, in the order of ``after``; then those that are there no more."""
    left = {stage.name: stage for stage in before}
    same: dict[str, Stage] = {}
    for stage in after:
        found = left.get(stage.name)
        if found is not None and not _differ(found, stage):
            same[stage.name] = left.pop(stage.name)
    # A line that has moved does what it did, under the name of another line.
    moved: dict[Stage, deque[Stage]] = defaultdict(deque)
    for stage in left.values():
        if _LINES.fullmatch(stage.name):
            moved[_nameless(stage)].append(stage)
    for stage in after:
        candidates = moved[_nameless(stage)]
        if stage.name not in same and candidates and _LINES.fullmatch(stage.name):
            same[stage.name] = left.pop(candidates.popleft().name)
    for stage in after:
        if stage.name not in same and stage.name in left:
            same[stage.name] = left.pop(stage.name)
        yield same.get(stage.name), stage
    yield from ((stage, None) for stage in left.values())


def _differ(before: Stage | None, after: Stage | None) -> bool:
    return before is None or after is None or _nameless(before) != _nameless(after)


def _nameless(stage: Stage) -> Stage:
    """What the stage does, without its name and those of others."""
    return stage.changed(name="stage", predecessors=())
