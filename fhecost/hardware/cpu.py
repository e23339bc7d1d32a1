"""Latency on a multicore CPU that runs Concrete's own code."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from fhecost.circuits.profile import Stage
from fhecost.circuits.work import (
    bootstrap_key_bytes,
    external_product_units,
    fourier_units,
    key_conversion_units,
    key_product_units,
    key_switch_units,
    linear_elements,
)
from fhecost.circuits.workload import Workload
from fhecost.hardware.estimate import Bottleneck, Operation, Preparation
from fhecost.hardware.latency_model import (
    ALL_KEYS,
    IN_AND_OUT,
    NARROW,
    Case,
    Cost,
    ExtrapolatedFigures,
    LatencyModel,
    optional,
)
from fhecost.hardware.memory import Held
from fhecost.hardware.profile import Kind
from fhecost.hardware.refusals import largest_size, memory_refusal
from fhecost.hardware.run_memory import run_memory
from fhecost.provenance import CountFigure, Figure, FractionFigure, PositiveFigure, Source, weakest


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
    transfer_byte_s: Figure | None = optional("taking in or handing out a byte")
    large_transfer_bytes: PositiveFigure | None = optional(
        "size of all inputs, or all outputs, from which a byte takes longer"
    )
    large_transfer_byte_s: Figure | None = optional("what a byte beyond that takes longer")
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

    Inputs and outputs are copied: a run takes r, each byte of either t, and each byte of either
    beyond S another u (``run_s``, ``transfer_byte_s``, ``large_transfer_bytes``,
    ``large_transfer_byte_s``, fitted by ``fhecost.measurement.transfer_fit``); a machine without
    these figures leaves them out.

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

    def leaves_out(self, figures: CpuFigures) -> frozenset[Operation]:
        """A run's own cost, where it isn't known."""
        return frozenset() if _transfer_figures(figures) else frozenset({"transfer"})

    def refusal(self, circuit: Workload, figures: CpuFigures) -> str | None:
        """A machine without the memory for the keys can't run the circuit."""
        # The bootstrap key is held twice: as generated, and in the Fourier domain. Ciphertexts
        # between the stages come on top, so this is a lower bound.
        keys = circuit.bsk_bytes + circuit.ksk_bytes
        needed = keys + run_memory().least_bytes_beside(circuit, circuit.bsk_bytes)
        return memory_refusal(needed, figures.memory_bytes, "keys, inputs and outputs")

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
        count, loops = _lookups(stage), sum(times for _, times in _loops(stage))
        seconds = sum(_one_thread_s(stage, figures, Case.LIKELY).values())
        return loops * seconds / count if count else 0.0

    def costs(self, circuit: Workload, figures: CpuFigures, case: Case) -> list[Cost]:
        """Costs by stage, in the order in which Concrete runs them."""
        costs: list[Cost] = []
        for stage in circuit.stages:
            costs += _lookup_costs(stage, figures, case)
            elements = linear_elements(stage)
            costs.append(_streamed(stage.name, "linear", elements, figures.linear_element_s, case))
        key_bytes = circuit.bsk_bytes + circuit.ksk_bytes
        costs.append(_streamed(ALL_KEYS, "keys", key_bytes, figures.key_byte_s, case))
        return [*costs, *_transfer_costs(circuit, figures, case)]


def _streamed(stage: str, operation: Operation, count: int, one: Figure, case: Case) -> Cost:
    seconds = count * case.cost(one)
    return Cost(stage, operation, seconds, Bottleneck.MEMORY_BANDWIDTH, one.source)


def _transfer_figures(figures: CpuFigures) -> tuple[Figure, Figure, Figure, Figure] | None:
    """What inputs and outputs cost: a run, a byte, from which size on more, and how much more."""
    run, byte = figures.run_s, figures.transfer_byte_s
    size, more = figures.large_transfer_bytes, figures.large_transfer_byte_s
    if run is None or byte is None or size is None or more is None:
        return None
    return run, byte, size, more


