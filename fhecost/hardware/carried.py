"""A calibration carried over from one processor to another, by what is published of both.

A lookup computes on vectors, so its time goes by how wide they are and by the clock::

    time = work / (clock * register bits ^ (1 - s) * datapath bits ^ s)

Register bits say how much one instruction does, datapath bits how much of it a core finishes in a
cycle: Zen 4 has the registers of AVX-512 and the datapath of Zen 3, Zen 5 twice that datapath. How
far each counts, the share s, is what published machines say whose registers are equal and whose
datapaths aren't (``hardware/processors/facts.yaml``, ``experiments/published/carried.py``). What is
no vector work goes by the clock, what moves memory by its transfer rate.
"""

from __future__ import annotations

import functools
from typing import Any

import yaml

from fhecost.data import data_folder
from fhecost.errors import ImpossibleError
from fhecost.fields import VersionOne
from fhecost.files import checked, read_text
from fhecost.frozen import Frozen
from fhecost.hardware.processor import Processor
from fhecost.hardware.profile import HardwareProfile
from fhecost.provenance import (
    AtLeastOneFigure,
    CountFigure,
    Figure,
    FractionFigure,
    PositiveFigure,
    Source,
)

_VECTOR = frozenset(
    {"fourier_unit_s", "external_product_unit_s", "key_switch_unit_s", "conversion_unit_s"}
)
_MEMORY = frozenset(
    {"linear_element_s", "key_byte_s", "conversion_byte_s", "input_byte_s"}
    | {"output_byte_s", "fresh_byte_s"}
)
_OF_ONE_MACHINE = frozenset(
    {"probe_s", "memory_bytes", "memory_bandwidth_bytes_per_s", "price_usd_per_hour", "power_w"}
    | {"clock_hz", "cache_bytes", "area_mm2", "host_link_bytes_per_s"}
)
"""Figures that say nothing of another machine."""
_UNTOLD = 2.0
"""How far what isn't vector work may be off, either way: no machine is published to judge it by."""


class ProcessorFacts(Frozen):
    """What is published of a kind of processor, and how it is recognized; SI units, one core.

    ``models`` are ranges, both ends included. What is left out fits any processor.
    """

    name: str
    title: str
    vendor: str | None = None
    family: int | None = None
    models: tuple[tuple[int, int], ...] = ()
    instruction_sets: tuple[str, ...]
    register_bits: CountFigure
    datapath_bits: CountFigure
    clock_hz: PositiveFigure
    memory_transfers_per_s: PositiveFigure | None = None

    def fits(self, processor: Processor) -> bool:
        """Whether ``processor`` is of this kind."""
        model = processor.model
        return (
            self.vendor in (None, processor.vendor)
            and self.family in (None, processor.family)
            and set(self.instruction_sets) <= set(processor.instruction_sets)
            and (
                not self.models
                or (model is not None and any(low <= model <= high for low, high in self.models))
            )
        )

    def vector_rate(self, datapath_share: float) -> float:
        """Vector work in a second, in a unit that is the same for all processors."""
        registers, datapath = self.register_bits.value, self.datapath_bits.value
        wide: float = registers ** (1 - datapath_share) * datapath**datapath_share
        return self.clock_hz.value * wide


class AllProcessorFacts(Frozen):
    """What ``hardware/processors/facts.yaml`` holds."""

    schema_version: VersionOne
    datapath_share: FractionFigure
    off_by: AtLeastOneFigure
    processors: tuple[ProcessorFacts, ...]


@functools.cache
def processor_facts() -> AllProcessorFacts:
    """What comes with fhecost of published facts."""
    path = data_folder("hardware") / "processors" / "facts.yaml"
    content: Any = yaml.safe_load(read_text(path))
    return checked(AllProcessorFacts, content, f"{path}: ")


def facts_of(processor: Processor) -> ProcessorFacts:
    """The published facts of ``processor``: those of its kind, or of all with its vectors.

    Raises:
        ImpossibleError: it has none of the vector instructions that anything is known of.
    """
    for facts in processor_facts().processors:
        if facts.fits(processor):
            return facts
    raise ImpossibleError(
        f"this machine ({processor}): nothing is known of its kind; fhecost calibrate measures it"
    )


def carried_over(
    hardware: HardwareProfile, of: ProcessorFacts, to: ProcessorFacts
) -> dict[str, Figure]:
    """The figures of ``hardware``, a CPU, as they are to be expected of another processor.

    Args:
        hardware: the calibrated machine.
        of: the processor that it was calibrated on.
        to: the processor that the figures are for.

    Returns:
        By name; what says nothing of another machine is left out.
    """
    known = processor_facts()
    share = known.datapath_share.value
    vector = of.vector_rate(share) / to.vector_rate(share)
    clock = of.clock_hz.value / to.clock_hz.value
    memory = 1.0
    if of.memory_transfers_per_s is not None and to.memory_transfers_per_s is not None:
        memory = of.memory_transfers_per_s.value / to.memory_transfers_per_s.value
    # A clock that is only assumed has a range of its own.
    slower = to.clock_hz.value / to.clock_hz.lowest
    faster = to.clock_hz.highest / to.clock_hz.value
    figures = {}
    for name, figure in hardware.figures.items():
        if name in _OF_ONE_MACHINE:
            continue
        if not name.endswith("_s"):
            figures[name] = figure
            continue
        factor, by, off_by = clock, "the clock", _UNTOLD
        if name in _VECTOR:
            factor, by, off_by = vector, "vector width and clock", known.off_by.value
        elif name in _MEMORY:
            factor, by = memory, "the memory's transfer rate"
        figures[name] = Figure(
            value=figure.value * factor,
            low=figure.lowest * factor / off_by / faster,
            high=figure.highest * factor * off_by * slower,
            source=Source.MODELLED,
            rationale=(
                f"{hardware.name}, {of.title}, carried over to {to.title} by {by}: "
                f"{factor:.3g} times, within a factor of {off_by:g}"
            ),
        )
    return figures
