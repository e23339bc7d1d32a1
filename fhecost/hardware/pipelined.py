"""Latency on hardware that bootstraps fixed batches through a pipeline: FPGA and ASIC."""

from __future__ import annotations

import math
from typing import ClassVar

from fhecost.circuits.profile import CircuitProfile, Stage
from fhecost.circuits.work import (
    bootstrap_key_bytes,
    key_switch_key_bytes,
    key_switch_units,
    pbs_units,
)
from fhecost.hardware.estimate import Bottleneck, Operation
from fhecost.hardware.latency_model import (
    NARROW,
    Case,
    Cost,
    ExtrapolatedFigures,
    LatencyModel,
    largest_set_refusal,
    memory_refusal,
    streamed_linear_cost,
)
from fhecost.provenance import (
    CountFigure,
    Figure,
    PositiveFigure,
    PowerOfTwoFigure,
    Source,
    weakest,
)


class PipelinedFigures(ExtrapolatedFigures):
    """What the pipeline model needs; rates are in units of the Concrete optimizer per second."""

    work_rate_units_per_s: PositiveFigure
    batch: CountFigure
    largest_polynomial_size: PowerOfTwoFigure
    key_switch_work_share: Figure
    memory_bandwidth_bytes_per_s: PositiveFigure
    ciphertext_passes_per_linear_operation: PositiveFigure
    memory_bytes: PositiveFigure | None = None
    area_mm2: PositiveFigure | None = None
    power_w: PositiveFigure | None = None


class PipelinedLatencyModel(LatencyModel[PipelinedFigures]):
    """Batch steps: each takes the longer of its compute and of streaming its keys.

    The pipeline holds B ciphertexts of one parameter set. A stage of width w in s steps needs
    s*ceil(w/B) batch steps, full or not, and each takes::

        max( B*PBS / R, bytes of BSK / memory bandwidth )
            + f * max( B*KS / R, bytes of KSK / memory bandwidth )

    R is the published throughput times the work of the published set, PBS and KS the work of one
    operation of this set, f the share of the key switch that isn't hidden behind blind rotations.
    Stages run one after the other in the order of their dependencies, so a narrow stage leaves
    part of the pipeline idle. A set beyond the largest N can't be run at all.

    Left out: the host link (none is published for these designs) and the time to fill and drain
    the pipeline.
    """

    figures_type: ClassVar[type[ExtrapolatedFigures]] = PipelinedFigures
    assumptions: ClassVar[tuple[str, ...]] = (
        "keys are in the accelerator's memory before the run; host transfer, encryption and "
        "decryption left out",
        "coarse: one rate of work for all sets up to the largest N, 64-bit torus included; the "
        "range widens with each doubling of N beyond the published ones",
        "coarse: stages of one dependency level don't share a batch",
        "coarse: keys are streamed from memory once a batch step; no on-chip reuse across steps",
    )

    left_out: ClassVar[frozenset[Operation]] = frozenset({"keys", "transfer"})

    def refusal(self, circuit: CircuitProfile, figures: PipelinedFigures) -> str | None:
        """A set with a larger N than the hardware's, or keys beyond its memory, can't be run."""
        too_large = largest_set_refusal(circuit, figures.largest_polynomial_size.value)
        if too_large is not None:
            return too_large
        return memory_refusal(
            circuit.bsk_bytes + circuit.ksk_bytes, figures.memory_bytes, "the keys"
        )

    def costs(self, circuit: CircuitProfile, figures: PipelinedFigures, case: Case) -> list[Cost]:
        """Costs by stage, one stage after the other."""
        return [cost for stage in circuit.stages for cost in _stage_costs(stage, figures, case)]


def _stage_costs(stage: Stage, figures: PipelinedFigures, case: Case) -> list[Cost]:
    costs: list[Cost] = []
    rate = case.rate(figures.work_rate_units_per_s)
    bandwidth = case.rate(figures.memory_bandwidth_bytes_per_s)
    batch = figures.batch.value
    seconds: dict[Operation, dict[Bottleneck, float]] = {
        "pbs": dict.fromkeys(Bottleneck, 0.0),
        "key_switch": dict.fromkeys(Bottleneck, 0.0),
    }
    for pbs in stage.pbs:
        key_s = bootstrap_key_bytes(pbs.parameters) / bandwidth
        stretch = figures.stretch(pbs.parameters.polynomial_size, case)
        compute_s = stretch * batch * pbs_units(pbs.parameters) / rate
        _add_steps(seconds["pbs"], _steps(stage, pbs.count, batch), compute_s, key_s, batch)
    hidden = case.cost(figures.key_switch_work_share)
    for switch in stage.key_switches:
        key_s = hidden * key_switch_key_bytes(switch.parameters) / bandwidth
        compute_s = hidden * batch * key_switch_units(switch.parameters) / rate
        _add_steps(
            seconds["key_switch"], _steps(stage, switch.count, batch), compute_s, key_s, batch
        )
    largest = max((pbs.parameters.polynomial_size for pbs in stage.pbs), default=1)
    for operation, by_bottleneck in seconds.items():
        for bottleneck, latency_s in by_bottleneck.items():
            if latency_s > 0:
                source = _source(operation, bottleneck, largest, figures)
                costs.append(Cost(stage.name, operation, latency_s, bottleneck, source))
    return costs + streamed_linear_cost(
        stage,
        figures.ciphertext_passes_per_linear_operation,
        figures.memory_bandwidth_bytes_per_s,
        case,
    )


def _source(
    operation: Operation, bottleneck: Bottleneck, largest: int, figures: PipelinedFigures
) -> Source:
    """What the time of batch steps rests on: their number on the batch, their length on a rate."""
    streamed = bottleneck is Bottleneck.MEMORY_BANDWIDTH
    rate = figures.memory_bandwidth_bytes_per_s if streamed else figures.work_rate_units_per_s
    if operation == "key_switch":
        return weakest(figures.batch, rate, figures.key_switch_work_share)
    return figures.source_at(largest, figures.batch, rate)


def _steps(stage: Stage, count: int, batch: float) -> tuple[int, float]:
    """Batch steps that ``count`` operations of a stage need, and their mean fill."""
    per_depth = math.ceil(count / stage.depth)
    steps = stage.depth * math.ceil(per_depth / batch)
    return steps, count / steps


def _add_steps(
    seconds: dict[Bottleneck, float],
    steps_and_fill: tuple[int, float],
    compute_s: float,
    key_s: float,
    batch: float,
) -> None:
    """Add the time of batch steps under what bounds them."""
    steps, fill = steps_and_fill
    if key_s > compute_s:
        seconds[Bottleneck.MEMORY_BANDWIDTH] += steps * key_s
    elif fill <= NARROW * batch:
        seconds[Bottleneck.PARALLEL_WIDTH] += steps * compute_s
    else:
        seconds[Bottleneck.COMPUTE] += steps * compute_s
