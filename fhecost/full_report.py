"""All that fhecost knows of one circuit, for the page that ``fhecost report`` writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fhecost.accuracy.records import AccuracyReport, AccuracyRow, load_accuracy
from fhecost.circuit_request import CircuitRequest, PredictedShape, find_circuit
from fhecost.circuits.description import CircuitDescription
from fhecost.circuits.profile import CircuitProfile
from fhecost.closed_form.scopes import ShapeRequest
from fhecost.data import data_folder
from fhecost.errors import FhecostError, UsageError
from fhecost.hardware.comparison import ComparisonReport, compare
from fhecost.hardware.estimate import EstimateReport
from fhecost.hardware.estimator import estimate_all
from fhecost.hardware.library import ALL, load_hardware, load_machine
from fhecost.models.shape import find_shape
from fhecost.progress import Progress, silent
from fhecost.projection.lengths import parse_lengths
from fhecost.projection.projection import ProjectionReport, ProjectionRequest, project
from fhecost.validation.comparison import ValidationReport, read_runs, validate
from fhecost.version import VERSION

VALIDATED_MACHINE = "epyc-zen4-2"
"""The machine that the measured runs which come with fhecost ran on."""


@dataclass(frozen=True)
class ReportRequest:
    """What a report is to hold.

    ``accuracy`` and ``runs`` are files that ``fhecost accuracy`` and ``fhecost measure head``
    wrote; those that come with fhecost when empty. ``lengths`` and ``years`` are projected to, by
    closed form, on ``projected`` machines.
    """

    circuit: CircuitRequest
    hardware: str = ALL
    accuracy: tuple[Path, ...] = ()
    runs: tuple[Path, ...] = ()
    validated: str = VALIDATED_MACHINE
    lengths: tuple[int, ...] | None = None
    years: tuple[int, ...] = ()
    projected: str = "default"
    target_s: float | None = None


@dataclass(frozen=True)
class FullReport:
    """One part a question; ``missing`` says by part why it isn't there."""

    estimates: EstimateReport
    comparison: ComparisonReport
    accuracy: AccuracyReport | None
    validation: ValidationReport | None
    projection: ProjectionReport | None
    missing: Mapping[str, str]
    fhecost_version: str = VERSION


def make_report(
    request: ReportRequest, hardware_path: Sequence[Path] = (), progress: Progress = silent
) -> FullReport:
    """Everything that ``fhecost report`` shows.

    Raises:
        UsageError: the circuit, a machine or a file is wrong.
        ImpossibleError: there is no such circuit, or no machine can run it.
    """
    machines = load_hardware(request.hardware, hardware_path)
    accuracies = [load_accuracy(path) for path in request.accuracy or known_accuracy()]
    circuit = find_circuit(request.circuit, progress)
    progress("estimating")
    estimates = estimate_all(circuit, machines, skip_impossible=True)
    missing: dict[str, str] = {}
    accuracy = matching_accuracy(circuit, accuracies)
    if accuracy is None:
        missing["accuracy"] = (
            "not measured for this model, variant, width and these heads; "
            "fhecost accuracy measures it"
        )
    validation = projection = None
    try:
        validated = load_machine(request.validated, hardware_path)
        validation = validate(read_runs(request.runs or None), validated)
    except FhecostError as error:
        if request.runs:
            raise
        missing["validation"] = str(error)
    progress("projecting")
    try:
        projection = project(
            _projection_request(request, circuit), hardware_path, known=estimates.estimates
        )
    except FhecostError as error:
        missing["projection"] = str(error)
    return FullReport(
        estimates=estimates,
        comparison=compare(estimates, machines),
        accuracy=accuracy,
        validation=validation,
        projection=projection,
        missing=missing,
    )


def known_accuracy() -> list[Path]:
    """The accuracy reports that come with fhecost."""
    return sorted(data_folder("experiments/accuracy").glob("*.json"))


def matching_accuracy(
    circuit: CircuitProfile, reports: Sequence[AccuracyReport]
) -> AccuracyReport | None:
    """The rows that speak of this circuit's weights, variant, heads and width, at any length."""
    asked = circuit.description
    found: list[AccuracyReport] = []
    for report in reports:
        rows = tuple(row for row in report.rows if _speaks_of(row, asked))
        if report.model_sha256 == asked.model_sha256 and rows:
            found.append(report.changed(rows=rows))
    if not found:
        return None
    by_length = {(row.seq_len, row.mode): row for report in found for row in report.rows}
    ordered = tuple(by_length[key] for key in sorted(by_length))
    return found[0].changed(rows=ordered)


def _speaks_of(row: AccuracyRow, asked: CircuitDescription) -> bool:
    heads = {int(part) for part in row.heads.split(",")}
    return (
        row.variant == asked.variant
        and row.bits == asked.bits
        and row.layer == asked.layer
        and heads == set(asked.heads or ())
    )


def _projection_request(request: ReportRequest, circuit: CircuitProfile) -> ProjectionRequest:
    shape = _shape_of(request.circuit, circuit.description)
    lengths = request.lengths or parse_lengths(f"1..{min(1024, shape.shape.context)}")
    return ProjectionRequest(
        shape,
        lengths,
        request.projected,
        request.years,
        request.target_s,
        years_circuit=circuit,
    )


def _shape_of(request: CircuitRequest, said: CircuitDescription) -> ShapeRequest:
    """The shape whose closed form stands for the circuit at other lengths."""
    if isinstance(request, PredictedShape):
        return request.shape
    if None in (said.model, said.variant, said.seq_len, said.bits) or not said.heads:
        raise UsageError("the circuit doesn't say of which heads of which model it is")
    return ShapeRequest(
        find_shape(str(said.model)),
        seq_len=int(said.seq_len or 0),
        bits=int(said.bits or 0),
        variant=str(said.variant),
        heads=len(said.heads),
    )
