"""What every latency model shares: its contract, and how its costs become an estimate.

A latency model turns a circuit profile and a machine's figures into costs: seconds by stage and
operation. It does so for three cases of the figures (likely, all at their fast end, all at their
slow end); the estimate's range is the range of the totals, so it always contains the estimate.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from fhecost.circuits.profile import CircuitProfile, KeySwitchUse, LinearUse, PbsUse, Stage
from fhecost.circuits.work import ciphertext_bytes, key_switch_units, pbs_units
from fhecost.errors import ImpossibleError, UsageError, first_validation_error
from fhecost.hardware.estimate import (
    OPERATIONS,
    Bottleneck,
    Estimate,
    Operation,
    StageEstimate,
)
from fhecost.hardware.profile import HardwareProfile, PbsKind
from fhecost.provenance import Figure, Source

NARROW = 0.5
"""At or below this share of busy lanes, a stage's parallel width bounds it rather than compute."""


class Figures(BaseModel):
    """Base of the figures that a latency model needs, by name; all in SI units."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Case(Enum):
    """Which end of the figures' ranges a calculation uses."""

    LIKELY = "likely"
    FAST = "fast"
    SLOW = "slow"

    def rate(self, figure: Figure) -> float:
        """A figure of which more is faster."""
        return {Case.LIKELY: figure.value, Case.FAST: figure.highest, Case.SLOW: figure.lowest}[
            self
        ]

    def cost(self, figure: Figure) -> float:
        """A figure of which more is slower."""
        return {Case.LIKELY: figure.value, Case.FAST: figure.lowest, Case.SLOW: figure.highest}[
            self
        ]


@dataclass(frozen=True)
class Cost:
    """Seconds that one operation of one stage adds to the total, and the number they rest on."""

    stage: str
    operation: Operation
    latency_s: float
    bottleneck: Bottleneck
    source: Source


F = TypeVar("F", bound=Figures)


class LatencyModel(ABC, Generic[F]):
    """A pure function from (circuit profile, hardware profile) to an estimate."""

    figures_type: ClassVar[type[Figures]]
    assumptions: ClassVar[tuple[str, ...]]
    pbs_kind: ClassVar[PbsKind] = "classic"

    @abstractmethod
    def refusal(self, circuit: CircuitProfile, figures: F) -> str | None:
        """Why the machine can't run ``circuit`` and what would fit; None when it can."""

    @abstractmethod
    def costs(self, circuit: CircuitProfile, figures: F, case: Case) -> list[Cost]:
        """The costs of ``circuit``; they add up to its latency."""

    def read_figures(self, hardware: HardwareProfile) -> F:
        """The machine's figures, checked against what this model needs.

        Raises:
            UsageError: a figure is missing, unknown or out of range; the field's path is named.
        """
        try:
            content = {
                name: figure.model_dump(exclude_none=True)
                for name, figure in hardware.figures.items()
            }
            figures: F = self.figures_type.model_validate(content)  # type: ignore[assignment]
        except ValidationError as error:
            problem = first_validation_error(error.errors())
            raise UsageError(f"{hardware.name}: figures.{problem}") from error
        return figures

    def estimate(self, circuit: CircuitProfile, hardware: HardwareProfile) -> Estimate:
        """The estimate for ``circuit`` on ``hardware``.

        Raises:
            UsageError: the hardware profile lacks a figure.
            ImpossibleError: the machine can't run the circuit.
        """
        figures = self.read_figures(hardware)
        if hardware.pbs_kind != self.pbs_kind:
            raise ImpossibleError(
                f"{hardware.name}: its PBS is {hardware.pbs_kind}, the latency model "
                f"{hardware.latency_model} costs {self.pbs_kind} PBS"
            )
        reason = self.refusal(circuit, figures)
        if reason is not None:
            raise ImpossibleError(f"{hardware.name}: {reason}")
        costs = self.costs(circuit, figures, Case.LIKELY)
        total = sum(cost.latency_s for cost in costs)
        low = sum(cost.latency_s for cost in self.costs(circuit, figures, Case.FAST))
        high = sum(cost.latency_s for cost in self.costs(circuit, figures, Case.SLOW))
        return Estimate(
            hardware=hardware.name,
            title=hardware.title,
            latency_model=hardware.latency_model,
            latency_s=total,
            low_s=low,
            high_s=high,
            bottleneck=_largest(costs),
            by_stage=_by_stage(costs),
            by_operation_s=_by_operation(costs),
            sources=_source_shares(costs, total),
            assumptions=(*self.assumptions, *hardware.assumptions),
            references=hardware.references,
            hardware_hash=hardware.hash,
            circuit_hash=circuit.hash,
        )


def lookup_units(stage: Stage) -> tuple[float, float]:
    """Work of all PBS and of all KS of ``stage``, in units of the Concrete optimizer."""
    return _pbs_work(stage.pbs), _key_switch_work(stage.key_switches)


def linear_bytes(uses: Sequence[LinearUse]) -> int:
    """Bytes of the ciphertexts that linear operations touch, each operation counting one."""
    return sum(use.count * ciphertext_bytes(use.lwe_dimension) for use in uses)


def largest_set_refusal(circuit: CircuitProfile, limit: float) -> str | None:
    """Why a machine whose polynomials end at ``limit`` can't run ``circuit``, naming the set."""
    too_large = {
        use.parameters: stage.name
        for stage in circuit.stages
        for use in stage.pbs
        if use.parameters.polynomial_size > limit
    }
    if not too_large:
        return None
    worst = max(too_large, key=lambda parameters: parameters.polynomial_size)
    return (
        f"can't hold the parameter set {worst} of stage {too_large[worst]!r}: "
        f"its largest N is {limit:,.0f}; fewer --bits or a shorter --seq-len give smaller sets"
    )


def _pbs_work(uses: Sequence[PbsUse]) -> float:
    return sum(use.count * pbs_units(use.parameters) for use in uses)


def _key_switch_work(uses: Sequence[KeySwitchUse]) -> float:
    return sum(use.count * key_switch_units(use.parameters) for use in uses)


def _largest(costs: Sequence[Cost]) -> Bottleneck:
    by_bottleneck: dict[Bottleneck, float] = defaultdict(float)
    for cost in costs:
        by_bottleneck[cost.bottleneck] += cost.latency_s
    return max(by_bottleneck, key=lambda name: by_bottleneck[name])


def _by_operation(costs: Sequence[Cost]) -> dict[Operation, float]:
    return {
        operation: sum(cost.latency_s for cost in costs if cost.operation == operation)
        for operation in OPERATIONS
    }


def _by_stage(costs: Sequence[Cost]) -> tuple[StageEstimate, ...]:
    grouped: dict[str, list[Cost]] = defaultdict(list)
    for cost in costs:
        grouped[cost.stage].append(cost)
    return tuple(
        StageEstimate(
            stage=stage,
            latency_s=sum(cost.latency_s for cost in members),
            bottleneck=_largest(members),
            by_operation_s=_by_operation(members),
        )
        for stage, members in grouped.items()
    )


def _source_shares(costs: Sequence[Cost], total: float) -> dict[Source, float]:
    by_source: dict[Source, float] = defaultdict(float)
    for cost in costs:
        by_source[cost.source] += cost.latency_s
    return {source: by_source[source] / total for source in Source if by_source[source] > 0}
