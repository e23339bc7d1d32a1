"""What a sweep finds: a result a point, as frozen data and JSON lines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fhecost.accuracy.records import AccuracyRow
from fhecost.circuits.profile import CircuitProfile, LinearOperation
from fhecost.circuits.stage import LINEAR_OPERATIONS
from fhecost.fields import (
    CostError,
    Count,
    FiniteNonNegative,
    Positive,
    Probability,
    VersionOne,
    Width,
    inconsistent,
)
from fhecost.frozen import Frozen
from fhecost.hardware.estimate import Bottleneck, Estimate, Operation, Ranged
from fhecost.measurement.machine import Machine
from fhecost.measurement.run_record import Prediction, RunRecord, RunTimes
from fhecost.provenance import Source
from fhecost.sweep.experiment import Step
from fhecost.sweep.points import Point

Status = Literal["done", "impossible", "failed"]
"""``impossible`` is as sure as a result: the circuit can't be compiled, or the machine can't hold
it. ``failed`` may go better another time: a process was killed, or something is missing."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class CircuitFigures(Frozen):
    """A circuit in numbers, as its profile has them."""

    pbs_count: Count
    key_switch_count: Count
    linear_counts: Mapping[LinearOperation, Count]
    max_bit_width: Width
    largest_polynomial_size: Count | None
    complexity: FiniteNonNegative
    p_error: Probability
    global_p_error: Probability
    bsk_bytes: Count
    ksk_bytes: Count
    input_bytes: Count
    output_bytes: Count
    cost_error: CostError | None
    hash: str

    @classmethod
    def of(cls, profile: CircuitProfile) -> CircuitFigures:
        """Those of ``profile``."""
        counts = {name: profile.linear_count(name) for name in LINEAR_OPERATIONS}
        return cls.like(profile, linear_counts=counts)


class PointEstimate(Ranged):
    """The estimate of a point's circuit on its machine."""

    latency_s: FiniteNonNegative
    low_s: FiniteNonNegative
    high_s: FiniteNonNegative
    bottleneck: Bottleneck
    by_operation_s: Mapping[Operation, FiniteNonNegative | None]
    sources: Mapping[Source, FiniteNonNegative]
    energy_j: FiniteNonNegative | None
    price_usd: FiniteNonNegative | None
    circuit_hash: str

    @classmethod
    def of(cls, made: Estimate) -> PointEstimate:
        """What ``made`` says."""
        return cls.like(made)


class MeasuredRun(Frozen):
    """A run in FHE: what differs from run to run stands here alone.

    ``predicted`` is what the point's machine said of it before; None without one.
    """

    started: str
    machine: Machine
    times: RunTimes
    load_after: FiniteNonNegative
    values: Positive
    wrong_values: Count
    predicted: Prediction | None

    @classmethod
    def of(cls, record: RunRecord, predicted: Prediction | None) -> MeasuredRun:
        """What ``record`` says."""
        return cls.like(record, predicted=predicted)


class PointProvenance(Frozen):
    """What a result depends on besides its point.

    ``code`` is a SHA-256 of fhecost's own source, ``model_sha256`` that of the model's files, or of
    its shape where that is all.
    """

    fhecost_version: str
    code: Sha256
    versions: Mapping[str, str]
    model_sha256: Sha256
    hardware_hash: str | None = None
    sentences_sha256: Sha256 | None = None

    def difference(self, other: PointProvenance) -> str:
        """In words, the first thing in which ``other`` differs; empty for none."""
        words = {
            "fhecost_version": f"fhecost {other.fhecost_version}, not {self.fhecost_version}",
            "code": "another state of fhecost's code",
            "versions": "other versions of packages",
            "model_sha256": "other weights, or another shape, of the model",
            "hardware_hash": "other figures of the machine",
            "sentences_sha256": "other sentences",
        }
        for name, said in words.items():
            if getattr(self, name) != getattr(other, name):
                return said
        return ""


class SweepResult(Frozen):
    """A point and what it came to: a line of the file of results.

    ``key`` is the SHA-256 of all that the result depends on. ``counted`` is the circuit by closed
    form, ``compiled`` Concrete's; the estimate is of the latter where both are there. What wasn't
    asked for, or couldn't be had, is None.
    """

    schema_version: VersionOne = 1
    key: Sha256
    point: Point
    steps: tuple[Step, ...]
    status: Status
    reason: str | None = None
    counted: CircuitFigures | None = None
    compiled: CircuitFigures | None = None
    accuracy: AccuracyRow | None = None
    estimate: PointEstimate | None = None
    measured: MeasuredRun | None = None
    provenance: PointProvenance

    @model_validator(mode="after")
    def _says_why(self) -> Self:
        if (self.status == "done") != (self.reason is None):
            raise inconsistent("reason", "is there where a point isn't done, and only there")
        return self

    @property
    def line(self) -> str:
        """The result as a line of JSON, without the parts that aren't there."""
        content = self.model_dump(mode="json")
        there = {name: value for name, value in content.items() if value is not None}
        return json.dumps(there, separators=(",", ":"))


class SweepReport(Frozen):
    """What ``fhecost sweep`` prints: all results, in the order of the points."""

    schema_version: VersionOne = 1
    fhecost_version: str
    title: str
    file: str = Field(description="where the results are kept")
    points: Count
    done: Count
    impossible: Count
    failed: Count
    results: tuple[SweepResult, ...]
