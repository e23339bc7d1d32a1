"""Latency on a GPU that runs classic PBS in batches."""

from __future__ import annotations

from typing import ClassVar

from fhecost.circuits.profile import CircuitProfile, Stage
from fhecost.circuits.work import key_switch_units, pbs_units
from fhecost.hardware.estimate import Bottleneck, Operation
from fhecost.hardware.latency_model import (
    HOST_TRANSFER,
    Case,
    Cost,
    ExtrapolatedFigures,
    LatencyModel,
    largest_set_refusal,
    memory_refusal,
    streamed_linear_cost,
)
from fhecost.hardware.schedule import dependency_levels
from fhecost.provenance import PositiveFigure, PowerOfTwoFigure, Source, weakest


class GpuFigures(ExtrapolatedFigures):
    """What the GPU model needs; rates are in units of the Concrete optimizer per second."""

    saturated_rate_units_per_s: PositiveFigure
    single_pbs_rate_units_per_s: PositiveFigure
    key_switch_rate_units_per_s: PositiveFigure
    ciphertext_passes_per_linear_operation: PositiveFigure
    largest_polynomial_size: PowerOfTwoFigure
    memory_bytes: PositiveFigure
    memory_bandwidth_bytes_per_s: PositiveFigure
    host_link_bytes_per_s: PositiveFigure
    power_w: PositiveFigure | None = None
    price_usd_per_hour: PositiveFigure | None = None


class GpuLatencyModel(LatencyModel[GpuFigures]):
    """Stages that wait for nobody run together; a level is bound by work or by its longest chain.

    Published batches give the rate R at which a full GPU does PBS work, published single operations
    the rate r at which it does one PBS alone. Stages are taken level by level of their
    dependencies; a level with stages i takes::

        max( sum_i (PBS_i / R + KS_i / R'),  max_i depth_i * (pbs_i + ks_i) / r )

    PBS_i and KS_i being the stage's work in optimizer units, pbs_i and ks_i that of its slowest
    single PBS and KS. The first term is a GPU that is full,
    the second one that waits for a chain of lookups: wide stages are bound by compute, narrow ones
    by their parallel width. Linear operations stream their ciphertexts through device memory;
    inputs and outputs cross the host link once.

    Left out: loading the keys (they stay on the device), kernel launches beyond those inside the
    published times, and memory-bound behaviour of sets far from the published ones.
    """

    figures_type: ClassVar[type[ExtrapolatedFigures]] = GpuFigures
    assumptions: ClassVar[tuple[str, ...]] = (
        "keys are on the device before the run; encryption and decryption left out",
        "coarse: one rate of PBS work for all parameter sets; the range widens with each doubling "
        "of N beyond the published ones",
        "coarse: stages of one dependency level share the device without loss",
    )

    left_out: ClassVar[frozenset[Operation]] = frozenset({"keys"})

    def refusal(self, circuit: CircuitProfile, figures: GpuFigures) -> str | None:
        """A set beyond the backend's largest N, or keys beyond the memory, can't be run."""
        too_large = largest_set_refusal(circuit, figures.largest_polynomial_size.value)
        if too_large is not None:
            return too_large
        return memory_refusal(
            circuit.bsk_bytes + circuit.ksk_bytes, figures.memory_bytes, "the keys"
        )

    def costs(self, circuit: CircuitProfile, figures: GpuFigures, case: Case) -> list[Cost]:
        """Costs by stage; a level's time is shared out by the time its stages would take alone."""
        costs: list[Cost] = []
        for level in dependency_levels(circuit):
            costs += _level_costs(level, figures, case)
            for stage in level:
                costs += streamed_linear_cost(
                    stage,
                    figures.ciphertext_passes_per_linear_operation,
                    figures.memory_bandwidth_bytes_per_s,
                    case,
                )
        moved = circuit.input_bytes + circuit.output_bytes
        if moved:
            link = figures.host_link_bytes_per_s
            costs.append(
                Cost(
                    HOST_TRANSFER,
                    "transfer",
                    moved / case.rate(link),
                    Bottleneck.TRANSFER,
                    link.source,
                )
            )
        return costs


def _level_costs(level: tuple[Stage, ...], figures: GpuFigures, case: Case) -> list[Cost]:
    """Costs of the lookups of stages that run together."""
    full = {stage.name: _full_seconds(stage, figures, case) for stage in level}
    full = {name: parts for name, parts in full.items() if sum(parts.values()) > 0}
    if not full:
        return []
    chain = {stage.name: _chain_seconds(stage, figures, case) for stage in level}
    busy = sum(sum(parts.values()) for parts in full.values())
    longest = max(chain[name] for name in full)
    level_s = max(busy, longest)
    alone = {name: max(sum(full[name].values()), chain[name]) for name in full}
    scale = level_s / sum(alone.values())
    bottleneck = Bottleneck.COMPUTE if busy >= longest else Bottleneck.PARALLEL_WIDTH
    rates = (
        (figures.saturated_rate_units_per_s, figures.key_switch_rate_units_per_s)
        if busy >= longest
        else (figures.single_pbs_rate_units_per_s, figures.single_pbs_rate_units_per_s)
    )
    largest = max(
        (use.parameters.polynomial_size for stage in level for use in stage.pbs), default=1
    )
    source: dict[Operation, Source] = {
        "pbs": figures.source_at(largest, rates[0]),
        "key_switch": weakest(rates[1], figures.key_switch_rate_units_per_s),
    }
    return [
        Cost(
            stage=name,
            operation=operation,
            latency_s=alone[name] * scale * seconds / sum(parts.values()),
            bottleneck=bottleneck,
            source=source[operation],
        )
        for name, parts in full.items()
        for operation, seconds in parts.items()
        if seconds > 0
    ]


def _full_seconds(stage: Stage, figures: GpuFigures, case: Case) -> dict[Operation, float]:
    """Seconds of all lookups of ``stage`` on a device that is full."""
    pbs = sum(
        use.count
        * pbs_units(use.parameters)
        * figures.stretch(use.parameters.polynomial_size, case)
        for use in stage.pbs
    )
    switches = sum(use.count * key_switch_units(use.parameters) for use in stage.key_switches)
    return {
        "pbs": pbs / case.rate(figures.saturated_rate_units_per_s),
        "key_switch": switches / case.rate(figures.key_switch_rate_units_per_s),
    }


def _chain_seconds(stage: Stage, figures: GpuFigures, case: Case) -> float:
    """Seconds of the longest chain of lookups of ``stage``, each alone on the device."""
    pbs = max(
        (
            pbs_units(use.parameters) * figures.stretch(use.parameters.polynomial_size, case)
            for use in stage.pbs
        ),
        default=0.0,
    )
    switch = max((key_switch_units(use.parameters) for use in stage.key_switches), default=0.0)
    return stage.depth * (pbs + switch) / case.rate(figures.single_pbs_rate_units_per_s)
