"""Latency on a GPU that runs classic PBS in batches."""

from __future__ import annotations

from typing import ClassVar

from fhecost.circuits.profile import CircuitProfile, Stage
from fhecost.hardware.estimate import Bottleneck, Operation
from fhecost.hardware.latency_model import (
    Case,
    Cost,
    Figures,
    LatencyModel,
    largest_set_refusal,
    linear_bytes,
    lookup_units,
)
from fhecost.hardware.schedule import dependency_levels
from fhecost.provenance import PositiveFigure


class GpuFigures(Figures):
    """What the GPU model needs; rates are in units of the Concrete optimizer per second."""

    saturated_rate_units_per_s: PositiveFigure
    single_pbs_rate_units_per_s: PositiveFigure
    key_switch_rate_units_per_s: PositiveFigure
    ciphertext_passes_per_linear_operation: PositiveFigure
    largest_polynomial_size: PositiveFigure
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

        max( sum_i (PBS_i / R + KS_i / R'),  max_i depth_i * (PBS_i + KS_i) / lookups_i / r )

    PBS_i and KS_i being the stage's work in optimizer units. The first term is a GPU that is full,
    the second one that waits for a chain of lookups: wide stages are bound by compute, narrow ones
    by their parallel width. Linear operations stream their ciphertexts through device memory;
    inputs and outputs cross the host link once.

    Left out: loading the keys (they stay on the device), kernel launches beyond those inside the
    published times, and memory-bound behaviour of sets far from the published ones.
    """

    figures_type: ClassVar[type[Figures]] = GpuFigures
    assumptions: ClassVar[tuple[str, ...]] = (
        "keys are on the device before the run; encryption and decryption left out",
        "coarse: one rate of PBS work for all parameter sets, from sets with N up to 2048",
        "coarse: stages of one dependency level share the device without loss",
    )

    def refusal(self, circuit: CircuitProfile, figures: GpuFigures) -> str | None:
        """A set beyond the backend's largest N, or keys beyond the memory, can't be run."""
        too_large = largest_set_refusal(circuit, figures.largest_polynomial_size.value)
        if too_large is not None:
            return too_large
        needed = circuit.bsk_bytes + circuit.ksk_bytes
        if needed <= figures.memory_bytes.value:
            return None
        return (
            f"the keys need {needed / 1e9:.1f} GB, the device has "
            f"{figures.memory_bytes.value / 1e9:.1f} GB; fewer --bits give smaller keys"
        )

    def costs(self, circuit: CircuitProfile, figures: GpuFigures, case: Case) -> list[Cost]:
        """Costs by stage; a level's time is shared out by the time its stages would take alone."""
        costs: list[Cost] = []
        for level in dependency_levels(circuit):
            costs += _level_costs(level, figures, case)
            for stage in level:
                passes = case.cost(figures.ciphertext_passes_per_linear_operation)
                streamed = linear_bytes(stage.linear) * passes
                if streamed:
                    figure = figures.ciphertext_passes_per_linear_operation
                    costs.append(
                        Cost(
                            stage.name,
                            "linear",
                            streamed / case.rate(figures.memory_bandwidth_bytes_per_s),
                            Bottleneck.MEMORY_BANDWIDTH,
                            figure.source,
                        )
                    )
        moved = circuit.input_bytes + circuit.output_bytes
        if moved:
            link = figures.host_link_bytes_per_s
            costs.append(
                Cost(
                    "host transfer",
                    "transfer",
                    moved / case.rate(link),
                    Bottleneck.TRANSFER,
                    link.source,
                )
            )
        return costs


def _level_costs(level: tuple[Stage, ...], figures: GpuFigures, case: Case) -> list[Cost]:
    """Costs of the lookups of stages that run together."""
    full: dict[str, dict[Operation, float]] = {}
    chain: dict[str, float] = {}
    for stage in level:
        pbs_work, key_switch_work = lookup_units(stage)
        if not pbs_work + key_switch_work:
            continue
        full[stage.name] = {
            "pbs": pbs_work / case.rate(figures.saturated_rate_units_per_s),
            "key_switch": key_switch_work / case.rate(figures.key_switch_rate_units_per_s),
        }
        lookups = max(stage.pbs_count, stage.key_switch_count)
        chain[stage.name] = (
            stage.depth
            * (pbs_work + key_switch_work)
            / lookups
            / case.rate(figures.single_pbs_rate_units_per_s)
        )
    if not full:
        return []
    busy = sum(sum(parts.values()) for parts in full.values())
    longest = max(chain.values())
    level_s = max(busy, longest)
    alone = {name: max(sum(full[name].values()), chain[name]) for name in full}
    scale = level_s / sum(alone.values())
    bottleneck = Bottleneck.COMPUTE if busy >= longest else Bottleneck.PARALLEL_WIDTH
    source: dict[Operation, PositiveFigure] = {
        "pbs": (
            figures.saturated_rate_units_per_s
            if busy >= longest
            else figures.single_pbs_rate_units_per_s
        ),
        "key_switch": figures.key_switch_rate_units_per_s,
    }
    return [
        Cost(
            stage=name,
            operation=operation,
            latency_s=alone[name] * scale * seconds / sum(parts.values()),
            bottleneck=bottleneck,
            source=source[operation].source,
        )
        for name, parts in full.items()
        for operation, seconds in parts.items()
        if seconds > 0
    ]
