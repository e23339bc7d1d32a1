"""The ways to bootstrap, one module each: its work, its keys, its noise, and what is published.

A machine's figures are for one of them and its profile may have others; a latency model asks the
one at hand for steps, work and key bytes of a parameter set, and knows nothing of the others.
"""

from __future__ import annotations

from collections.abc import Mapping

from fhecost.files import checked
from fhecost.hardware.bootstraps.algorithm import CLASSIC as CLASSIC
from fhecost.hardware.bootstraps.algorithm import ClassicPbs
from fhecost.hardware.bootstraps.algorithm import PbsAlgorithm as PbsAlgorithm
from fhecost.hardware.bootstraps.batched import BatchedPbs
from fhecost.hardware.bootstraps.many_table import ManyTablePbs
from fhecost.hardware.bootstraps.multi_bit import MultiBitPbs
from fhecost.hardware.profile import HardwareProfile, PbsKind

ALGORITHMS: Mapping[PbsKind, type[PbsAlgorithm]] = {
    one.name: one for one in (ClassicPbs, MultiBitPbs, BatchedPbs, ManyTablePbs)
}
"""Each kind of PBS by its name."""


def figure_names(kind: PbsKind) -> frozenset[str]:
    """The names of the figures that a kind of PBS needs beside those of the latency model."""
    return frozenset(ALGORITHMS[kind].figures_type.model_fields)


def algorithm_of(hardware: HardwareProfile) -> PbsAlgorithm:
    """The kind of PBS that the machine's figures are for, with those of them that it needs.

    Raises:
        UsageError: one of them is missing or out of range; the field's path is named.
    """
    algorithm = ALGORITHMS[hardware.pbs_kind]
    own = {
        name: vars(figure)
        for name, figure in hardware.figures.items()
        if name in algorithm.figures_type.model_fields
    }
    return algorithm(checked(algorithm.figures_type, own, f"{hardware.name}: figures."))
