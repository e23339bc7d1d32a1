"""Latency on a multicore CPU that runs Concrete's own code."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from fhecost.circuits.profile import KeySwitchParameters, PbsParameters, Stage
from fhecost.circuits.work import (
    bootstrap_key_bytes,
    external_product_units,
    fourier_units,
    key_conversion_units,
    key_product_units,
    key_switch_units,
)
from fhecost.circuits.workload import Workload
from fhecost.hardware.estimate import Bottleneck, Operation, Preparation
from fhecost.hardware.latency_model import (
    ALL_KEYS,
    NARROW,
    Case,
    Cost,
    ExtrapolatedFigures,
    LatencyModel,
    memory_refusal,
)
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
    keygen_bsk_byte_s: Figure | None = Field(
        default=None, description="making a byte of a bootstrap key"
    )
    keygen_product_unit_s: Figure | None = Field(
        default=None, description="a multiplication of the products that make a bootstrap key"
    )
    keygen_ksk_byte_s: Figure | None = Field(
        default=None, description="making a byte of a key-switch key"
    )
    conversion_unit_s: Figure | None = Field(
        default=None, description="a unit of the bootstrap keys' Fourier transforms"
    )
    conversion_byte_s: Figure | None = Field(
        default=None, description="a byte of the bootstrap keys' first use"
    )
    bsk_copies: Figure | None = Field(default=None, description="how often memory holds the BSK")
    ksk_copies: Figure | None = Field(default=None, description="how often memory holds the KSK")
    process_memory_bytes: PositiveFigure | None = Field(
        default=None, description="what a process holds before it makes keys"
    )
    probe_s: PositiveFigure | None = Field(
        default=None, description="one fixed computation at the speed that the figures hold for"
    )


class CpuLatencyModel(LatencyModel[CpuFigures]):
    """Stages one after the other, the ciphertexts of a stage spread over the threads.

    Concrete runs the operations of a circuit in their order and the elements of each tensor in a
    parallel loop. One thread needs for one operation::

        PBS  = a * n*(k+1)*(l+1)*(N*log2 N + N)  +  b * n*(k+1)^2*l*N
        KS   = c * (units of the key switch)
        linear operation on one ciphertext = d * (LWE dimension + 1)

    with a = ``fourier_unit_s``, b = ``external_product_unit_s``, c = ``key_switch_unit_s`` and
    d = ``linear_element_s`` (the counts are the terms of the Concrete optimizer's cost, see
    ``fhecost.circuits.work``; the constants are fitted by ``fhecost.measurement.fit``). A stage of
    w lookups in each of s steps takes s*ceil(w/T) rounds on T threads; with more than one thread at
    work each runs at ``thread_efficiency`` of its speed alone. Linear operations are bound by
    memory and gain nothing from threads.

    Each run hands the keys over once, at ``key_byte_s`` a byte whatever the threads.

    Where the memory's bandwidth is known, a stage's PBS take no less than streaming the bootstrap
    key once for each of them takes: many cores share what one has alone.

    Left out: cache misses while bootstrap keys stream from memory (they are inside a and b as an
    average), and the start of each parallel loop.

    Before the first warm run::

        key generation = (e per byte of BSK + f per key-product unit)/T + (g per byte of KSK)
        cold run       = warm run + (h per key-conversion unit) + (i per byte of BSK)
        peak memory    = process + ``bsk_copies`` * BSK + ``ksk_copies`` * KSK + ciphertexts

    fitted by ``fhecost.measurement.key_fit``; a machine without these figures predicts none.

    All constants hold at the speed that the machine had when it was calibrated. ``probe_s``, where
    it is known, is what one fixed computation took then: ``fhecost.measurement.prediction``
    stretches a prediction for a machine that is slower now by the same ratio.
    """

    figures_type: ClassVar[type[ExtrapolatedFigures]] = CpuFigures
    assumptions: ClassVar[tuple[str, ...]] = (
        "warm run: keys generated and in the Fourier domain; encryption and decryption left out",
        "coarse: streaming of keys that outgrow the cache is averaged into the constants",
        "coarse: no time for starting a parallel loop",
    )

    left_out: ClassVar[frozenset[Operation]] = frozenset({"transfer"})

    def refusal(self, circuit: Workload, figures: CpuFigures) -> str | None:
        """A machine without the memory for the keys can't run the circuit."""
        # The bootstrap key is held twice: as generated, and in the Fourier domain. Ciphertexts
        # between the stages come on top, so this is a lower bound.
        needed = 2 * circuit.bsk_bytes + circuit.ksk_bytes
        needed += circuit.input_bytes + circuit.output_bytes
        return memory_refusal(needed, figures.memory_bytes, "keys, inputs and outputs")

    def preparation(
        self, circuit: Workload, figures: CpuFigures, warm_s: float, case: Case = Case.LIKELY
    ) -> Preparation | None:
        """Key generation, the first run and memory; None without figures for them."""
        known = (
            figures.keygen_bsk_byte_s,
            figures.keygen_product_unit_s,
            figures.keygen_ksk_byte_s,
            figures.conversion_unit_s,
            figures.conversion_byte_s,
            figures.bsk_copies,
            figures.ksk_copies,
            figures.process_memory_bytes,
        )
        values = [case.cost(figure) for figure in known if figure is not None]
        if len(values) < len(known):
            return None
        bsk_s, product_s, ksk_s, conversion_s, converted_byte_s, bsk_copies, ksk_copies, process = (
            values
        )
        sets = {use.parameters for stage in circuit.stages for use in stage.pbs}
        products = sum(key_product_units(parameters) for parameters in sets)
        conversions = sum(key_conversion_units(parameters) for parameters in sets)
        return Preparation(
            keygen_s=(bsk_s * circuit.bsk_bytes + product_s * products) / figures.threads.value
            + ksk_s * circuit.ksk_bytes,
            cold_s=warm_s + conversion_s * conversions + converted_byte_s * circuit.bsk_bytes,
            peak_memory_bytes=process
            + bsk_copies * circuit.bsk_bytes
            + ksk_copies * circuit.ksk_bytes
            + circuit.input_bytes
            + circuit.output_bytes,
        )

    def alone_s(self, stage: Stage, figures: CpuFigures) -> float:
        """Seconds of one lookup of the stage, as often as its steps wait for each other."""
        seconds = sum(use.count * pbs_seconds(use.parameters, figures) for use in stage.pbs)
        seconds += sum(
            use.count * key_switch_seconds(use.parameters, figures) for use in stage.key_switches
        )
        lookups = _lookups(stage)
        return stage.depth * seconds / lookups.count if lookups else 0.0

    def costs(self, circuit: Workload, figures: CpuFigures, case: Case) -> list[Cost]:
        """Costs by stage, in the order in which Concrete runs them."""
        costs = [cost for stage in circuit.stages for cost in _stage_costs(stage, figures, case)]
        keys_s = case.cost(figures.key_byte_s) * (circuit.bsk_bytes + circuit.ksk_bytes)
        if keys_s > 0:
            source = figures.key_byte_s.source
            costs.append(Cost(ALL_KEYS, "keys", keys_s, Bottleneck.MEMORY_BANDWIDTH, source))
        return costs


