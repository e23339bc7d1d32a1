"""Latency on hardware that bootstraps fixed batches through a pipeline: FPGA and ASIC."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import ClassVar, NamedTuple

from pydantic import Field, model_validator

from fhecost.circuits.profile import KeySwitchParameters, PbsParameters, Stage
from fhecost.circuits.work import (
    key_switch_key_bytes,
    key_switch_multiplications,
    key_switch_units,
)
from fhecost.circuits.workload import Workload
from fhecost.hardware.bootstraps import PbsAlgorithm
from fhecost.hardware.estimate import Bottleneck, Operation
from fhecost.hardware.latency_model import (
    NARROW,
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
from fhecost.hardware.refusals import key_refusal
from fhecost.provenance import (
    CountFigure,
    Figure,
    FractionFigure,
    PositiveFigure,
    PowerOfTwoFigure,
    Source,
    weakest,
)

MULTIPLIERS_PER_BUTTERFLY = 4
"""Real multipliers of one complex butterfly, free for the products of a key switch."""


class PipelinedFigures(ExtrapolatedFigures):
    """What the pipeline model needs, of one device; rates are in units of the Concrete optimizer.

    The speed is given either by a rate of work, as published throughputs show it, or by a clock and
    a number of butterfly units, for a design that exists on paper only.
    """

    devices: CountFigure = Field(description="devices, each with its own copy of the keys")
    work_rate_units_per_s: PositiveFigure | None = optional("PBS and KS work of a full device")
    butterfly_units: PositiveFigure | None = optional(
        "complex butterflies that start in each cycle"
    )
    batch: CountFigure = Field(description="ciphertexts of one batch step")
    shortest_step_share: FractionFigure | None = optional(
        "shortest batch step, relative to a full one; 1 when left out"
    )
    on_chip_key_bytes: PositiveFigure | None = optional(
        "largest bootstrap key that stays on the chip"
    )
    largest_polynomial_size: PowerOfTwoFigure = Field(description="the largest N that can run")
    key_switch_work_share: Figure = Field(
        description="share of the key switch that isn't hidden behind blind rotations"
    )
    memory_bandwidth_bytes_per_s: PositiveFigure = Field(description="bandwidth of the memory")
    ciphertext_passes_per_linear_operation: PositiveFigure = Field(
        description="times that a linear operation moves its ciphertext through memory"
    )

    @model_validator(mode="after")
    def _one_speed(self) -> PipelinedFigures:
        if (self.work_rate_units_per_s is None) == (self.butterfly_units is None):
            raise ValueError("needs work_rate_units_per_s or butterfly_units, and not both")
        if self.butterfly_units is not None and self.clock_hz is None:
            raise ValueError("butterfly_units needs clock_hz")
        return self


class PipelinedLatencyModel(LatencyModel[PipelinedFigures]):
    """Batch steps: each takes the longer of its compute and of streaming its keys.

    A device holds B ciphertexts of one parameter set. A stage of width w in s steps is shared out
    over D devices and needs s*ceil(w/(D*B)) batch steps; one that is filled with b ciphertexts
    takes::

        max( max(b/B, f) * B * PBS / R, bytes of BSK / memory bandwidth )
            + h * max( max(b/B, f) * B * KS / R, bytes of KSK / memory bandwidth )

    R is the rate of work of a full device: a published throughput times the work of the published
    set, PBS and KS being the work of one operation in optimizer units. A design on paper has
    butterflies instead: a PBS takes n*(k+1)*(l+1) transforms of (N/4)*log2(N/2) butterflies and
    n*(k+1)^2*l*N/2 complex multiply-adds, one butterfly each; a KS its integer multiply-adds, four
    a butterfly; U units start as many in each cycle of the clock. f is the shortest step, 1 where
    a batch takes as long whatever is in it; h the share of the key switch that isn't hidden behind
    blind rotations, 1 in a stage without any. A bootstrap key that fits on the chip isn't streamed.

    Stages run one after the other in the order of their dependencies, so a narrow stage leaves
    part of the pipeline idle. A set beyond the largest N can't be run at all. The template is
    CASCADE's own model (Du et al., 2026): batch steps, each the longer of compute and
    communication; the optimizer's units are those of ``fhecost.circuits.work``.

    Inputs and outputs cross the host link once where it is known. Left out: that where it isn't,
    and the time to fill and drain the pipeline.
    """

    figures_type: ClassVar[type[ExtrapolatedFigures]] = PipelinedFigures
    assumptions: ClassVar[tuple[str, ...]] = (
        "keys are in the accelerator's memory before the run; encryption and decryption left out, "
        "and host transfer where no link is known",
        "coarse: one rate of work for all sets up to the largest N, 64-bit torus included; the "
        "range widens with each doubling of N beyond the published ones",
        "coarse: stages of one dependency level don't share a batch",
        "coarse: keys that outgrow the chip are streamed once a batch step",
    )

    left_out: ClassVar[frozenset[Operation]] = frozenset({"keys", "transfer"})
    kinds: ClassVar[frozenset[Kind]] = frozenset({"fpga", "asic"})
    pbs_kinds: ClassVar[frozenset[PbsKind]] = frozenset(PBS_KINDS)

    def refusal(self, circuit: Workload, figures: PipelinedFigures) -> str | None:
        """A set with a larger N than the hardware's, or keys beyond its memory, can't be run."""
        return key_refusal(circuit, figures.largest_polynomial_size.value, figures.memory_bytes)

    def lanes(self, figures: PipelinedFigures) -> Lanes:
        """A batch of PBS on each device."""
        return Lanes(figures.devices)

    def held(self, circuit: Workload, figures: PipelinedFigures) -> Held:
        """All keys on every device, and a batch."""
        keys_bytes = circuit.bsk_bytes + circuit.ksk_bytes
        return Held(keys_bytes, figures.batch.value, figures.devices.value)

    def leaves_out(self, figures: PipelinedFigures) -> frozenset[Operation]:
        """The host link where it isn't known."""
        known = figures.host_link_bytes_per_s is not None
        return self.left_out - {"transfer"} if known else self.left_out

    def alone_s(self, stage: Stage, figures: PipelinedFigures) -> float:
        """Seconds of the shortest batch step, as often as the stage's steps wait for each other."""
        steps = _Steps(figures, Case.LIKELY, self.pbs)
        pbs_s = max((steps.pbs(use.parameters)[0] for use in stage.pbs), default=0.0)
        switches = (steps.key_switch(use.parameters)[0] for use in stage.key_switches)
        switch_s = steps.exposed(stage) * max(switches, default=0.0)
        return stage.depth * (steps.shortest * pbs_s + steps.shortest * switch_s)

    def costs(self, circuit: Workload, figures: PipelinedFigures, case: Case) -> list[Cost]:
        """Costs by stage, one stage after the other."""
        steps = _Steps(figures, case, self.pbs)
        costs = [cost for stage in circuit.stages for cost in steps.costs(stage)]
        if figures.host_link_bytes_per_s is not None:
            link, start = figures.host_link_bytes_per_s, figures.host_link_start_s
            costs.append(transfer_cost(circuit, link, start, case))
        return costs


