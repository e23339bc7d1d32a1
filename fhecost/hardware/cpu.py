"""Latency on a multicore CPU that runs Concrete's own code."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import ClassVar

from pydantic import Field

from fhecost.circuits.profile import Stage
from fhecost.circuits.work import (
    key_conversion_units,
    key_product_units,
    key_switch_units,
    linear_elements,
)
from fhecost.circuits.workload import Workload
from fhecost.hardware.bootstraps import PbsAlgorithm
from fhecost.hardware.estimate import Bottleneck, Operation, Preparation
from fhecost.hardware.latency_model import (
    ALL_KEYS,
    IN_AND_OUT,
    NARROW,
    Case,
    Cost,
    ExtrapolatedFigures,
    Lanes,
    LatencyModel,
    optional,
)
from fhecost.hardware.memory import Held
from fhecost.hardware.profile import PBS_KINDS, Kind, PbsKind
from fhecost.hardware.refusals import largest_size, memory_refusal
from fhecost.hardware.run_memory import run_memory
from fhecost.provenance import CountFigure, Figure, FractionFigure, PositiveFigure, weakest


class CpuFigures(ExtrapolatedFigures):
    """What the CPU model needs; times are those of one thread."""

    threads: CountFigure = Field(description="threads that lookups are spread over")
    thread_efficiency: FractionFigure = Field(
        description="speed of each thread when all work, relative to one alone"
    )
    fourier_unit_s: PositiveFigure = Field(description="a unit of Fourier work")
    external_product_unit_s: PositiveFigure = Field(description="a multiply-add of a PBS")
    key_switch_unit_s: PositiveFigure = Field(description="a unit of KS work")
    key_byte_s: PositiveFigure = Field(description="handing over a byte of the keys, once a run")
    linear_element_s: PositiveFigure = Field(
        description="a linear operation, by torus element of its ciphertext"
    )
    run_s: Figure | None = optional("a run's own cost, whatever it computes")
    input_byte_s: Figure | None = optional("taking in a byte")
    output_byte_s: Figure | None = optional("handing out a byte")
    fresh_byte_s: Figure | None = optional(
        "memory that the system gives a run anew, by byte of its inputs or outputs, the larger"
    )
    keygen_bsk_byte_s: Figure | None = optional("making a byte of a bootstrap key")
    keygen_product_unit_s: Figure | None = optional(
        "a multiplication of the products that make a bootstrap key"
    )
    keygen_ksk_byte_s: Figure | None = optional("making a byte of a key-switch key")
    conversion_unit_s: Figure | None = optional("a unit of the bootstrap keys' Fourier transforms")
    conversion_byte_s: Figure | None = optional("a byte of the bootstrap keys' first use")
    bsk_copies: Figure | None = optional("how often memory holds the BSK")
    ksk_copies: Figure | None = optional("how often memory holds the KSK")
    process_memory_bytes: PositiveFigure | None = optional(
        "what a process holds before it makes keys"
    )
    probe_s: PositiveFigure | None = optional(
        "one fixed computation at the speed that the figures hold for"
    )


_PREPARATION = (
    *("keygen_bsk_byte_s", "keygen_product_unit_s", "keygen_ksk_byte_s"),
    *("conversion_unit_s", "conversion_byte_s", "bsk_copies", "ksk_copies", "process_memory_bytes"),
)
"""The figures that tell what comes before a warm run, if they are all there."""


class CpuLatencyModel(LatencyModel[CpuFigures]):
    """Stages one after the other, the ciphertexts of a stage spread over the threads.

    Concrete runs the operations of a circuit in their order and the elements of each tensor in a
    parallel loop. One thread needs for one operation::

        PBS  = a * n*(k+1)*(l+1)*(N*log2 N + N)  +  b * n*(k+1)^2*l*N
        KS   = c * (units of the key switch)
        linear operation on one ciphertext = d * (LWE dimension + 1)

    with a = ``fourier_unit_s``, b = ``external_product_unit_s``, c = ``key_switch_unit_s`` and
    d = ``linear_element_s`` (the counts are the terms of the Concrete optimizer's cost, see
    ``fhecost.circuits.work``; the constants are fitted by ``fhecost.measurement.fit``). A loop over
    the lookups of w values takes ceil(w/T) rounds on T threads, and loops run one after the other
    even where they don't wait for each other; a stage whose loops are unknown has one of them for
    each of its steps. With more than one thread at work each runs at ``thread_efficiency`` of its
    speed alone. Linear operations are bound by memory and gain nothing from threads.

    Each run hands the keys over once, at ``key_byte_s`` a byte whatever the threads.

    Where the memory's bandwidth is known, a stage's PBS take no less than streaming the bootstrap
    key once for each of them takes: many cores share what one has alone.

    Inputs and outputs are copied: a run with I bytes of inputs and O of outputs takes
    r + s*I + t*O + u*max(I, O) for that, since the smaller of them finds memory that the larger
    has used (``run_s``, ``input_byte_s``, ``output_byte_s``, ``fresh_byte_s``, fitted by
    ``fhecost.measurement.transfer_fit``); a machine without these figures leaves them out.

    Left out: cache misses while bootstrap keys stream from memory (they are inside a and b as an
    average), and the start of each parallel loop.

    Before the first warm run::

        key generation = (e per byte of BSK + f per key-product unit)/T + (g per byte of KSK)
        cold run       = warm run + (h per key-conversion unit) + (i per byte of BSK)
        peak memory    = process + BSK + ``ksk_copies`` * KSK + run

    fitted by ``fhecost.measurement.fit``; a machine without these figures predicts none. What a run
    holds besides, (``bsk_copies`` - 1) * BSK and copies of its ciphertexts, is in
    :mod:`fhecost.hardware.run_memory`.

    All constants hold at the speed that the machine had when it was calibrated. ``probe_s``, where
    it is known, is what one fixed computation took then: ``fhecost.measurement.run_record``
    stretches a prediction for a machine that is slower now by the same ratio.
    """

    figures_type: ClassVar[type[ExtrapolatedFigures]] = CpuFigures
    assumptions: ClassVar[tuple[str, ...]] = (
        "warm run: keys generated and in the Fourier domain; encryption and decryption left out",
        "coarse: streaming of keys that outgrow the cache is averaged into the constants",
        "coarse: no time for starting a parallel loop",
    )

    kinds: ClassVar[frozenset[Kind]] = frozenset({"cpu"})
    pbs_kinds: ClassVar[frozenset[PbsKind]] = frozenset(PBS_KINDS)

    def leaves_out(self, figures: CpuFigures) -> frozenset[Operation]:
        """A run's own cost, where it isn't known."""
        return frozenset() if _transfer_figures(figures) else frozenset({"transfer"})

    def refusal(self, circuit: Workload, figures: CpuFigures) -> str | None:
        """A machine without the memory for the keys can't run the circuit."""
        # The bootstrap key is held twice: as generated, and in the Fourier domain. Ciphertexts
        # between the stages come on top, so this is a lower bound.
        keys = circuit.bsk_bytes + circuit.ksk_bytes
        beside = run_memory().least_bytes_beside(circuit, circuit.bsk_bytes)
        data = max(0.0, beside - circuit.bsk_bytes)
        what = "keys, inputs and outputs"
        return memory_refusal(keys + beside, figures.memory_bytes, what, data)

    def lanes(self, figures: CpuFigures) -> Lanes:
        """A batch of PBS on each thread."""
        return Lanes(figures.threads, figures.thread_efficiency)

    def held(self, circuit: Workload, figures: CpuFigures) -> Held:
        """The bootstrap key as generated and in the Fourier domain; a lookup a thread."""
        return Held(2 * circuit.bsk_bytes + circuit.ksk_bytes, figures.threads.value)

    def preparation(
        self, circuit: Workload, figures: CpuFigures, warm_s: float, case: Case = Case.LIKELY
    ) -> Preparation | None:
        """Key generation, the first run and memory; None without figures for them."""
        known = {
            name: case.cost(figure)
            for name in _PREPARATION
            if (figure := getattr(figures, name)) is not None
        }
        if len(known) < len(_PREPARATION):
            return None
        sets = {use.parameters for stage in circuit.stages for use in stage.pbs}
        products = sum(key_product_units(parameters) for parameters in sets)
        conversions = sum(key_conversion_units(parameters) for parameters in sets)
        bsk_s = known["keygen_bsk_byte_s"] * circuit.bsk_bytes
        bsk_s += known["keygen_product_unit_s"] * products
        return Preparation(
            keygen_s=bsk_s / figures.threads.value + known["keygen_ksk_byte_s"] * circuit.ksk_bytes,
            cold_s=warm_s
            + known["conversion_unit_s"] * conversions
            + known["conversion_byte_s"] * circuit.bsk_bytes,
            peak_memory_bytes=known["process_memory_bytes"]
            + circuit.bsk_bytes
            + known["ksk_copies"] * circuit.ksk_bytes
            + run_memory().bytes_beside(circuit, (known["bsk_copies"] - 1) * circuit.bsk_bytes),
        )

    def alone_s(self, stage: Stage, figures: CpuFigures) -> float:
        """Seconds of one lookup of the stage, as often as loops wait for each other."""
        loops = _loops(stage)
        count = _lookups(stage, loops)
        if not count:
            return 0.0
        seconds = sum(_Threads(figures, Case.LIKELY, self.pbs).one_s(stage))
        return sum([times for _, times in loops]) * seconds / count

    def costs(self, circuit: Workload, figures: CpuFigures, case: Case) -> list[Cost]:
        """Costs by stage, in the order in which Concrete runs them."""
        costs: list[Cost] = []
        threads = _Threads(figures, case, self.pbs)
        for stage in circuit.stages:
            costs += threads.costs(stage)
            elements = linear_elements(stage)
            costs.append(_streamed(stage.name, "linear", elements, figures.linear_element_s, case))
        key_bytes = circuit.bsk_bytes + circuit.ksk_bytes
        costs.append(_streamed(ALL_KEYS, "keys", key_bytes, figures.key_byte_s, case))
        return [*costs, *_transfer_costs(circuit, figures, case)]


