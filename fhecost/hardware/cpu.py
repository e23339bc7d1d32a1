"""Latency on a multicore CPU that runs Concrete's own code."""

from __future__ import annotations

import math
from typing import ClassVar

from fhecost.circuits.profile import CircuitProfile, KeySwitchParameters, PbsParameters, Stage
from fhecost.circuits.work import (
    external_product_units,
    fourier_units,
    key_conversion_units,
    key_product_units,
    key_switch_units,
)
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

    threads: CountFigure
    thread_efficiency: FractionFigure
    fourier_unit_s: PositiveFigure
    external_product_unit_s: PositiveFigure
    key_switch_unit_s: PositiveFigure
    key_byte_s: PositiveFigure
    linear_element_s: PositiveFigure
    memory_bytes: PositiveFigure | None = None
    keygen_bsk_byte_s: Figure | None = None
    keygen_product_unit_s: Figure | None = None
    keygen_ksk_byte_s: Figure | None = None
    conversion_unit_s: Figure | None = None
    conversion_byte_s: Figure | None = None
    bsk_copies: Figure | None = None
    ksk_copies: Figure | None = None
    process_memory_bytes: PositiveFigure | None = None
    probe_s: PositiveFigure | None = None


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
    width w in s steps on T threads takes s*ceil(w/T) rounds; with more than one thread at work each
    runs at ``thread_efficiency`` of its speed alone. Linear operations are bound by memory and gain
    nothing from threads.

    Each run hands the keys over once, at ``key_byte_s`` a byte whatever the threads.

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

    def refusal(self, circuit: CircuitProfile, figures: CpuFigures) -> str | None:
        """A machine without the memory for the keys can't run the circuit."""
        # The bootstrap key is held twice: as generated, and in the Fourier domain. Ciphertexts
        # between the stages come on top, so this is a lower bound.
        needed = 2 * circuit.bsk_bytes + circuit.ksk_bytes
        needed += circuit.input_bytes + circuit.output_bytes
        return memory_refusal(needed, figures.memory_bytes, "keys, inputs and outputs")

    def preparation(
        self, circuit: CircuitProfile, figures: CpuFigures, warm_s: float
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
        values = [figure.value for figure in known if figure is not None]
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

    def costs(self, circuit: CircuitProfile, figures: CpuFigures, case: Case) -> list[Cost]:
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


def _stage_costs(stage: Stage, figures: CpuFigures, case: Case) -> list[Cost]:
    threads = figures.threads.value
    busy = min(stage.parallel_width, threads)
    efficiency = case.rate(figures.thread_efficiency) if busy > 1 else 1.0
    # Seconds of one thread become seconds of the stage: rounds * (time of one lookup).
    rounds = stage.depth * math.ceil(stage.parallel_width / threads)
    lookups = max(stage.pbs_count, 1) if stage.pbs else stage.parallel_width
    share = rounds / lookups / efficiency
    narrow = lookups / (rounds * threads) <= NARROW
    lookup_bottleneck = Bottleneck.PARALLEL_WIDTH if narrow else Bottleneck.COMPUTE
    seconds: dict[Operation, float] = {
        "pbs": share
        * sum(use.count * pbs_seconds(use.parameters, figures, case) for use in stage.pbs),
        "key_switch": share
        * sum(
            use.count * key_switch_seconds(use.parameters, figures, case)
            for use in stage.key_switches
        ),
        "linear": sum(
            use.count * (use.lwe_dimension + 1) * case.cost(figures.linear_element_s)
            for use in stage.linear
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
        "linear": figures.linear_element_s.source,
    }
    return [
        Cost(
            stage=stage.name,
            operation=operation,
            latency_s=latency_s,
            bottleneck=Bottleneck.MEMORY_BANDWIDTH if operation == "linear" else lookup_bottleneck,
            source=source_of[operation],
        )
        for operation, latency_s in seconds.items()
        if latency_s > 0
    ]
