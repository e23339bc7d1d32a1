"""What a worker does: the steps of the points that share a circuit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fhecost.accuracy.judge import Setting
from fhecost.accuracy.records import AccuracyRow
from fhecost.accuracy.sweep import JudgedSentences, installed_versions, judged_row
from fhecost.circuit_request import find_circuit
from fhecost.circuits.profile import CircuitProfile
from fhecost.errors import FhecostError, ImpossibleError, UsageError
from fhecost.gpt2.head_circuit import HeadRequest, compile_heads, locate, profile_heads
from fhecost.hardware.estimator import estimate
from fhecost.heads.variants import Variant
from fhecost.measurement.run_record import Prediction, RunRecord
from fhecost.measurement.timed_run import RunOptions, measure_compiled
from fhecost.plain import bounded_line
from fhecost.sweep.circuits import circuit_of
from fhecost.sweep.experiment import MeasureOptions, Step
from fhecost.sweep.plan import Plan, Planned, sweep_code
from fhecost.sweep.points import Point
from fhecost.sweep.records import (
    CircuitFigures,
    MeasuredRun,
    PointEstimate,
    PointProvenance,
    Status,
    SweepResult,
)
from fhecost.version import VERSION


@dataclass(frozen=True)
class SweepTask:
    """Points that share their circuit, and all that their steps need to know."""

    points: tuple[Planned, ...]
    steps: tuple[Step, ...]
    model: str
    sentences: JudgedSentences | None
    measure: MeasureOptions

    @property
    def point(self) -> Point:
        """One of the points: the others differ in their machines alone."""
        return self.points[0].point


def tasks_of(plan: Plan, points: Sequence[Planned]) -> list[SweepTask]:
    """The tasks of ``points``, some of the plan's."""
    return [
        SweepTask(
            points=group,
            steps=plan.steps,
            model=plan.models[group[0].point.model],
            sentences=plan.sentences,
            measure=plan.measure,
        )
        for group in plan.by_circuit(points)
    ]


def run_task(task: SweepTask) -> tuple[SweepResult, ...]:
    """The results of a task's points, failures among them."""
    parts = _Parts(task)
    status, reason = status_of(parts.take_steps)
    return tuple(_result(parts, one, status, reason) for one in task.points)


def lost(task: SweepTask, reason: str) -> tuple[SweepResult, ...]:
    """The results of a task whose worker has ended, or that couldn't be given to one."""
    said = bounded_line(reason)
    return tuple(_result(_Parts(task), one, "failed", said) for one in task.points)


def status_of(work: Callable[[], None]) -> tuple[Status, str | None]:
    """Do ``work``; whether it is done, and if not, why."""
    try:
        work()
    except ImpossibleError as error:
        return "impossible", bounded_line(str(error))
    except FhecostError as error:
        return "failed", bounded_line(str(error))
    except MemoryError:
        return "failed", "there isn't enough memory for this"
    except Exception as error:
        return "failed", bounded_line(f"unexpected {type(error).__name__}: {error}")
    return "done", None


class _Parts:
    """What the points of ``task`` share, as far as it is there."""

    def __init__(self, task: SweepTask) -> None:
        self.task = task
        self.counted: CircuitProfile | None = None
        self.compiled: CircuitProfile | None = None
        self.accuracy: AccuracyRow | None = None
        self.record: RunRecord | None = None

    def take_steps(self) -> None:
        """Come by all that is asked for; what is there by the first error stays."""
        task, steps = self.task, self.task.steps
        _check_same_code(task.points[0].provenance)
        circuit = circuit_of(task.point, steps, task.model)
        if circuit.counted is not None:
            self.counted = find_circuit(circuit.counted)
        heads = circuit.heads
        if heads is not None and "measure" in steps:
            machines = [one.machine for one in task.points if one.machine is not None]
            options = RunOptions(task.measure.threads, task.measure.warm_runs)
            self.record = measure_compiled(compile_heads(heads), machines, options)
            self.compiled = self.record.profile
        elif heads is not None and "compile" in steps:
            self.compiled = profile_heads(heads)
        if heads is not None and task.sentences is not None:
            self.accuracy = self._judged(heads, circuit.variant, task.sentences)

    def _judged(
        self, heads: HeadRequest, variant: Variant, sentences: JudgedSentences
    ) -> AccuracyRow:
        located = locate(heads)
        bits, length, mode = located.bits, heads.seq_len, self.task.point.mode
        setting = Setting(heads.layer, located.numbers, bits, length, mode, variant.name)
        return judged_row(self.task.model, sentences, setting, variant)


def _result(parts: _Parts, planned: Planned, status: Status, reason: str | None) -> SweepResult:
    """The result of one of the points, with its own machine's estimate."""
    circuit, machine, record = parts.compiled or parts.counted, planned.machine, parts.record
    made: list[PointEstimate] = []
    if circuit is not None and machine is not None:
        of_machine = status_of(lambda: made.append(PointEstimate.of(estimate(circuit, machine))))
        if status == "done":
            status, reason = of_machine
    predicted: Prediction | None = None
    if record is not None and machine is not None:
        predicted = next((one for one in record.predictions if one.hardware == machine.name), None)
    return SweepResult(
        key=planned.key,
        point=planned.point,
        steps=parts.task.steps,
        status=status,
        reason=reason,
        counted=None if parts.counted is None else CircuitFigures.of(parts.counted),
        compiled=None if parts.compiled is None else CircuitFigures.of(parts.compiled),
        accuracy=parts.accuracy,
        estimate=made[0] if made else None,
        measured=None if record is None else MeasuredRun.of(record, predicted),
        provenance=planned.provenance,
    )


def _check_same_code(provenance: PointProvenance) -> None:
    """Raise a UsageError unless this process has the code that the sweep was begun with."""
    own = provenance.changed(
        fhecost_version=VERSION, code=sweep_code(), versions=installed_versions()
    )
    difference = provenance.difference(own)
    if difference:
        raise UsageError(f"the worker has {difference}: install there what is installed here")