def _transfer_costs(circuit: Workload, figures: CpuFigures, case: Case) -> Iterator[Cost]:
    known = _transfer_figures(figures)
    sizes = circuit.input_bytes, circuit.output_bytes
    # Operations that are no circuit take and return nothing, and are no run.
    if known is None or not any(sizes):
        return
    run, byte, large, more = known
    seconds = case.cost(run) + case.cost(byte) * sum(sizes)
    seconds += case.cost(more) * sum(max(0.0, size - large.value) for size in sizes)
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


def _lookups(stage: Stage) -> int:
    """How many lookups the threads share out of ``stage``."""
    shared = sum(width * times for width, times in _loops(stage))
    return min(stage.pbs_count or stage.key_switch_count, shared)


def _one_thread_s(stage: Stage, figures: CpuFigures, case: Case) -> dict[Operation, float]:
    """Seconds of all lookups of ``stage`` on one thread."""
    fourier_unit_s = case.cost(figures.fourier_unit_s)
    product_unit_s = case.cost(figures.external_product_unit_s)
    pbs_s = 0.0
    for use in stage.pbs:
        one_s = fourier_unit_s * fourier_units(use.parameters)
        one_s += product_unit_s * external_product_units(use.parameters)
        pbs_s += use.count * (one_s * figures.stretch(use.parameters.polynomial_size, case))
    switch_unit_s = case.cost(figures.key_switch_unit_s)
    switches = ((use.count, key_switch_units(use.parameters)) for use in stage.key_switches)
    return {
        "pbs": pbs_s,
        "key_switch": sum(count * (switch_unit_s * units) for count, units in switches),
    }


def _lookup_costs(stage: Stage, figures: CpuFigures, case: Case) -> Iterator[Cost]:
    count, loops = _lookups(stage), _loops(stage)
    if not count:
        return
    threads = figures.threads.value
    together = case.rate(figures.thread_efficiency)
    # Seconds of one thread become seconds of the stage: rounds * (time of one lookup).
    rounds = sum(times * math.ceil(width / threads) for width, times in loops)
    share = (
        sum(
            times * math.ceil(width / threads) / (together if min(width, threads) > 1 else 1.0)
            for width, times in loops
        )
        / count
    )
    full_share = 1 / threads / (together if threads > 1 else 1.0)
    narrow = count / (rounds * threads) <= NARROW
    # What doesn't run side by side doesn't rest on the number of threads.
    side_by_side = max(width for width, _ in loops) > 1
    parallel = [figures.threads, figures.thread_efficiency] if side_by_side else []
    source: dict[Operation, Source] = {
        "pbs": figures.source_at(
            largest_size(stage),
            figures.fourier_unit_s,
            figures.external_product_unit_s,
            *parallel,
        ),
        "key_switch": weakest(figures.key_switch_unit_s, *parallel),
    }
    bandwidth, streaming_s = figures.memory_bandwidth_bytes_per_s, 0.0
    if bandwidth is not None:
        moved = sum(use.count * bootstrap_key_bytes(use.parameters) for use in stage.pbs)
        streaming_s = moved / case.rate(bandwidth)
    for operation, seconds in _one_thread_s(stage, figures, case).items():
        least_s = streaming_s if operation == "pbs" else 0.0
        bottleneck = Bottleneck.PARALLEL_WIDTH if narrow else Bottleneck.COMPUTE
        rests_on = source[operation]
        if bandwidth is not None and least_s > seconds * share:
            bottleneck, rests_on = Bottleneck.MEMORY_BANDWIDTH, bandwidth.source
        yield Cost(
            stage=stage.name,
            operation=operation,
            latency_s=max(seconds * share, least_s),
            bottleneck=bottleneck,
            source=rests_on,
            busy_s=max(seconds * full_share, least_s),
        )
