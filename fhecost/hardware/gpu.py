"""Latency on one GPU or several that run PBS in batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field, model_validator

from fhecost.circuits.profile import PbsParameters, Stage
from fhecost.circuits.work import TORUS_BYTES, key_switch_units
from fhecost.circuits.workload import Workload
from fhecost.hardware.bootstraps import PbsAlgorithm
from fhecost.hardware.estimate import Bottleneck, Operation
from fhecost.hardware.latency_model import (
    Case,
    Cost,
    ExtrapolatedFigures,
    Lanes,
    LatencyModel,
    optional,
    streamed_linear_cost,
    transfer_cost,
)
from fhecost.hardware.memory import Held
from fhecost.hardware.profile import PBS_KINDS, Kind, PbsKind
from fhecost.hardware.refusals import key_refusal, largest_size
from fhecost.provenance import (
    CountFigure,
    Figure,
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
    launch_s: PositiveFigure | None = optional("starting a kernel behind others")
    tuned_glwe_dimension: CountFigure | None = optional(
        "k of the sets that the backend has a kernel of its own for"
    )
    tuned_polynomial_size: PowerOfTwoFigure | None = optional("N of those sets")
    tuned_level_count: CountFigure | None = optional("levels l of those sets")
    tuned_lwe_dimension: CountFigure | None = optional("the largest n of those sets")
    tuned_rate_units_per_s: PositiveFigure | None = optional(
        "PBS work of a full device with those sets; as with any other when left out"
    )
    tuned_step_s: PositiveFigure | None = optional(
        "a step of one PBS alone with those sets; by the rates for any other when left out"
    )

    @model_validator(mode="after")
    def _whole_tuned_set(self) -> GpuFigures:
        shape = (
            self.tuned_glwe_dimension,
            self.tuned_polynomial_size,
            self.tuned_level_count,
            self.tuned_lwe_dimension,
        )
        if (self.tuned_rate_units_per_s or self.tuned_step_s) and None in shape:
            raise ValueError(
                "tuned_rate_units_per_s and tuned_step_s need tuned_glwe_dimension, "
                "tuned_polynomial_size, tuned_level_count and tuned_lwe_dimension"
            )
        return self

    def tuned_for(self, parameters: PbsParameters) -> bool:
        """Whether the backend has a kernel of its own for the set."""
        return (
            self.tuned_glwe_dimension is not None
            and self.tuned_polynomial_size is not None
            and self.tuned_level_count is not None
            and self.tuned_lwe_dimension is not None
            and parameters.glwe_dimension == self.tuned_glwe_dimension.value
            and parameters.polynomial_size == self.tuned_polynomial_size.value
            and parameters.level_count == self.tuned_level_count.value
            and parameters.lwe_dimension <= self.tuned_lwe_dimension.value
        )


class GpuLatencyModel(LatencyModel[GpuFigures]):
    """Stages that wait for nobody run together; a level is bound by work or by its longest chain.

    Published batches give the rate R at which a full device does PBS work. One PBS alone is a chain
    of dependent steps (n external products of a classic one), each a fixed overhead t0 for its
    launches and barriers and its work u at a rate r; where the polynomials of a step outgrow the
    shared memory of a multiprocessor, r falls to a share s of itself::

        one PBS = steps * (t0 + u / (r or s*r)),    one KS = its units / r'

    Stages are taken level by level of their dependencies. On D devices, each with its own copy of
    the keys, a level with stages i takes::

        max( sum_i max(PBS_i / R, bytes_i / memory bandwidth) / D + KS_i / (D*R'),
             max_i depth_i * (one PBS + one KS) )

    PBS_i and KS_i being the stage's work in optimizer units. The first term is a device that is
    full: every C concurrent PBS stream the bootstrap key once (bytes_i), and polynomials that spill
    cross the memory twice a step. The second one waits for a chain of lookups: wide stages are
    bound by compute or memory, narrow ones by their parallel width. Linear operations stream their
    ciphertexts through device memory; inputs and outputs cross the host link once.

    Where the backend has a kernel of its own for sets of one k, N and l (``tuned_for``), it has its
    own R, and its own time of a step: they say nothing of other sets.

    R is that of one published batch of a backend, t0, r and s come from three published
    single operations of one release (``hardware/*.yaml`` names them); the optimizer's units are
    those of ``fhecost.circuits.work``. Each kind of linear operation of a stage is a kernel, each
    way over the host link a copy, with what starting one takes, where that is known: measured on
    an H100 (``experiments/gpu_run``). Left out: loading the keys (they stay on the device) and
    communication between devices, which have no need of each other. What doesn't fit
    the memory: ``fhecost.hardware.memory``.
    """

    figures_type: ClassVar[type[ExtrapolatedFigures]] = GpuFigures
    assumptions: ClassVar[tuple[str, ...]] = (
        "keys are on every device before the run; encryption and decryption left out",
        "coarse: one rate of PBS work for all parameter sets; the range widens with each doubling "
        "of N beyond the published ones",
        "coarse: stages of one dependency level share the device without loss",
    )

    left_out: ClassVar[frozenset[Operation]] = frozenset({"keys"})
    kinds: ClassVar[frozenset[Kind]] = frozenset({"gpu"})
    pbs_kinds: ClassVar[frozenset[PbsKind]] = frozenset(PBS_KINDS)

    def refusal(self, circuit: Workload, figures: GpuFigures) -> str | None:
        """A set beyond the backend's largest N, or keys beyond the memory, can't be run."""
        limit = figures.largest_polynomial_size.value
        return key_refusal(circuit, limit, figures.memory_bytes)

    def lanes(self, figures: GpuFigures) -> Lanes:
        """A batch of PBS on each device."""
        return Lanes(figures.devices)

    def held(self, circuit: Workload, figures: GpuFigures) -> Held:
        """All keys on every device; a lookup a multiprocessor."""
        keys_bytes = circuit.bsk_bytes + circuit.ksk_bytes
        return Held(keys_bytes, figures.concurrent_pbs.value, figures.devices.value)

    def alone_s(self, stage: Stage, figures: GpuFigures) -> float:
        """Seconds of the stage's chain of lookups."""
        return _load(stage, figures, Case.LIKELY, self.pbs).chain_s

    def costs(self, circuit: Workload, figures: GpuFigures, case: Case) -> list[Cost]:
        """Costs by stage; a level's time is shared out by the time its stages would take alone."""
        costs: list[Cost] = []
        passes, devices = figures.ciphertext_passes_per_linear_operation, figures.devices
        bandwidth = figures.memory_bandwidth_bytes_per_s
        for level in _levels(circuit):
            costs += _level_costs(level, figures, case, self.pbs)
            costs += [streamed_linear_cost(s, passes, bandwidth, case, devices) for s in level]
            costs += _launch_costs(level, figures, case)
        link, start = figures.host_link_bytes_per_s, figures.host_link_start_s
        return [*costs, transfer_cost(circuit, link, start, case)]

    def notes(self, figures: GpuFigures) -> tuple[str, ...]:
        """Which starts aren't known."""
        known = {"kernels": figures.launch_s, "copies": figures.host_link_start_s}
        missing = " and ".join(what for what, figure in known.items() if figure is None)
        return (f"unknown: what starting {missing} takes",) if missing else ()


def _launch_costs(level: Sequence[Stage], figures: GpuFigures, case: Case) -> Iterator[Cost]:
    """A kernel for each kind of linear operation of a stage; those of lookups are in their chain.

    Stages of one level are launched one after the other: the device is idle meanwhile.
    """
    launch = figures.launch_s
    for stage in level:
        kinds = len({use.operation for use in stage.linear})
        if launch is not None and kinds:
            seconds = kinds * case.cost(launch)
            yield Cost(stage.name, "linear", seconds, Bottleneck.LAUNCH, launch.source, busy_s=0.0)


def _levels(circuit: Workload) -> list[tuple[Stage, ...]]:
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


@dataclass(frozen=True)
class _Load:
    """The lookups of a stage: seconds on devices that are full, and in a chain, each one alone.

    ``compute_s`` is the arithmetic alone of the full ones, ``streamed_bytes`` what they read from
    memory. ``full_on`` and ``chain_on`` are the figures that the seconds of PBS rest on.
    """

    stage: str
    full_s: Mapping[Operation, float]
    compute_s: Mapping[Operation, float]
    streamed_bytes: Mapping[Operation, float]
    chain_s: float
    streamed: bool
    full_on: tuple[Figure, ...]
    chain_on: tuple[Figure, ...]

    @property
    def busy_s(self) -> float:
        return sum(self.full_s.values())

    @property
    def alone_s(self) -> float:
        return max(self.busy_s, self.chain_s)


def _alone(
    parameters: PbsParameters, figures: GpuFigures, case: Case, pbs: PbsAlgorithm
) -> tuple[float, tuple[Figure, ...]]:
    """Seconds of one PBS alone, and the figures that they rest on."""
    steps, step_s = pbs.steps(parameters), figures.tuned_step_s
    if step_s is not None and figures.tuned_for(parameters):
        return steps * case.cost(step_s), (step_s,)
    rate, on = case.rate(figures.single_pbs_rate_units_per_s), _spills_on(parameters, figures)
    if on:
        rate *= case.rate(figures.spilled_rate_share)
    seconds = steps * case.cost(figures.step_overhead_s) + pbs.units(parameters) / rate
    return seconds, (figures.step_overhead_s, figures.single_pbs_rate_units_per_s, *on)


def _step_bytes(parameters: PbsParameters) -> int:
    """The Fourier digits and the accumulator of one step."""
    polynomials = (parameters.glwe_dimension + 1) * (parameters.level_count + 1)
    return polynomials * parameters.polynomial_size * TORUS_BYTES


def _spills_on(parameters: PbsParameters, figures: GpuFigures) -> tuple[Figure, ...]:
    """The figures that tell what a step loses that outgrows the shared memory; none if it fits."""
    if _step_bytes(parameters) <= figures.shared_memory_bytes.value:
        return ()
    return figures.spilled_rate_share, figures.shared_memory_bytes


def _load(stage: Stage, figures: GpuFigures, case: Case, pbs: PbsAlgorithm) -> _Load:
    compute_s = moved = one_pbs_s = 0.0
    spilled: tuple[Figure, ...] = ()
    alone_on: tuple[Figure, ...] = ()
    rates: list[Figure] = []
    for use in stage.pbs:
        parameters = use.parameters
        stretch = figures.stretch(parameters.polynomial_size, case)
        rate = figures.saturated_rate_units_per_s
        if figures.tuned_rate_units_per_s is not None and figures.tuned_for(parameters):
            rate = figures.tuned_rate_units_per_s
        rates.append(rate)
        compute_s += use.count * pbs.units(parameters) * stretch / case.rate(rate)
        moved += use.count / figures.concurrent_pbs.value * pbs.key_bytes(parameters)
        if on := _spills_on(parameters, figures):
            spilled = on
            moved += use.count * pbs.steps(parameters) * 2 * _step_bytes(parameters)
        alone_s, rests_on = _alone(parameters, figures, case, pbs)
        one_pbs_s, alone_on = max(one_pbs_s, stretch * alone_s), (*alone_on, *rests_on)
    stream_s = moved / case.rate(figures.memory_bandwidth_bytes_per_s)
    switches = [(use.count, key_switch_units(use.parameters)) for use in stage.key_switches]
    switch_s = sum(count * units for count, units in switches) / case.rate(
        figures.key_switch_rate_units_per_s
    )
    one_switch_s = max((units for _, units in switches), default=0.0) / case.rate(
        figures.single_key_switch_rate_units_per_s
    )
    devices = figures.devices.value
    return _Load(
        stage.name,
        {"pbs": max(compute_s, stream_s) / devices, "key_switch": switch_s / devices},
        {"pbs": compute_s / devices, "key_switch": switch_s / devices},
        {"pbs": moved, "key_switch": 0.0},
        chain_s=stage.depth * (one_pbs_s + one_switch_s),
        streamed=stream_s > compute_s,
        full_on=(figures.memory_bandwidth_bytes_per_s, figures.concurrent_pbs, *spilled[1:])
        if stream_s > compute_s
        else tuple(rates) or (figures.saturated_rate_units_per_s,),
        chain_on=alone_on or (figures.step_overhead_s, figures.single_pbs_rate_units_per_s),
    )


def _level_costs(
    level: tuple[Stage, ...], figures: GpuFigures, case: Case, pbs: PbsAlgorithm
) -> list[Cost]:
    """Costs of the lookups of stages that run together."""
    working = [stage for stage in level if stage.pbs or stage.key_switches]
    loads = [_load(stage, figures, case, pbs) for stage in working]
    if not loads:
        return []
    busy_s = sum(load.busy_s for load in loads)
    waited_for = max(loads, key=lambda load: load.chain_s)
    longest_s = waited_for.chain_s
    scale = max(busy_s, longest_s) / sum(load.alone_s for load in loads)
    full = busy_s >= longest_s
    switch_rate = (
        figures.devices if full else figures.single_key_switch_rate_units_per_s,
        figures.key_switch_rate_units_per_s,
    )
    costs = []
    for load in loads:
        pbs_on = (figures.devices, *load.full_on) if full else waited_for.chain_on
        source: dict[Operation, Source] = {
            "pbs": figures.source_at(largest_size(*level), *pbs_on),
            "key_switch": weakest(*switch_rate),
        }
        work = Bottleneck.MEMORY_BANDWIDTH if load.streamed else Bottleneck.COMPUTE
        bound_by = work if full else Bottleneck.PARALLEL_WIDTH
        for operation, seconds in load.full_s.items():
            latency_s = load.alone_s * scale * seconds / load.busy_s
            costs.append(
                Cost(
                    stage=load.stage,
                    operation=operation,
                    latency_s=latency_s,
                    bottleneck=bound_by,
                    source=source[operation],
                    busy_s=seconds,
                    compute_s=load.compute_s[operation],
                    streamed_bytes=load.streamed_bytes[operation],
                )
            )
    return costs
