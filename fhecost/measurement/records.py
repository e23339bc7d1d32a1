"""Raw times of microbenchmarks: what was run, and every single time."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fhecost.circuits.profile import KeySwitchParameters, PbsParameters
from fhecost.fields import Count, Dimension, FiniteNonNegative, Positive, inconsistent
from fhecost.files import AnyPath, read_model, write_result
from fhecost.frozen import Frozen
from fhecost.measurement.cpu_use import CpuUse
from fhecost.measurement.machine import Machine
from fhecost.measurement.run_record import RunTimes, Seconds


class _Sample(Frozen):
    threads: Positive
    seconds: Annotated[tuple[Seconds, ...], Field(min_length=1)]
    probes_s: tuple[Seconds, ...] = Field(
        default=(), description="time of one fixed computation in the round of each run"
    )

    @model_validator(mode="after")
    def _each_has_its_probe(self) -> Self:
        if self.probes_s and len(self.probes_s) != len(self.seconds):
            raise inconsistent(
                "probes_s", f"{len(self.probes_s)} probes of {len(self.seconds)} runs"
            )
        return self

    @property
    def median_s(self) -> float:
        """Median over the repeated runs."""
        return statistics.median(self.seconds)


class LookupSample(_Sample):
    """Warm runs of ``elements`` table lookups, each one KS and one PBS."""

    kind: Literal["lookup"] = "lookup"
    elements: Positive
    pbs: PbsParameters
    key_switch: KeySwitchParameters


class LinearSample(_Sample):
    """Warm runs of a product with a clear matrix and one table lookup of its result.

    The lookup is there for the parameters' sake: without one, Concrete chooses ciphertexts far
    smaller than those that bootstraps leave behind.
    """

    kind: Literal["linear"] = "linear"
    operations: Positive
    lwe_dimension: Dimension
    pbs: PbsParameters
    key_switch: KeySwitchParameters


class TransferSample(_Sample):
    """Warm runs of a circuit without lookups: what taking inputs and returning outputs costs.

    ``elements`` are the torus elements that its few linear operations go over.
    """

    kind: Literal["transfer"] = "transfer"
    input_bytes: Positive
    output_bytes: Positive
    elements: Count


class KeySample(Frozen):
    """Keys of one parameter set, made and first used in a process of their own."""

    kind: Literal["keys"] = "keys"
    pbs: PbsParameters
    key_switch: KeySwitchParameters
    times: RunTimes


class Conditions(Frozen):
    """The machine around one step of a calibration: a fixed computation, and whose it was."""

    step: str
    probe_s: Seconds
    cpu: CpuUse


class Microbenchmark(Frozen):
    """One run of ``fhecost measure`` or ``calibrate``: the machine, the versions, all raw times.

    ``resumed`` says when it went on, where it was broken off. ``conditions`` are those of a
    calibration's steps, in their order, the first and the last beside it; ``waited_s`` is how long
    it waited for other programs to end.
    """

    schema_version: Literal[5] = 5
    started: str
    resumed: tuple[str, ...] = ()
    machine: Machine
    versions: Mapping[str, str]
    lookups: tuple[LookupSample, ...]
    linear: tuple[LinearSample, ...]
    keys: tuple[KeySample, ...] = ()
    transfers: tuple[TransferSample, ...] = ()
    conditions: tuple[Conditions, ...] = ()
    waited_s: FiniteNonNegative = 0.0

    @functools.cached_property
    def usual_probe_s(self) -> float | None:
        """Median of the probes over all rounds; None where none were made."""
        probes = [probe for s in self._samples for probe in s.probes_s]
        return statistics.median(probes) if probes else None

    @property
    def _samples(self) -> tuple[_Sample, ...]:
        return (*self.lookups, *self.linear, *self.transfers)

    def corrected_median_s(self, sample: LookupSample | LinearSample | TransferSample) -> float:
        """Median of a sample's times, each as if the machine had had its usual speed.

        A round whose probes took longer than those of all rounds makes its times count as less.
        """
        usual = self.usual_probe_s
        if usual is None or len(sample.probes_s) != len(sample.seconds):
            return sample.median_s
        pairs = zip(sample.seconds, sample.probes_s, strict=True)
        return statistics.median(seconds * usual / probe for seconds, probe in pairs)


def save_microbenchmark(microbenchmark: Microbenchmark, path: Path) -> None:
    """Write raw times to ``path``, whole or not at all.

    Raises:
        UsageError: it can't be written; says where the raw times are kept instead.
    """
    write_result(path, microbenchmark.model_dump_json(indent=1) + "\n")


def load_microbenchmark(path: AnyPath) -> Microbenchmark:
    """Read raw times that ``fhecost measure --save`` wrote.

    Raises:
        UsageError: the file is missing or no such record.
    """
    return read_model(path, Microbenchmark)
