"""What every latency model shares: its contract, and how its costs become an estimate.

A latency model turns a circuit profile and a machine's figures into costs: seconds by stage and
operation. It does so for three cases of the figures (likely, all at their fast end, all at their
slow end); the estimate's range is the range of the totals, so it always contains the estimate.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from copy import copy
from operator import attrgetter
from typing import ClassVar, Generic, Self, TypeVar, cast

from fhecost.circuits.profile import CircuitProfile, Stage
from fhecost.circuits.work import ciphertext_bytes
from fhecost.circuits.workload import Workload
from fhecost.errors import ImpossibleError, UsageError
from fhecost.files import checked
from fhecost.hardware.bootstraps import CLASSIC, PbsAlgorithm, figure_names
from fhecost.hardware.cost import NARROW as NARROW
from fhecost.hardware.cost import Case as Case
from fhecost.hardware.cost import Cost as Cost
from fhecost.hardware.cost import Lanes as Lanes
from fhecost.hardware.estimate import (
    OPERATIONS,
    Bottleneck,
    Estimate,
    MemoryUse,
    Operation,
    Preparation,
    StageEstimate,
)
from fhecost.hardware.figures import ExtrapolatedFigures as ExtrapolatedFigures
from fhecost.hardware.figures import Figures as Figures
from fhecost.hardware.figures import optional as optional
from fhecost.hardware.memory import Held, memory_assumptions, memory_use, spill_s
from fhecost.hardware.profile import KINDS, HardwareProfile, Kind, PbsKind
from fhecost.hardware.roofline import roof_of
from fhecost.provenance import (
    Figure,
    Source,
    weaker,
    weakest,
)

ALL_KEYS = "(all keys)"
HOST_TRANSFER = "(host transfer)"
IN_AND_OUT = "(inputs and outputs)"
"""What belongs to no stage of the circuit; the parentheses keep it apart from every stage."""

_ONLY_TRANSFER = (
    "unknown: what starting a run and moving its inputs and outputs takes; of a circuit without "
    "lookups that is nearly all, so a run takes longer than the range says"
)

F = TypeVar("F", bound=Figures)
K = TypeVar("K", bound=Hashable)


class LatencyModel(ABC, Generic[F]):
    """A pure function from (circuit profile, hardware profile) to an estimate."""

    figures_type: ClassVar[type[Figures]]
    assumptions: ClassVar[tuple[str, ...]]
    left_out: ClassVar[frozenset[Operation]] = frozenset()
    """Operations that the model says nothing of: unknown in the estimate, not zero."""
    pbs_kinds: ClassVar[frozenset[PbsKind]] = frozenset({"classic"})
    """The kinds of PBS that the model can cost: those whose steps, work and keys it asks of
    ``pbs``."""
    pbs: PbsAlgorithm = CLASSIC
    kinds: ClassVar[frozenset[Kind]] = KINDS
    """The kinds of machines that the model describes."""

    @abstractmethod
    def refusal(self, circuit: Workload, figures: F) -> str | None:
        """Why the machine can't run ``circuit`` and what would fit; None when it can."""

    @abstractmethod
    def costs(self, circuit: Workload, figures: F, case: Case) -> list[Cost]:
        """The costs of ``circuit``; they add up to its latency. What takes no time may be there."""

    def of_kind(self, pbs: PbsAlgorithm) -> Self:
        """This model with another kind of PBS."""
        made = copy(self)
        made.pbs = pbs
        return made

    def lanes(self, figures: F) -> Lanes | None:
        """What batches of PBS run on side by side; None where the model knows no batches."""
        return None

    def alone_s(self, stage: Stage, figures: F) -> float | None:
        """Seconds of the lookups of ``stage`` with nothing else to do and no lack of lanes.

        Its steps wait for each other, so more lanes of the same kind can't undercut it. None where
        the model says nothing of it.
        """
        return None

    def preparation(
        self, circuit: Workload, figures: F, warm_s: float, case: Case = Case.LIKELY
    ) -> Preparation | None:
        """Key generation, first run and memory, given a warm run's time; None if unknown."""
        return None

    def held(self, circuit: Workload, figures: F) -> Held | None:
        """The keys that each device holds, its lanes, and devices; None if nothing is known."""
        return None

    def notes(self, figures: F) -> tuple[str, ...]:
        """What an estimate on a machine with these figures leaves out, beside the assumptions."""
        return ()

    def leaves_out(self, figures: F) -> frozenset[Operation]:
        """Operations that the model says nothing of, on a machine with these figures."""
        return self.left_out

    @classmethod
    def kind_fault(cls, kind: str) -> str | None:
        """Why a machine of this kind can't have this model; None where it can."""
        if kind in cls.kinds or kind not in KINDS:
            return None
        others = ", ".join(sorted(cls.kinds))
        return f"latency_model: describes machines of kind {others}, not {kind}"

    def read_figures(self, hardware: HardwareProfile) -> F:
        """The machine's figures, checked against what this model needs.

        Raises:
            UsageError: a figure is missing, unknown or out of range; the field's path is named. Or
                the model doesn't describe machines of this kind.
        """
        fault = self.kind_fault(hardware.kind)
        if fault is not None:
            raise UsageError(f"{hardware.name}: {fault}")
        of_pbs = figure_names(hardware.pbs_kind)
        content = {
            name: vars(figure) for name, figure in hardware.figures.items() if name not in of_pbs
        }
        figures = checked(self.figures_type, content, f"{hardware.name}: figures.")
        return cast("F", figures)

    def estimate(
        self, circuit: CircuitProfile, hardware: HardwareProfile, figures: F, hardware_hash: str
    ) -> Estimate:
        """The estimate for ``circuit`` on ``hardware``, whose figures and hash are given.

        Raises:
            ImpossibleError: the machine can't run the circuit.
        """
        seen, left_out = self.pbs.seen(circuit), self._unknown(figures)
        costs = self._likely(circuit, seen, hardware, figures)
        memory = self._memory(seen, figures) if self.pbs.own_keys else None
        if isinstance(memory, str):
            raise ImpossibleError(f"{hardware.name}: {memory}")
        total = sum(cost.latency_s for cost in costs)
        low, high = (
            sum(cost.latency_s for cost in self._all_costs(circuit, seen, figures, case))
            for case in (Case.FAST, Case.SLOW)
        )
        by_source = _seconds_by(costs, attrgetter("source"))
        return Estimate(
            hardware=hardware.name,
            title=hardware.title,
            kind=hardware.kind,
            availability=hardware.availability,
            pbs_kind=self.pbs.name,
            p_error_at_most=self.pbs.p_error_at_most(circuit.p_error, circuit),
            latency_model=hardware.latency_model,
            latency_s=total,
            low_s=low,
            high_s=high + spill_s(memory, figures.host_link_bytes_per_s),
            bottleneck=_largest(costs),
            by_stage=_by_stage(costs, left_out),
            idle_s=sum(cost.latency_s - cost.at_work_s for cost in costs),
            critical_path_s=_critical_path(seen, lambda stage: self.alone_s(stage, figures))
            if self.pbs.own_keys
            else None,
            by_operation_s=by_operation(costs, left_out),
            sources={source: by_source[source] / total for source in Source if source in by_source},
            assumptions=(
                *self.assumptions,
                *hardware.assumptions,
                *self.pbs.notes(circuit),
                *self.notes(figures),
                *((_ONLY_TRANSFER,) if "transfer" in left_out and not circuit.pbs_count else ()),
                *(memory_assumptions(memory) if memory else ()),
            ),
            memory=memory,
            roof=roof_of(circuit, costs, figures),
            references=hardware.references,
            hardware_hash=hardware_hash,
            circuit_hash=circuit.hash,
            preparation=self.preparation(seen, figures, total) if self.pbs.classic_keys else None,
            energy_j=_times(total, figures.power_w),
            price_usd=_times(total / 3600, figures.price_usd_per_hour),
        )

    def _memory(self, circuit: Workload, figures: F) -> MemoryUse | str | None:
        held = self.held(circuit, figures)
        if held is None:
            return None
        return memory_use(circuit, held, figures.memory_bytes, figures.host_link_bytes_per_s)

    def likely_costs(self, circuit: Workload, hardware: HardwareProfile, figures: F) -> list[Cost]:
        """The likely costs of ``circuit`` on ``hardware``, which needs to be no whole circuit.

        Raises:
            ImpossibleError: the machine can't run it.
        """
        return self._likely(circuit, self.pbs.seen(circuit), hardware, figures)

    def _likely(
        self, circuit: Workload, seen: Workload, hardware: HardwareProfile, figures: F
    ) -> list[Cost]:
        kind = self.pbs.name
        if kind not in self.pbs_kinds or (not self.pbs.own_keys and self.lanes(figures) is None):
            raise ImpossibleError(
                f"{hardware.name}: its latency model {hardware.latency_model} can't cost {kind} PBS"
            )
        reason = self.pbs.refusal(circuit) or self.refusal(seen, figures)
        if reason is not None:
            raise ImpossibleError(f"{hardware.name}: {reason}")
        every = self._all_costs(circuit, seen, figures, Case.LIKELY)
        costs = [cost for cost in every if cost.latency_s > 0]
        if not costs:
            raise ImpossibleError(f"{hardware.name}: the circuit has no operation with a cost")
        return costs

    def _all_costs(self, circuit: Workload, seen: Workload, figures: F, case: Case) -> list[Cost]:
        """Those of the circuit as the kind of PBS has it run, ``seen``, and the kind's own."""
        costs = [self._resting_on_kind(cost) for cost in self.costs(seen, figures, case)]
        lanes = self.lanes(figures)
        return costs if lanes is None else [*costs, *self.pbs.own_costs(circuit, lanes, case)]

    def _resting_on_kind(self, cost: Cost) -> Cost:
        """A cost of PBS rests on what is known of the kind too."""
        of_kind = [figure.source for _, figure in self.pbs.figures]
        if cost.operation != "pbs" or not of_kind:
            return cost
        return cost._replace(source=weaker(cost.source, *of_kind))

    def _unknown(self, figures: F) -> frozenset[Operation]:
        """What the model says nothing of, the keys too where the kind of PBS has others."""
        left_out = self.leaves_out(figures)
        return left_out if self.pbs.own_keys else left_out | {"keys"}