def pbs_seconds(parameters: PbsParameters, figures: CpuFigures, case: Case = Case.LIKELY) -> float:
    """Seconds of one PBS on one thread."""
    seconds = case.cost(figures.fourier_unit_s) * fourier_units(parameters)
    seconds += case.cost(figures.external_product_unit_s) * external_product_units(parameters)
    return seconds * figures.stretch(parameters.polynomial_size, case)


def key_switch_seconds(
    parameters: KeySwitchParameters, figures: CpuFigures, case: Case = Case.LIKELY
) -> float:
    """Seconds of one KS on one thread."""
    return case.cost(figures.key_switch_unit_s) * key_switch_units(parameters)


@dataclass(frozen=True)
class _Lookups:
    """The ``count`` lookups of a stage, at most ``at_once`` of them at the same time."""

    count: int
    at_once: int


def _lookups(stage: Stage) -> _Lookups | None:
    """What the threads share out of ``stage``; None where there is nothing but linear operations.

    The PBS, each with its part of the KS. KS that belong to no PBS are lookups of their own, but no
    more of them than the stage has values: what one value needs, one thread does.
    """
    count = stage.pbs_count or stage.key_switch_count
    if not count:
        return None
    at_once = min(stage.parallel_width, math.ceil(count / stage.depth))
    return _Lookups(min(count, stage.depth * at_once), at_once)


