"""What a run on a CPU holds besides its keys: copies of its inputs and outputs, and its values.

Concrete's runtime copies inputs from one form to another before anything is computed: they are
there seven times for a moment, three times while the circuit runs. In that moment the bootstrap
keys are there as they were generated; their Fourier domain comes after it. So a process holds::

    keys + max(in_first * inputs,  BSK in the Fourier domain + in * inputs + values) + out * outputs

where the values are what the lookups of the widest stage read and return. Memory of inputs below
``returned_bytes`` the C library keeps when it is freed: these count as often while the circuit runs
as before it, and such outputs more often. All figures are those of
``hardware/concrete/memory.yaml``, measured with circuits without lookups, or with four of them, by
``experiments/memory/copies.py``; none is fitted to a run record.
"""

from __future__ import annotations

import functools
from typing import Any

import yaml

from fhecost.circuits.workload import Workload
from fhecost.data import data_folder
from fhecost.fields import VersionOne
from fhecost.files import checked, read_text
from fhecost.frozen import Frozen
from fhecost.hardware.memory import value_bytes
from fhecost.provenance import AtLeastOneFigure, Figure, PositiveFigure


class RunMemory(Frozen):
    """What ``hardware/concrete/memory.yaml`` holds."""

    schema_version: VersionOne
    run_bytes: Figure
    input_copies: AtLeastOneFigure
    small_input_copies: AtLeastOneFigure
    computing_input_copies: AtLeastOneFigure
    output_copies: AtLeastOneFigure
    small_output_copies: AtLeastOneFigure
    returned_bytes: PositiveFigure
    compile_bytes: PositiveFigure
    compile_element_bytes: PositiveFigure

    def compile_bytes_of(self, value_elements: float) -> float:
        """What compiling takes beside what the process holds already.

        Args:
            value_elements: of all values in the circuit, its input among them.
        """
        return self.compile_bytes.value + self.compile_element_bytes.value * value_elements

    def bytes_beside(self, circuit: Workload, fourier_keys_bytes: float) -> float:
        """The most that a run holds beside its keys as they were generated.

        Args:
            circuit: what runs.
            fourier_keys_bytes: the bootstrap keys in the Fourier domain, and what making them took.
        """
        kept_bytes = self.returned_bytes.value
        small = circuit.input_bytes < kept_bytes
        first = self.small_input_copies if small else self.input_copies
        later = self.small_input_copies if small else self.computing_input_copies
        small = circuit.output_bytes < kept_bytes
        out = self.small_output_copies if small else self.output_copies
        values = max(
            (stage.parallel_width * value_bytes(stage) for stage in circuit.stages if stage.pbs),
            default=0,
        )
        return (
            self.run_bytes.value
            + max(
                first.value * circuit.input_bytes,
                fourier_keys_bytes + later.value * circuit.input_bytes + values,
            )
            + out.value * circuit.output_bytes
        )


@functools.cache
def run_memory() -> RunMemory:
    """What comes with fhecost of Concrete's runtime."""
    path = data_folder("hardware") / "concrete" / "memory.yaml"
    content: Any = yaml.safe_load(read_text(path))
    return checked(RunMemory, content, f"{path}: ")