def _times(quantity: float, figure: Figure | None) -> float | None:
    return None if figure is None else quantity * figure.value


def streamed_linear_cost(
    stage: Stage, passes: Figure, bandwidth: Figure, case: Case, devices: Figure
) -> Cost:
    """Linear operations that stream each ciphertext ``passes`` times through memory."""
    touched = sum(use.count * ciphertext_bytes(use.lwe_dimension) for use in stage.linear)
    seconds = touched * case.cost(passes) / case.rate(bandwidth) / devices.value
    source = weakest(passes, bandwidth, devices)
    return Cost(stage.name, "linear", seconds, Bottleneck.MEMORY_BANDWIDTH, source)


def transfer_cost(circuit: Workload, link: Figure, start: Figure | None, case: Case) -> Cost:
    """Inputs and outputs that cross the host link once, each way with its ``start``."""
    moved = [size for size in (circuit.input_bytes, circuit.output_bytes) if size]
    seconds = sum(moved) / case.rate(link)
    if start is not None:
        seconds += len(moved) * case.cost(start)
    source = weakest(link, *([start] if start is not None else []))
    return Cost(HOST_TRANSFER, "transfer", seconds, Bottleneck.TRANSFER, source, busy_s=0.0)


def by_operation(
    costs: Sequence[Cost], left_out: frozenset[Operation]
) -> dict[Operation, float | None]:
    """Seconds by operation; None for those ``left_out``, of which nothing is known."""
    seconds = _seconds_by(costs, attrgetter("operation"))
    return {name: None if name in left_out else seconds.get(name, 0.0) for name in OPERATIONS}


