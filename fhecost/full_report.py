"""All that fhecost knows of one circuit, for the page that ``fhecost report`` writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fhecost.accuracy.records import AccuracyReport, load_accuracy, together
from fhecost.accuracy.records import known_accuracy as known_accuracy
from fhecost.circuit_request import (
    CircuitRequest,
    CompiledHeads,
    PredictedHeads,
    PredictedShape,
    find_circuit,
    sure_circuit,
)
from fhecost.circuits.description import CircuitDescription
from fhecost.circuits.profile import CircuitProfile
from fhecost.closed_form.scopes import ShapeRequest
from fhecost.errors import FhecostError, UsageError
from fhecost.files import AnyPath
from fhecost.hardware.comparison import ComparisonReport, compare
from fhecost.hardware.estimate import Estimate, EstimateReport
from fhecost.hardware.estimator import ChosenEstimator, estimate_all
from fhecost.hardware.library import HardwareNames, load_hardware
from fhecost.hardware.names import ALL, DEFAULT
from fhecost.hardware.profile import HardwareProfile
from fhecost.hardware.refusals import estimates_or_refusals
from fhecost.models.shape import find_shape
from fhecost.progress import Progress, silent
from fhecost.projection.bits import BitsReport, project_bits, rows_about
from fhecost.projection.lengths import spread_lengths
from fhecost.projection.projection import ProjectionReport, project
from fhecost.validation.comparison import ValidationReport, validate
from fhecost.version import VERSION


@dataclass(frozen=True)
class FullReport:
    """One part a question; ``missing`` says by part why it isn't there."""

    estimates: EstimateReport
    comparison: ComparisonReport
    accuracy: AccuracyReport | None
    validation: ValidationReport | None
    projection: ProjectionReport | None
    bits: BitsReport | None
    missing: Mapping[str, str]
    fhecost_version: str


def make_report(
    circuit: CircuitRequest,
    hardware: HardwareNames = ALL,
    hardware_path: Iterable[AnyPath] = (),
    progress: Progress = silent,
    *,
    accuracy: Iterable[AnyPath] = (),
    runs: Iterable[AnyPath] = (),
    validated: str | HardwareProfile | None = None,
    lengths: Iterable[int] | None = None,
    years: Iterable[int] = range(2023, 2036),
    projected: HardwareNames = DEFAULT,
    target_s: float | None = None,
) -> FullReport:
    """Everything that ``fhecost report`` shows; :func:`fhecost.write_report` makes a page of it.

    Args:
        circuit: its profile, or how to come by it: saved, compiled or in closed form.
        hardware: names of machines or hardware profiles, ``default``, or ``all``. One that can't
            run the circuit is a refusal in the report.
        hardware_path: folders of further machines.
        progress: called with the name of each step when it begins.
        accuracy: files that ``fhecost accuracy`` wrote; those that come with fhecost when empty.
        runs: files that ``fhecost measure head`` wrote; those that come with fhecost when empty.
        validated: the machine that the runs are held against; each run's own when None.
        lengths: to project to, by closed form; up to 1024 tokens or the model's context when None.
        years: to project to.
        projected: the machines to project, as ``hardware`` names them.
        target_s: up to which length, and in which year, this many seconds are met.

    Raises:
        UsageError: the circuit, a machine or a file is wrong.
        ImpossibleError: there is no such circuit, or no machine can run it.
    """
    hardware_path, runs = list(hardware_path), list(runs)
    profiles = load_hardware(hardware, hardware_path)
    accuracies = [load_accuracy(Path(path)) for path in list(accuracy) or known_accuracy()]
    found = find_circuit(circuit, progress)
    progress("estimating")
    sure = sure_circuit(circuit, found, progress)
    estimates = estimate_all(found, profiles, skip_impossible=True, sure=sure)
    matching = matching_accuracy(found, accuracies)
    missing: dict[str, str] = {}
    if matching is None:
        missing["accuracy"] = (
            "not measured for this model, variant, width and these heads; "
            "fhecost accuracy measures it"
            if found.description.of_model
            else "the circuit is no head of a language model; what it should give is not known"
        )
    validation = projection = by_bits = None
    try:
        validation = validate(runs or None, validated, hardware_path)
    except FhecostError as error:
        if runs:
            raise
        missing["validation"] = str(error)
    progress("projecting")
    known = estimates.estimates
    try:
        shape = _shape_of(circuit, found.description)
        known += _elsewhere(found, load_hardware(projected, hardware_path), estimates)
        projection = project(
            shape,
            lengths or spread_lengths(1, min(1024, shape.shape.context)),
            projected,
            hardware_path,
            years=years,
            target_s=target_s,
            years_circuit=found,
            known=known,
        )
    except FhecostError as error:
        missing["projection"] = str(error)
    progress("other widths")
    try:
        by_bits = project_bits(
            _shape_of(circuit, found.description),
            load_hardware(projected, hardware_path),
            rows_about(found.description, accuracies),
            known=known,
            said=found.description,
        )
    except FhecostError as error:
        missing["bits"] = str(error)
    return FullReport(
        estimates=estimates,
        comparison=compare(estimates, profiles),
        accuracy=matching,
        validation=validation,
        projection=projection,
        bits=by_bits,
        missing=missing,
        fhecost_version=VERSION,
    )


def _elsewhere(
    circuit: CircuitProfile, machines: Iterable[HardwareProfile], report: EstimateReport
) -> tuple[Estimate, ...]:
    """The circuit's estimates on those of ``machines`` that the report says nothing of."""
    judged = {made.hardware for made in report.estimates}
    judged |= {refusal.hardware for refusal in report.refusals}
    others = {one.name: ChosenEstimator(one) for one in machines if one.name not in judged}
    return tuple(estimates_or_refusals(circuit, others)[0].values())


def matching_accuracy(
    circuit: CircuitProfile, reports: Sequence[AccuracyReport]
) -> AccuracyReport | None:
    """The rows that speak of this circuit's weights, variant, heads and width, at any length."""
    said = circuit.description
    found = together(
        (report, row)
        for report in reports
        for row in rows_about(said, [report])
        if (row.variant, row.bits) == (said.variant, said.bits)
    )
    if found is None:
        return None
    return found.changed(rows=tuple(sorted(found.rows, key=lambda row: (row.seq_len, row.mode))))


def _shape_of(request: CircuitRequest, said: CircuitDescription) -> ShapeRequest:
    """The shape whose closed form stands for the circuit at other lengths."""
    if isinstance(request, PredictedShape):
        return request.shape
    if not (said.model and said.variant and said.seq_len and said.bits and said.heads):
        raise UsageError("the circuit doesn't say of which heads of which model it is")
    # A file of settings, and a model's folder, are known by their paths, not by their names.
    known = request.heads if isinstance(request, CompiledHeads | PredictedHeads) else None
    return ShapeRequest(
        find_shape(known.model if known else said.model),
        seq_len=said.seq_len,
        bits=said.bits,
        variant=known.variant if known else said.variant,
        heads=len(said.heads),
    )