def _stage_costs(stage: Stage, figures: CpuFigures, case: Case) -> list[Cost]:
    lookups = _lookups(stage)
    costs = [] if lookups is None else _lookup_costs(stage, lookups, figures, case)
    linear_s = sum(use.count * (use.lwe_dimension + 1) for use in stage.linear) * case.cost(
        figures.linear_element_s
    )
    if linear_s > 0:
        source = figures.linear_element_s.source
        costs.append(Cost(stage.name, "linear", linear_s, Bottleneck.MEMORY_BANDWIDTH, source))
    return costs


def _lookup_costs(stage: Stage, lookups: _Lookups, figures: CpuFigures, case: Case) -> list[Cost]:
    threads = figures.threads.value
    together = case.rate(figures.thread_efficiency)
    efficiency = together if min(lookups.at_once, threads) > 1 else 1.0
    # Seconds of one thread become seconds of the stage: rounds * (time of one lookup).
    rounds = stage.depth * math.ceil(lookups.at_once / threads)
    share = rounds / lookups.count / efficiency
    full_share = 1 / threads / (together if threads > 1 else 1.0)
    narrow = lookups.count / (rounds * threads) <= NARROW
    lookup_bottleneck = Bottleneck.PARALLEL_WIDTH if narrow else Bottleneck.COMPUTE
    one_thread: dict[Operation, float] = {
        "pbs": sum(use.count * pbs_seconds(use.parameters, figures, case) for use in stage.pbs),
        "key_switch": sum(
            use.count * key_switch_seconds(use.parameters, figures, case)
            for use in stage.key_switches
        ),
    }
    source_of: dict[Operation, Source] = {
        "pbs": figures.source_at(
            max((use.parameters.polynomial_size for use in stage.pbs), default=1),
            figures.fourier_unit_s,
            figures.external_product_unit_s,
            figures.thread_efficiency,
        ),
        "key_switch": weakest(figures.key_switch_unit_s, figures.thread_efficiency),
    }
    costs = []
    for operation, seconds in one_thread.items():
        if seconds <= 0:
            continue
        streaming_s = _streaming_seconds(stage, figures, case) if operation == "pbs" else 0.0
        bound_by_memory = streaming_s > seconds * share
        costs.append(
            Cost(
                stage=stage.name,
                operation=operation,
                latency_s=max(seconds * share, streaming_s),
                bottleneck=Bottleneck.MEMORY_BANDWIDTH if bound_by_memory else lookup_bottleneck,
                source=source_of[operation],
                busy_s=max(seconds * full_share, streaming_s),
            )
        )
    return costs


def _streaming_seconds(stage: Stage, figures: CpuFigures, case: Case) -> float:
    """Seconds of streaming the bootstrap key for each PBS; 0 where no bandwidth is known."""
    if figures.memory_bandwidth_bytes_per_s is None:
        return 0.0
    moved = sum(use.count * bootstrap_key_bytes(use.parameters) for use in stage.pbs)
    return moved / case.rate(figures.memory_bandwidth_bytes_per_s)
