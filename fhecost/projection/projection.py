"""What ``fhecost project`` does: a part of a model over sequence lengths and over the years."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Literal

from fhecost.circuit_request import PredictedShape, sure_circuit
from fhecost.circuits.description import CircuitDescription
from fhecost.circuits.profile import CircuitProfile
from fhecost.closed_form.scopes import ShapeRequest, profile_of_shape
from fhecost.errors import ImpossibleError
from fhecost.files import AnyPath
from fhecost.frozen import Frozen
from fhecost.hardware.answer import Contender
from fhecost.hardware.estimate import Estimate, UnsureCircuit
from fhecost.hardware.estimator import ChosenEstimator
from fhecost.hardware.library import HardwareNames, load_hardware
from fhecost.hardware.names import ALL, DEFAULT
from fhecost.hardware.pbs_choice import PbsChoice
from fhecost.hardware.profile import HardwareProfile, Kind
from fhecost.hardware.refusals import estimates_or_refusals
from fhecost.hardware.unsure import UNSURE, unsure_circuit
from fhecost.heads.variants import variant_named
from fhecost.projection.lengths import (
    LengthProjection,
    latency_of,
    longest_within,
    project_lengths,
)
from fhecost.projection.trend import fit_trend
from fhecost.projection.years import YearsReport, check_years, project_years, year_of_target
from fhecost.version import VERSION


class ProjectionReport(Frozen):
    """Lengths, and years if any were asked for.

    ``kinds`` are those of all machines. ``refusals`` says by machine why it has no figure at any
    length, or none over the years. ``longest`` is the longest of the estimated lengths that meets
    the target, None where none does. ``unsure`` is of the longest length where some lookup is
    likely to go wrong, None where there is none. ``at_longest`` is of the longest that has a
    circuit, on each machine that can run it. ``requests`` and ``pbs`` are what was asked for.
    """

    schema_version: Literal[2] = 2
    fhecost_version: str
    description: CircuitDescription
    kinds: Mapping[str, Kind]
    lengths: LengthProjection
    years_seq_len: int | None
    years: YearsReport | None
    target_s: float | None
    longest: Mapping[str, int | None]
    refusals: Mapping[str, str]
    unsure: UnsureCircuit | None = None
    at_longest: tuple[Contender, ...] = ()
    requests: int | None = None
    pbs: PbsChoice | None = None


def project(
    circuit: ShapeRequest,
    lengths: Iterable[int],
    hardware: HardwareNames = DEFAULT,
    hardware_path: Iterable[AnyPath] = (),
    *,
    years: Iterable[int] = (),
    target_s: float | None = None,
    requests: int | None = None,
    pbs: PbsChoice | None = None,
    years_circuit: CircuitProfile | None = None,
    known: Sequence[Estimate] = (),
) -> ProjectionReport:
    """What ``fhecost project`` does: project a circuit to other lengths and years.

    Args:
        circuit: what part of which model; its own length doesn't count.
        lengths: in tokens, each a circuit of its own; :func:`fhecost.spread_lengths` gives those
            of a long range.
        hardware: names of machines or hardware profiles, ``all``, or ``default``: one of each kind
            and the user's own. With these two, a machine that can run no length is a refusal in
            the report, not an error.
        hardware_path: folders of further machines.
        years: to project to.
        target_s: up to which length, and in which year, this many seconds are met.
        requests: at each length also so many independent inputs under one key.
        pbs: the kind of PBS; ``best`` takes the fastest of those that a machine has, None that of
            its own figures. Of a kind that a machine doesn't state, the estimate is hypothetical.
        years_circuit: what the years start from; the longest of ``lengths`` when None.
        known: estimates made before, of any circuits on any machines; they aren't made again.

    Raises:
        UsageError: the shape, a length, a machine or a year is wrong.
        ImpossibleError: no length has a circuit, or a machine that was named can run none.
    """
    wanted_years = check_years(years)
    profiles = load_hardware(hardware, hardware_path)
    estimators = {profile.name: ChosenEstimator(profile, pbs, known) for profile in profiles}
    projected = project_lengths(circuit, lengths, estimators, requests)
    # Machines that run no length, by name.
    refusals = {
        name: next(point.refusals[name] for point in projected.points if name in point.refusals)
        for name in estimators
        if not any(name in point.latency_s for point in projected.points)
    }
    if refusals and hardware not in (ALL, DEFAULT):
        name, reason = next(iter(refusals.items()))
        raise ImpossibleError(f"{name}: {reason}")
    left = [profile for profile in profiles if profile.name not in refusals]
    last = max(point.seq_len for point in projected.points if point.reason is None)
    longest = profile_of_shape(replace(circuit, seq_len=last))
    over_years, years_seq_len = None, None
    if wanted_years:
        start = years_circuit or longest
        years_seq_len = start.description.seq_len
        over_years, without = _years(start, left, estimators, wanted_years, target_s)
        refusals |= without
    shape = circuit.shape
    unsure = [one.seq_len for one in projected.points if (one.global_p_error or 0.0) > UNSURE]
    return ProjectionReport(
        fhecost_version=VERSION,
        description=CircuitDescription(
            model=shape.name,
            scope=circuit.scope,
            bits=circuit.width,
            variant=variant_named(circuit.variant).name if circuit.scope == "head" else None,
            heads=tuple(range(circuit.heads)) if circuit.scope == "head" else None,
            widths="stated",
            shape_from=shape.reference,
        ),
        kinds={profile.name: profile.kind for profile in profiles},
        lengths=projected,
        years_seq_len=years_seq_len,
        years=over_years,
        target_s=target_s,
        longest={}
        if target_s is None
        else {one.name: longest_within(projected, one.name, target_s) for one in left},
        refusals=refusals,
        requests=requests,
        pbs=pbs,
        unsure=_unsure(replace(circuit, seq_len=unsure[-1]), estimators) if unsure else None,
        at_longest=tuple(
            map(Contender.like, estimates_or_refusals(longest, estimators)[0].values())
        ),
    )


def _unsure(
    circuit: ShapeRequest, estimators: Mapping[str, ChosenEstimator]
) -> UnsureCircuit | None:
    found, request = profile_of_shape(circuit), PredictedShape(circuit)
    return unsure_circuit(found, estimators, sure_circuit(request, found))


def _years(
    circuit: CircuitProfile,
    hardware: Sequence[HardwareProfile],
    estimators: Mapping[str, ChosenEstimator],
    years: tuple[int, ...],
    target_s: float | None,
) -> tuple[YearsReport, dict[str, str]]:
    projections, without = [], {}
    # One fit a kind of machine, as many machines as there are of it.
    trend_of = cache(fit_trend)
    estimates, refused = estimates_or_refusals(
        circuit, {profile.name: estimators[profile.name] for profile in hardware}
    )
    for profile in hardware:
        made = estimates.get(profile.name)
        if profile.year is None:
            without[profile.name] = "its profile has no year, so there is none to start from"
        elif made is None:
            without[profile.name] = refused[profile.name]
        else:
            projections.append(
                project_years(
                    latency_of(made),
                    profile.kind,
                    profile.year,
                    years,
                    name=profile.name,
                    price_usd=made.price_usd,
                    energy_j=made.energy_j,
                    trend=trend_of(profile.kind),
                )
            )
    targets = [] if target_s is None else [year_of_target(one, target_s) for one in projections]
    report = YearsReport(
        fhecost_version=VERSION, years=years, projections=projections, targets=targets
    )
    return report, without