def _by_stage(costs: Sequence[Cost], left_out: frozenset[Operation]) -> tuple[StageEstimate, ...]:
    grouped: dict[str, list[Cost]] = defaultdict(list)
    for cost in costs:
        grouped[cost.stage].append(cost)
    return tuple(
        StageEstimate(
            stage=stage,
            latency_s=sum(cost.latency_s for cost in members),
            busy_s=sum(cost.at_work_s for cost in members),
            bottleneck=_largest(members),
            by_operation_s=by_operation(members, left_out),
        )
        for stage, members in grouped.items()
    )


def _critical_path(circuit: Workload, seconds: Callable[[Stage], float | None]) -> float | None:
    """Seconds of the longest chain of stages that wait for each other; None if unknown."""
    end: dict[str, float] = {}
    for stage in circuit.stages:
        alone_s = seconds(stage)
        if alone_s is None:
            return None
        end[stage.name] = max((end[name] for name in stage.predecessors), default=0.0) + alone_s
    return max(end.values(), default=0.0)


def _largest(costs: Sequence[Cost]) -> Bottleneck:
    bottleneck: Callable[[Cost], Bottleneck] = attrgetter("bottleneck")
    seconds = _seconds_by(costs, bottleneck)
    return max(seconds, key=seconds.__getitem__)


def _seconds_by(costs: Sequence[Cost], part: Callable[[Cost], K]) -> dict[K, float]:
    seconds: dict[K, float] = defaultdict(float)
    for cost in costs:
        seconds[part(cost)] += cost.latency_s
    return seconds