def _streamed(stage: str, operation: Operation, count: int, one: Figure, case: Case) -> Cost:
    seconds = count * case.cost(one)
    return Cost(stage, operation, seconds, Bottleneck.MEMORY_BANDWIDTH, one.source)


def _transfer_figures(figures: CpuFigures) -> tuple[Figure, Figure, Figure, Figure] | None:
    """What inputs and outputs cost: a run, a byte of each, and one of memory for the larger."""
    run, fresh = figures.run_s, figures.fresh_byte_s
    taken, given = figures.input_byte_s, figures.output_byte_s
    if run is None or taken is None or given is None or fresh is None:
        return None
    return run, taken, given, fresh


def _transfer_costs(circuit: Workload, figures: CpuFigures, case: Case) -> Iterator[Cost]:
    known = _transfer_figures(figures)
    inputs, outputs = circuit.input_bytes, circuit.output_bytes
    # Operations that are no circuit take and return nothing, and are no run.
    if known is None or not (inputs or outputs):
        return
    run, taken, given, fresh = known
    seconds = case.cost(run) + case.cost(taken) * inputs + case.cost(given) * outputs
    seconds += case.cost(fresh) * max(inputs, outputs)
    yield Cost(IN_AND_OUT, "transfer", seconds, Bottleneck.TRANSFER, weakest(*known))


