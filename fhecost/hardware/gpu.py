"""Latency on one GPU or several that run classic PBS in batches."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from fhecost.circuits.profile import PbsParameters, Stage
from fhecost.circuits.work import TORUS_BYTES, bootstrap_key_bytes, key_switch_units, pbs_units
from fhecost.circuits.workload import Workload
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
from fhecost.provenance import (
    CountFigure,
    FractionFigure,
    PositiveFigure,
    PowerOfTwoFigure,
    Source,
    weakest,
)


class GpuFigures(ExtrapolatedFigures):
    """What the GPU model needs, of one device; rates are in units of the Concrete optimizer."""

    devices: CountFigure = Field(description="devices, each with its own copy of the keys")
    concurrent_pbs: CountFigure = Field(description="PBS at work at once: its multiprocessors")
    saturated_rate_units_per_s: PositiveFigure = Field(description="PBS work of a full device")
    key_switch_rate_units_per_s: PositiveFigure = Field(description="KS work of a full device")
    step_overhead_s: PositiveFigure = Field(
        description="launches and barriers of one step of a blind rotation"
    )
    single_pbs_rate_units_per_s: PositiveFigure = Field(description="work of one PBS alone")
    single_key_switch_rate_units_per_s: PositiveFigure = Field(description="work of one KS alone")
    shared_memory_bytes: PositiveFigure = Field(description="shared memory of a multiprocessor")
    spilled_rate_share: FractionFigure = Field(
        description="share of the single rate when a step outgrows the shared memory"
    )
    ciphertext_passes_per_linear_operation: PositiveFigure = Field(
        description="times that a linear operation moves its ciphertext through memory"
    )
    largest_polynomial_size: PowerOfTwoFigure = Field(description="the largest N that can run")
    memory_bytes: PositiveFigure = Field(description="memory of a device")
    memory_bandwidth_bytes_per_s: PositiveFigure = Field(description="bandwidth of that memory")
    host_link_bytes_per_s: PositiveFigure = Field(description="bandwidth between host and devices")


class GpuLatencyModel(LatencyModel[GpuFigures]):
    """Stages that wait for nobody run together; a level is bound by work or by its longest chain.

    Published batches give the rate R at which a full device does PBS work. One PBS alone is a chain
    of n dependent steps (external products), each a fixed overhead t0 for its launches and barriers
    and its work u at a rate r; where the polynomials of a step outgrow the shared memory of a
    multiprocessor, r falls to a share s of itself::

        one PBS = n * (t0 + u / (r or s*r)),    one KS = its units / r'

    Stages are taken level by level of their dependencies. On D devices, each with its own copy of
    the keys, a level with stages i takes::

        max( sum_i max(PBS_i / R, bytes_i / memory bandwidth) / D + KS_i / (D*R'),
             max_i depth_i * (one PBS + one KS) )

    PBS_i and KS_i being the stage's work in optimizer units. The first term is a device that is
    full: every C concurrent PBS stream the bootstrap key once (bytes_i), and polynomials that spill
    cross the memory twice a step. The second one waits for a chain of lookups: wide stages are
    bound by compute or memory, narrow ones by their parallel width. Linear operations stream their
    ciphertexts through device memory; inputs and outputs cross the host link once.

    R is that of one published batch of a backend, t0, r and s come from three published
    single operations of one release (``hardware/*.yaml`` names them); the optimizer's units are
    those of ``fhecost.circuits.work``. Left out: loading the keys (they stay on the device) and
    communication between devices, which have no need of each other.
    """

    figures_type: ClassVar[type[ExtrapolatedFigures]] = GpuFigures
    assumptions: ClassVar[tuple[str, ...]] = (
        "keys are on every device before the run; encryption and decryption left out",
        "coarse: one rate of PBS work for all parameter sets; the range widens with each doubling "
        "of N beyond the published ones",
        "coarse: stages of one dependency level share the device without loss",
    )

    left_out: ClassVar[frozenset[Operation]] = frozenset({"keys"})

    def refusal(self, circuit: Workload, figures: GpuFigures) -> str | None:
        """A set beyond the backend's largest N, or keys beyond the memory, can't be run."""
        too_large = largest_set_refusal(circuit, figures.largest_polynomial_size.value)
        if too_large is not None:
            return too_large
        return memory_refusal(
            circuit.bsk_bytes + circuit.ksk_bytes, figures.memory_bytes, "the keys"
        )

    def alone_s(self, stage: Stage, figures: GpuFigures) -> float:
        """Seconds of the stage's chain of lookups."""
        return _chain_seconds(stage, figures, Case.LIKELY)

    def costs(self, circuit: Workload, figures: GpuFigures, case: Case) -> list[Cost]:
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
                    devices=figures.devices.value,
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
                    busy_s=0.0,
                )
            )
        return costs


def one_pbs_seconds(
    parameters: PbsParameters, figures: GpuFigures, case: Case = Case.LIKELY
) -> float:
    """Seconds of one PBS alone on a device."""
    rate = case.rate(figures.single_pbs_rate_units_per_s)
    if _spills(parameters, figures):
        rate *= case.rate(figures.spilled_rate_share)
    overhead = parameters.lwe_dimension * case.cost(figures.step_overhead_s)
    stretch = figures.stretch(parameters.polynomial_size, case)
    return stretch * (overhead + pbs_units(parameters) / rate)


def _step_bytes(parameters: PbsParameters) -> int:
    """Bytes of the Fourier digits and the accumulator of one step."""
    polynomials = (parameters.glwe_dimension + 1) * (parameters.level_count + 1)
    return polynomials * parameters.polynomial_size * TORUS_BYTES


def _spills(parameters: PbsParameters, figures: GpuFigures) -> bool:
    return _step_bytes(parameters) > figures.shared_memory_bytes.value


def _level_costs(level: tuple[Stage, ...], figures: GpuFigures, case: Case) -> list[Cost]:
    """Costs of the lookups of stages that run together."""
    full = {stage.name: _full_seconds(stage, figures, case) for stage in level}
    full = {name: parts for name, parts in full.items() if sum(parts.values()) > 0}
    if not full:
        return []
    chain = {stage.name: _chain_seconds(stage, figures, case) for stage in level}
    streamed = {stage.name: _is_streamed(stage, figures, case) for stage in level}
    busy = sum(sum(parts.values()) for parts in full.values())
    longest = max(chain[name] for name in full)
    level_s = max(busy, longest)
    alone = {name: max(sum(full[name].values()), chain[name]) for name in full}
    scale = level_s / sum(alone.values())
    bound_by_work = busy >= longest
    rates = (
        (figures.saturated_rate_units_per_s, figures.key_switch_rate_units_per_s)
        if bound_by_work
        else (figures.single_pbs_rate_units_per_s, figures.single_key_switch_rate_units_per_s)
    )
    largest = max(
        (use.parameters.polynomial_size for stage in level for use in stage.pbs), default=1
    )
    source: dict[Operation, Source] = {
        "pbs": figures.source_at(largest, rates[0]),
        "key_switch": weakest(rates[1], figures.key_switch_rate_units_per_s),
    }
    costs = []
    for name, parts in full.items():
        work = Bottleneck.MEMORY_BANDWIDTH if streamed[name] else Bottleneck.COMPUTE
        for operation, seconds in parts.items():
            if seconds > 0:
                costs.append(
                    Cost(
                        stage=name,
                        operation=operation,
                        latency_s=alone[name] * scale * seconds / sum(parts.values()),
                        bottleneck=work if bound_by_work else Bottleneck.PARALLEL_WIDTH,
                        source=source[operation],
                        busy_s=seconds,
                    )
                )
    return costs


def _full_seconds(stage: Stage, figures: GpuFigures, case: Case) -> dict[Operation, float]:
    """Seconds of all lookups of ``stage`` on devices that are full."""
    devices = figures.devices.value
    switches = sum(use.count * key_switch_units(use.parameters) for use in stage.key_switches)
    return {
        "pbs": max(_compute_seconds(stage, figures, case), _stream_seconds(stage, figures, case))
        / devices,
        "key_switch": switches / case.rate(figures.key_switch_rate_units_per_s) / devices,
    }


def _compute_seconds(stage: Stage, figures: GpuFigures, case: Case) -> float:
    work = sum(
        use.count
        * pbs_units(use.parameters)
        * figures.stretch(use.parameters.polynomial_size, case)
        for use in stage.pbs
    )
    return work / case.rate(figures.saturated_rate_units_per_s)


def _stream_seconds(stage: Stage, figures: GpuFigures, case: Case) -> float:
    """Seconds that the keys, and polynomials that spill, take through the device's memory."""
    moved = 0.0
    for use in stage.pbs:
        moved += use.count / figures.concurrent_pbs.value * bootstrap_key_bytes(use.parameters)
        if _spills(use.parameters, figures):
            steps = use.parameters.lwe_dimension
            moved += use.count * steps * 2 * _step_bytes(use.parameters)
    return moved / case.rate(figures.memory_bandwidth_bytes_per_s)


def _is_streamed(stage: Stage, figures: GpuFigures, case: Case) -> bool:
    return _stream_seconds(stage, figures, case) > _compute_seconds(stage, figures, case)


def _chain_seconds(stage: Stage, figures: GpuFigures, case: Case) -> float:
    """Seconds of the longest chain of lookups of ``stage``, each alone on the device."""
    pbs = max((one_pbs_seconds(use.parameters, figures, case) for use in stage.pbs), default=0.0)
    switch = max((key_switch_units(use.parameters) for use in stage.key_switches), default=0.0)
    return stage.depth * (pbs + switch / case.rate(figures.single_key_switch_rate_units_per_s))
