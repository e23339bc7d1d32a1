"""Multi-bit PBS: several bits of the secret key a step, so that fewer steps wait for each other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from fhecost.circuits.stage import PbsParameters
from fhecost.circuits.work import external_product_units, fourier_units
from fhecost.circuits.workload import Workload
from fhecost.hardware.bootstraps.algorithm import (
    PbsAlgorithm,
    PublishedSet,
    SeenWorkload,
    parameter_set,
)
from fhecost.hardware.bootstraps.noise import CLASSIC_TRANSFORM, GROUPED_TRANSFORMS, pbs_variance
from fhecost.hardware.plausible import PlausibleFigures
from fhecost.provenance import CountFigure, Figure, Source


class MultiBitFigures(PlausibleFigures):
    """What a machine states of its multi-bit PBS."""

    grouping_factor: CountFigure = Field(description="g, bits of the secret key in one step")


class MultiBitPbs(PbsAlgorithm):
    """A step multiplies by a sum of 2^g - 1 encrypted products of g bits, each turned by its power.

    Of n bits, ceil(n/g) steps are left, each with one external product and with the sum that makes
    its GGSW ciphertext out of 2^g of the key::

        PBS = ceil(n/g) * (cmux + 2*(2^g - 1)*l*(k+1)^2*N),    key = ceil(n/g) * 2^g GGSW

    Less waits for what comes before: the sums wait for nothing, and fill a GPU that one lookup has
    to itself. The count of their products is the one by which tfhe-rs states the costs of its
    multi-bit sets (``ks_pbs_gpu.rs``, with the key switch: ~ 100, 810 and 7147 million for 2_2, 3_3
    and 4_4).

    Its noise grows, since a key of 2^g ciphertexts is summed up at each step: by the formulas of
    tfhe-rs for g = 2, 3 and 4 (:mod:`fhecost.hardware.bootstraps.noise`). Sets that are solved for
    it differ little from classic ones of the same error: n = 920 for 918, base 2^22 for 2^23.
    """

    figures: MultiBitFigures
    name = "multi-bit"
    formula = "ceil(n/g) * (cmux + 2*(2^g - 1)*l*(k+1)^2*N), g the grouping factor"
    source = (
        "zama-ai/tfhe-rs@tfhe-rs-1.7.0, core_crypto/algorithms/"
        "lwe_multi_bit_programmable_bootstrapping.rs and shortint/parameters/v1_1/multi_bit"
    )
    sets = (
        PublishedSet("tfhe-rs 1.7, GPU group 4, 1_1", parameter_set(760, 1, 2048, 1, 22), -145.02),
        PublishedSet("tfhe-rs 1.7, GPU group 4, 2_2", parameter_set(920, 1, 2048, 1, 22), -134.345),
        PublishedSet(
            "tfhe-rs 1.7, GPU group 4, 3_3", parameter_set(1040, 1, 8192, 2, 14), -130.951
        ),
    )
    figures_type = MultiBitFigures
    classic_keys = False
    supposed: ClassVar[Mapping[str, Figure]] = {
        "grouping_factor": Figure(
            value=4,
            source=Source.ASSUMED,
            rationale="as in the multi-bit sets that tfhe-rs 1.7 has for GPUs",
        )
    }

    @property
    def grouping(self) -> int:
        """Bits of the secret key in one step."""
        return int(self.figures.grouping_factor.value)

    def steps(self, parameters: PbsParameters) -> int:
        """One for each group of bits."""
        return math.ceil(parameters.lwe_dimension / self.grouping)

    def fourier_units(self, parameters: PbsParameters) -> float:
        """Those of one external product a step."""
        return fourier_units(parameters) / parameters.lwe_dimension * self.steps(parameters)

    def product_units(self, parameters: PbsParameters) -> float:
        """Those of the external products, and of the sums that make their GGSW ciphertexts."""
        a_step = external_product_units(parameters) / parameters.lwe_dimension
        return self.steps(parameters) * a_step * (1 + self._sums)

    def butterflies(self, parameters: PbsParameters) -> float:
        """Those of the external products, and one for each complex multiply-add of the sums."""
        n, steps = parameters.lwe_dimension, self.steps(parameters)
        sums = self._sums * external_product_units(parameters) / 2
        return (super().butterflies(parameters) + sums) / n * steps

    @property
    def _sums(self) -> int:
        """How often a step's products are made for its sum: 2^g - 1 terms, turned and added."""
        return 2 * ((1 << self.grouping) - 1)

    def key_bytes(self, parameters: PbsParameters) -> int:
        """2^g GGSW ciphertexts for each group of bits."""
        one = super().key_bytes(parameters) // parameters.lwe_dimension
        return self.steps(parameters) * (1 << self.grouping) * one

    def seen(self, circuit: Workload) -> Workload:
        """The circuit with larger bootstrap keys."""
        sets = {use.parameters for stage in circuit.stages for use in stage.pbs}
        classic = sum(map(super().key_bytes, sets))
        if not classic:
            return circuit
        grown = sum(map(self.key_bytes, sets)) / classic
        return SeenWorkload(
            stages=circuit.stages,
            bsk_bytes=math.ceil(circuit.bsk_bytes * grown),
            ksk_bytes=circuit.ksk_bytes,
            input_bytes=circuit.input_bytes,
            output_bytes=circuit.output_bytes,
        )

    def noise_growth(self, parameters: PbsParameters) -> float | None:
        """By the formulas of tfhe-rs; None for a grouping that it has none for."""
        transform = GROUPED_TRANSFORMS.get(self.grouping)
        if transform is None:
            return None
        grouped = pbs_variance(parameters, transform, self.grouping)
        return grouped / pbs_variance(parameters, CLASSIC_TRANSFORM)

    def notes(self, circuit: Workload) -> tuple[str, ...]:
        """That the sets are the classic ones, and how far the published pairs are apart."""
        return (
            f"multi-bit PBS of {self.grouping} bits a step, with the circuit's own sets; those "
            "that tfhe-rs solved for multi-bit take up to a quarter more key-switch work than its "
            "classic ones, and as many steps within 4 %",
        )
