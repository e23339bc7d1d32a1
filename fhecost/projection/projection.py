"""What ``fhecost project`` does: a part of a model over sequence lengths and over the years."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from fhecost.circuits.description import CircuitDescription
from fhecost.circuits.profile import CircuitProfile
from fhecost.closed_form.scopes import ShapeRequest, profile_of_shape
from fhecost.errors import ImpossibleError
from fhecost.frozen import Frozen
from fhecost.hardware.estimate import Estimate
from fhecost.hardware.estimator import Estimator
from fhecost.hardware.library import ALL, DEFAULT, load_hardware
from fhecost.hardware.profile import HardwareProfile, Kind
from fhecost.projection.lengths import (
    LengthProjection,
    longest_within,
    project_lengths,
)
from fhecost.projection.years import YearsReport, project_years, year_of_target
from fhecost.version import VERSION


@dataclass(frozen=True)
class ProjectionRequest:
    """What to project: ``circuit`` at each of ``lengths``, and in ``years``.

    The years start from ``years_circuit``, or from the last of the lengths when None.
    """

    circuit: ShapeRequest
    lengths: tuple[int, ...]
    hardware: str = DEFAULT
    years: tuple[int, ...] = ()
    target_s: float | None = None
    years_circuit: CircuitProfile | None = None


class ProjectionReport(Frozen):
    """Lengths, and years if any were asked for.

    ``kinds`` are those of all machines. ``refusals`` says by machine why it has no figure at any
    length, or none over the years. ``longest`` is the longest of the estimated lengths that meets
    the target, None where none does.
    """

    schema_version: Literal[2] = 2
    fhecost_version: str = VERSION
    description: CircuitDescription
    kinds: Mapping[str, Kind]
    lengths: LengthProjection
    years_seq_len: int | None
    years: YearsReport | None
    target_s: float | None
    longest: Mapping[str, int | None]
    refusals: Mapping[str, str]


def project(
    request: ProjectionRequest,
    hardware_path: Sequence[Path] = (),
    *,
    known: Sequence[Estimate] = (),
) -> ProjectionReport:
    """Project a circuit to other lengths and years.

    Args:
        request: what to project.
        hardware_path: folders of further machines.
        known: estimates made before, of any circuits on any machines; they aren't made again.

    Raises:
        UsageError: the shape, a length, a machine or a year is wrong.
        ImpossibleError: no length has a circuit, or a machine that was named can run none.
    """
    machines = load_hardware(request.hardware, hardware_path)
    estimators = {machine.name: Estimator(machine, known) for machine in machines}
    lengths = project_lengths(request.circuit, request.lengths, estimators)
    refusals = _without_figure(lengths, machines)
    if refusals and request.hardware not in (ALL, DEFAULT):
        name, reason = next(iter(refusals.items()))
        raise ImpossibleError(f"{name}: {reason}")
    left = [machine for machine in machines if machine.name not in refusals]
    years, years_seq_len = None, None
    if request.years:
        circuit = request.years_circuit or profile_of_shape(
            replace(request.circuit, seq_len=_last_known(lengths))
        )
        years_seq_len = circuit.description.seq_len
        years, without = _years(request, circuit, left, estimators)
        refusals |= without
    shape = request.circuit.shape
    return ProjectionReport(
        description=CircuitDescription(
            model=shape.name,
            scope=request.circuit.scope,
            bits=request.circuit.bits,
            variant=request.circuit.variant if request.circuit.scope == "head" else None,
            widths="stated",
            shape_from=shape.reference,
        ),
        kinds={machine.name: machine.kind for machine in machines},
        lengths=lengths,
        years_seq_len=years_seq_len,
        years=years,
        target_s=request.target_s,
        longest={}
        if request.target_s is None
        else {m.name: longest_within(lengths, m.name, request.target_s) for m in left},
        refusals=refusals,
    )


def _without_figure(
    lengths: LengthProjection, machines: Sequence[HardwareProfile]
) -> dict[str, str]:
    """Why machines that run no length can't, by name."""
    reasons: dict[str, str] = {}
    for machine in machines:
        if not any(machine.name in point.latency_s for point in lengths.points):
            reasons[machine.name] = next(
                point.refusals[machine.name]
                for point in lengths.points
                if machine.name in point.refusals
            )
    return reasons


def _last_known(lengths: LengthProjection) -> int:
    return max(point.seq_len for point in lengths.points if point.reason is None)


def _years(
    request: ProjectionRequest,
    circuit: CircuitProfile,
    machines: Sequence[HardwareProfile],
    estimators: Mapping[str, Estimator],
) -> tuple[YearsReport, dict[str, str]]:
    projections, without = [], {}
    for machine in machines:
        if machine.year is None:
            without[machine.name] = "its profile has no year, so there is none to start from"
            continue
        try:
            made = estimators[machine.name](circuit)
        except ImpossibleError as error:
            without[machine.name] = str(error).removeprefix(f"{machine.name}: ")
            continue
        projections.append(
            project_years(
                made.latency_s,
                machine.kind,
                machine.year,
                request.years,
                name=machine.name,
                low_s=made.low_s,
                high_s=made.high_s,
                price_usd=made.price_usd,
                energy_j=made.energy_j,
            )
        )
    targets = (
        ()
        if request.target_s is None
        else tuple(year_of_target(one, request.target_s) for one in projections)
    )
    return (
        YearsReport(years=request.years, projections=tuple(projections), targets=targets),
        without,
    )
