"""Raw times of microbenchmarks: what was run, and every single time."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from fhecost.circuits.profile import KeySwitchParameters, PbsParameters
from fhecost.errors import UsageError, first_validation_error
from fhecost.files import read_json
from fhecost.frozen import Frozen
from fhecost.measurement.machine import Machine

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Sample(Frozen):
    threads: Annotated[int, Field(gt=0)]
    seconds: Annotated[tuple[Seconds, ...], Field(min_length=1)]

    @property
    def median_s(self) -> float:
        """Median over the repeated runs."""
        return statistics.median(self.seconds)


class LookupSample(_Sample):
    """Warm runs of ``elements`` table lookups, each one KS and one PBS."""

    kind: Literal["lookup"] = "lookup"
    elements: Annotated[int, Field(gt=0)]
    pbs: PbsParameters
    key_switch: KeySwitchParameters


class LinearSample(_Sample):
    """Warm runs of a product with a clear matrix and one table lookup of its result.

    The lookup is there for the parameters' sake: without one, Concrete chooses ciphertexts far
    smaller than those that bootstraps leave behind.
    """

    kind: Literal["linear"] = "linear"
    operations: Annotated[int, Field(gt=0)]
    lwe_dimension: Annotated[int, Field(gt=0)]
    pbs: PbsParameters
    key_switch: KeySwitchParameters


class KeySample(Frozen):
    """What keys cost: making them, and the first run, which brings them into the Fourier domain.

    ``cold_s`` is the first run, ``warm_s`` a later one with as many threads. Memory is what the
    process held more after making the keys, and more again after the first run.
    """

    kind: Literal["keys"] = "keys"
    threads: Annotated[int, Field(gt=0)]
    pbs: PbsParameters
    key_switch: KeySwitchParameters
    keygen_s: Seconds
    cold_s: Seconds
    warm_s: Seconds
    keygen_memory_bytes: int
    cold_memory_bytes: int


class Microbenchmark(Frozen):
    """One run of ``fhecost measure pbs``: the machine, the versions and all raw times."""

    schema_version: Literal[2, 3] = 3
    started: str
    machine: Machine
    versions: Mapping[str, str]
    lookups: tuple[LookupSample, ...]
    linear: tuple[LinearSample, ...]
    keys: tuple[KeySample, ...] = ()
    probes_s: tuple[tuple[Seconds, ...], ...] = Field(
        default=(), description="times of one fixed computation, by round"
    )

    def corrected_median_s(self, sample: LookupSample | LinearSample) -> float:
        """Median of a sample's times, each as if the machine had had its usual speed.

        A round whose probes took longer than those of all rounds makes its times count as less.
        """
        of_rounds = [statistics.median(probes) for probes in self.probes_s]
        if len(of_rounds) != len(sample.seconds):
            return sample.median_s
        usual = statistics.median(of_rounds)
        pairs = zip(sample.seconds, of_rounds, strict=True)
        return statistics.median(seconds * usual / probe for seconds, probe in pairs)


def load_microbenchmark(path: Path) -> Microbenchmark:
    """Read raw times that ``fhecost measure pbs --format json`` wrote.

    Raises:
        UsageError: the file is missing or no such record.
    """
    try:
        return Microbenchmark.model_validate(read_json(path))
    except ValidationError as error:
        raise UsageError(f"{path}: {first_validation_error(error.errors())}") from error