class _BoundBy(NamedTuple):
    """What sets the length of batch steps; a last one may differ from full ones."""

    computing: bool
    streaming: bool
    shortest_step: bool


class _Steps:
    """Full batch steps of one case of the figures: stages share sets, so each is worked out once.

    ``pbs`` and ``key_switch`` give by parameter set the seconds of computing and those of streaming
    the key, ``source`` what the time of batch steps rests on.
    """

    def __init__(self, figures: PipelinedFigures, case: Case, pbs: PbsAlgorithm) -> None:
        self.figures, self.case, self.algorithm = figures, case, pbs
        self.batch, self.devices = figures.batch.value, figures.devices.value
        shortest = figures.shortest_step_share
        # Relative to a full step, what a single ciphertext takes.
        self.shortest = max(1.0 if shortest is None else shortest.value, 1 / self.batch)
        self.bandwidth = case.rate(figures.memory_bandwidth_bytes_per_s)
        self.pbs, self.key_switch = cache(self._pbs), cache(self._key_switch)
        self.source = cache(self._source)

    def _pbs(self, parameters: PbsParameters) -> tuple[float, float]:
        one_s = self._seconds(
            self.algorithm.units(parameters), self.algorithm.butterflies(parameters)
        )
        stretch = self.figures.stretch(parameters.polynomial_size, self.case)
        key_bytes = self.algorithm.key_bytes(parameters)
        kept = self.figures.on_chip_key_bytes
        stays = kept is not None and key_bytes <= kept.value
        return stretch * self.batch * one_s, 0.0 if stays else key_bytes / self.bandwidth

    def _key_switch(self, parameters: KeySwitchParameters) -> tuple[float, float]:
        multiplications = key_switch_multiplications(parameters)
        one_s = self._seconds(
            key_switch_units(parameters), multiplications / MULTIPLIERS_PER_BUTTERFLY
        )
        return self.batch * one_s, key_switch_key_bytes(parameters) / self.bandwidth

    def _seconds(self, units: float, butterflies: float) -> float:
        figures, rate = self.figures, self.case.rate
        if figures.work_rate_units_per_s is not None:
            return units / rate(figures.work_rate_units_per_s)
        if figures.clock_hz is None or figures.butterfly_units is None:
            raise TypeError("checked when the figures were read")
        return butterflies / (rate(figures.clock_hz) * rate(figures.butterfly_units))

    def _source(self, operation: Operation, bound_by: _BoundBy, largest: int | None) -> Source:
        """What the time of batch steps rests on: their number on the batch, their length on a rate.

        ``largest`` is the largest N of the stage, None where it has no PBS: nothing hides its KS.
        """
        figures = self.figures
        speed: list[Figure | None] = []
        if bound_by.streaming:
            speed.append(figures.memory_bandwidth_bytes_per_s)
            if operation == "pbs":
                # A key that could stay on the chip wouldn't be streamed.
                speed.append(figures.on_chip_key_bytes)
        if bound_by.computing:
            speed += (figures.work_rate_units_per_s, figures.butterfly_units)
            if figures.work_rate_units_per_s is None:
                speed.append(figures.clock_hz)
        if bound_by.shortest_step:
            speed.append(figures.shortest_step_share)
        every = (figures.devices, figures.batch, *speed)
        known = [figure for figure in every if figure is not None]
        if largest is None:
            return weakest(*known)
        if operation == "key_switch":
            return weakest(*known, figures.key_switch_work_share)
        return figures.source_at(largest, *known)

    def exposed(self, stage: Stage) -> float:
        """The share of the stage's key switches that takes time: all, where no PBS hides it."""
        return self.case.cost(self.figures.key_switch_work_share) if stage.pbs else 1.0

    def costs(self, stage: Stage) -> Iterator[Cost]:
        for use in stage.pbs:
            yield self._cost(stage, "pbs", use.count, *self.pbs(use.parameters))
        exposed = self.exposed(stage)
        for switch in stage.key_switches:
            full_s, key_s = (exposed * seconds for seconds in self.key_switch(switch.parameters))
            yield self._cost(stage, "key_switch", switch.count, full_s, key_s)
        passes = self.figures.ciphertext_passes_per_linear_operation
        bandwidth = self.figures.memory_bandwidth_bytes_per_s
        yield streamed_linear_cost(stage, passes, bandwidth, self.case, self.figures.devices)

    def _cost(
        self, stage: Stage, operation: Operation, count: int, full_s: float, key_s: float
    ) -> Cost:
        """The batch steps of ``count`` operations; a full step takes ``full_s`` and ``key_s``."""
        batch, devices = self.batch, self.devices
        per_depth = math.ceil(count / stage.depth)
        on_one = math.ceil(per_depth / devices)
        full_steps, rest = divmod(on_one, int(batch))
        at_rate_s = rest / batch * full_s
        last_s = max(self.shortest * full_s, at_rate_s) if rest else 0.0
        compute_s = full_steps * max(full_s, key_s) + (max(last_s, key_s) if rest else 0.0)
        steps = full_steps + bool(rest)
        lanes = math.ceil(on_one / batch) * batch * devices
        if key_s > full_s:
            bottleneck = Bottleneck.MEMORY_BANDWIDTH
        elif per_depth <= NARROW * lanes:
            bottleneck = Bottleneck.PARALLEL_WIDTH
        else:
            bottleneck = Bottleneck.COMPUTE
        bound_by = _BoundBy(
            computing=key_s <= full_s,
            streaming=key_s > (last_s if rest else full_s),
            shortest_step=key_s < last_s > at_rate_s,
        )
        largest = stage.largest_polynomial_size
        return Cost(
            stage=stage.name,
            operation=operation,
            latency_s=stage.depth * compute_s,
            bottleneck=bottleneck,
            source=self.source(operation, bound_by, largest),
            busy_s=count / (batch * devices) * max(full_s, key_s),
            compute_s=count / (batch * devices) * full_s,
            # Each batch step streams its key, on each device that takes part.
            streamed_bytes=stage.depth * steps * devices * key_s * self.bandwidth,
        )
