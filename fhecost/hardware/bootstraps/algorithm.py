"""What every kind of PBS tells a latency model, and the classic one, which is where others differ.

The work is counted in the unit of the Concrete optimizer (:mod:`fhecost.circuits.work`).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import ClassVar, NamedTuple

from fhecost.circuits.profile import Stage
from fhecost.circuits.stage import PbsParameters
from fhecost.circuits.work import (
    bootstrap_key_bytes,
    butterflies,
    external_product_units,
    fourier_units,
)
from fhecost.circuits.workload import Workload
from fhecost.hardware.cost import Case, Cost, Lanes
from fhecost.hardware.plausible import PlausibleFigures
from fhecost.hardware.profile import KINDS, Kind, PbsKind
from fhecost.provenance import Figure

NORMAL = NormalDist()


class PublishedSet(NamedTuple):
    """A parameter set that a kind is published with, and the error that it is for."""

    name: str
    parameters: PbsParameters
    log2_p_fail: float


def parameter_set(n: int, k: int, size: int, level_count: int, base_log: int) -> PbsParameters:
    """A set as papers write it: n, k, N, l and the base's logarithm."""
    return PbsParameters(
        lwe_dimension=n,
        glwe_dimension=k,
        polynomial_size=size,
        level_count=level_count,
        base_log=base_log,
    )


@dataclass(frozen=True)
class SeenWorkload:
    """A circuit as a kind of PBS has it run: its stages, and the bytes of its keys."""

    stages: tuple[Stage, ...]
    bsk_bytes: int
    ksk_bytes: int
    input_bytes: int
    output_bytes: int


class PbsAlgorithm:
    """One kind of PBS, with the ``figures`` that a machine states of it.

    This base is the classic PBS; a kind overrides what differs. ``formula`` is its work in words,
    ``source`` where it is published, ``sets`` those that it is published with. ``supposed`` are
    figures for machines that nobody measured it on, of kinds ``supposed_on`` only: hypothetical,
    and marked so.
    """

    figures: PlausibleFigures
    """A subclass has its own type of them, :attr:`figures_type`."""
    name: ClassVar[PbsKind] = "classic"
    formula: ClassVar[str]
    source: ClassVar[str]
    sets: ClassVar[tuple[PublishedSet, ...]]
    figures_type: ClassVar[type[PlausibleFigures]] = PlausibleFigures
    supposed: ClassVar[Mapping[str, Figure]] = {}
    supposed_on: ClassVar[frozenset[Kind]] = KINDS
    own_keys: ClassVar[bool] = True
    """Whether its keys are the circuit's, or made as they are, so that their size is known."""
    classic_keys: ClassVar[bool] = True
    """Whether they are those of a classic PBS, whose making was measured."""

    def __init__(self, figures: PlausibleFigures) -> None:
        self.figures = figures

    def steps(self, parameters: PbsParameters) -> int:
        """Steps of the blind rotation, each waiting for the one before."""
        return parameters.lwe_dimension

    def fourier_units(self, parameters: PbsParameters) -> float:
        """Work of all Fourier transforms of one PBS."""
        return fourier_units(parameters)

    def product_units(self, parameters: PbsParameters) -> float:
        """Multiply-adds of one PBS in the Fourier domain."""
        return external_product_units(parameters)

    def units(self, parameters: PbsParameters) -> float:
        """Work of one PBS."""
        return self.fourier_units(parameters) + self.product_units(parameters)

    def butterflies(self, parameters: PbsParameters) -> float:
        """Radix-2 butterflies of one PBS on complex numbers."""
        return butterflies(parameters)

    def key_bytes(self, parameters: PbsParameters) -> int:
        """Bytes of the bootstrap key of one set."""
        return bootstrap_key_bytes(parameters)

    def seen(self, circuit: Workload) -> Workload:
        """The circuit with the stages and keys that this kind has it run with."""
        return circuit

    def refusal(self, circuit: Workload) -> str | None:
        """Why this kind can't run ``circuit``; None where it can."""
        return None

    def noise_growth(self, parameters: PbsParameters) -> float | None:
        """How many times the noise's variance of a classic PBS of the same set, at most.

        None where its noise has nothing to do with the circuit's sets.
        """
        return 1.0

    def p_error_at_most(self, p_error: float, circuit: Workload) -> float | None:
        """The error of a lookup with the circuit's own sets, which were made for ``p_error``.

        At most: as if all noise of a lookup grew as that of its worst bootstrap does. None where
        that isn't known.
        """
        sets = {use.parameters for stage in circuit.stages for use in stage.pbs}
        grown = [self.noise_growth(one) for one in sets]
        if None in grown or not 0 < p_error < 1:
            return None
        growth = max([1.0, *(one for one in grown if one is not None)])
        deviations = -NORMAL.inv_cdf(max(p_error / 2, sys.float_info.min))
        return max(p_error, math.erfc(deviations / math.sqrt(2 * growth)))

    def own_costs(self, circuit: Workload, lanes: Lanes, case: Case) -> Iterator[Cost]:
        """What the circuit takes beside what the latency model says of :meth:`seen`.

        On ``lanes``, which a machine has that runs such a kind; nothing here.
        """
        yield from ()

    def notes(self, circuit: Workload) -> tuple[str, ...]:
        """What an estimate with this kind assumes of ``circuit``."""
        return ()


class ClassicPbs(PbsAlgorithm):
    """The PBS of Concrete: a blind rotation of n external products, one a bit of the key.

    Chillotti, Gama, Georgieva, Izabachène (ASIACRYPT 2016, Journal of Cryptology 2020); work as the
    Concrete optimizer counts it, see :mod:`fhecost.circuits.work`.
    """

    formula = "n * cmux, cmux = (k+1)*(l+1)*fft(N) + (k+1)^2*l*N"
    source = "Chillotti et al., TFHE, Journal of Cryptology 2020; eprint 2018/421"
    sets = (
        PublishedSet("tfhe-rs 1.7, 1_1", parameter_set(879, 4, 512, 1, 23), -144.3),
        PublishedSet("tfhe-rs 1.7, 2_2", parameter_set(918, 1, 2048, 1, 23), -129.6),
        PublishedSet("tfhe-rs 1.7, 3_3", parameter_set(1077, 1, 8192, 2, 15), -129.0),
    )

    def p_error_at_most(self, p_error: float, circuit: Workload) -> float:
        """That of the circuit: its sets are this kind's own."""
        return p_error


CLASSIC = ClassicPbs(PlausibleFigures())