def _loops(stage: Stage) -> list[tuple[int, int]]:
    """The loops over lookups that the threads share out, by their width and number.

    Where the compiled ones are unknown, one for each step. The PBS, each with its part of the KS;
    KS that belong to no PBS are lookups of their own, but no more of them than the stage has
    values: what one value needs, one thread does.
    """
    if stage.loops:
        return [(loop.width, loop.times) for loop in stage.loops]
    count = stage.pbs_count or stage.key_switch_count
    at_once = min(stage.parallel_width, math.ceil(count / stage.depth))
    return [(at_once, stage.depth)] if count else []


def _lookups(stage: Stage, loops: Sequence[tuple[int, int]]) -> int:
    """How many lookups the threads share out of ``stage``, in its ``loops``."""
    shared = sum([width * times for width, times in loops])
    return min(stage.pbs_count or stage.key_switch_count, shared)


class _Threads:
    """The threads in one case of the figures, which are the same for all stages."""

    def __init__(self, figures: CpuFigures, case: Case, pbs: PbsAlgorithm) -> None:
        self.figures, self.case, self.algorithm = figures, case, pbs
        self.fourier_unit_s = case.cost(figures.fourier_unit_s)
        self.product_unit_s = case.cost(figures.external_product_unit_s)
        self.switch_unit_s = case.cost(figures.key_switch_unit_s)
        self.threads = figures.threads.value
        self.together = case.rate(figures.thread_efficiency)
        self.full_share = 1 / self.threads / (self.together if self.threads > 1 else 1.0)

    def one_s(self, stage: Stage) -> tuple[float, float]:
        """Seconds of all PBS of ``stage`` on one thread, and of all its KS."""
        pbs_s = 0.0
        for use in stage.pbs:
            parameters = use.parameters
            one_s = self.fourier_unit_s * self.algorithm.fourier_units(parameters)
            one_s += self.product_unit_s * self.algorithm.product_units(parameters)
            stretch = self.figures.stretch(parameters.polynomial_size, self.case)
            pbs_s += use.count * (one_s * stretch)
        switch_s = 0.0
        for switch in stage.key_switches:
            switch_s += switch.count * (self.switch_unit_s * key_switch_units(switch.parameters))
        return pbs_s, switch_s

    def costs(self, stage: Stage) -> Iterator[Cost]:
        """What the lookups of ``stage`` cost."""
        loops = _loops(stage)
        count = _lookups(stage, loops)
        if not count:
            return
        figures, threads, together = self.figures, self.threads, self.together
        # Seconds of one thread become seconds of the stage: rounds * (time of one lookup).
        rounds, slower = 0, 0.0
        for width, times in loops:
            in_loop = times * math.ceil(width / threads)
            rounds += in_loop
            slower += in_loop / (together if min(width, threads) > 1 else 1.0)
        share = slower / count
        narrow = count / (rounds * threads) <= NARROW
        bound_by = Bottleneck.PARALLEL_WIDTH if narrow else Bottleneck.COMPUTE
        # What doesn't run side by side doesn't rest on the number of threads.
        side_by_side = max(loops)[0] > 1
        parallel = (figures.threads, figures.thread_efficiency) if side_by_side else ()
        pbs_s, switch_s = self.one_s(stage)
        yield self._pbs_cost(stage, pbs_s, share, bound_by, parallel)
        yield Cost(
            stage.name,
            "key_switch",
            switch_s * share,
            bound_by,
            weakest(figures.key_switch_unit_s, *parallel),
            switch_s * self.full_share,
            compute_s=switch_s * self.full_share,
            streamed_bytes=0.0,
        )

    def _pbs_cost(
        self,
        stage: Stage,
        pbs_s: float,
        share: float,
        bound_by: Bottleneck,
        parallel: Sequence[Figure],
    ) -> Cost:
        """The PBS of ``stage``; the memory may bound them, whatever the threads do."""
        figures, bandwidth, least_s = self.figures, self.figures.memory_bandwidth_bytes_per_s, 0.0
        key_bytes = self.algorithm.key_bytes
        moved = sum([use.count * key_bytes(use.parameters) for use in stage.pbs])
        if bandwidth is not None:
            least_s = moved / self.case.rate(bandwidth)
        if bandwidth is not None and least_s > pbs_s * share:
            bound_by, source = Bottleneck.MEMORY_BANDWIDTH, bandwidth.source
        else:
            units = figures.fourier_unit_s, figures.external_product_unit_s
            source = figures.source_at(largest_size(stage), *units, *parallel)
        latency_s, compute_s = max(pbs_s * share, least_s), pbs_s * self.full_share
        busy_s = max(compute_s, least_s)
        return Cost(stage.name, "pbs", latency_s, bound_by, source, busy_s, compute_s, moved)
