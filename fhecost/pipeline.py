"""The whole way in one call: from a circuit to the report on machines, and to the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fhecost.circuit_request import (
    CircuitRequest,
    CompiledHeads,
    PredictedHeads,
    find_circuit,
    sure_circuit,
)
from fhecost.circuits.description import CircuitDescription
from fhecost.circuits.module import ModuleProfile, load_module
from fhecost.circuits.profile import CircuitProfile, load_profile, save_profile
from fhecost.errors import FhecostError, ImpossibleError
from fhecost.files import AnyPath, check_can_write, write_result
from fhecost.hardware.calls import CallsReport, estimate_calls_on
from fhecost.hardware.comparison import ComparisonReport, check_sort, compare
from fhecost.hardware.difference import DifferenceReport, difference
from fhecost.hardware.estimate import EstimateReport
from fhecost.hardware.estimator import ChosenEstimator, estimate_all
from fhecost.hardware.library import HardwareNames, find_hardware, load_hardware, of_kinds
from fhecost.hardware.names import ALL, DEFAULT, SortKey
from fhecost.hardware.other_ways import nearest_first, read_other_ways
from fhecost.hardware.pbs_choice import PbsChoice, check_choice, of_kind_if_known, with_pbs
from fhecost.hardware.profile import HardwareProfile, Kind
from fhecost.hardware.sensitivity import sensitivity
from fhecost.hardware.throughput import throughputs
from fhecost.hardware.what_if import changes_between, with_figures_where_known
from fhecost.models.model_shape import ModelShape
from fhecost.progress import Progress, silent

if TYPE_CHECKING:
    from fhecost.full_report import FullReport


def estimate_circuit(
    circuit: CircuitRequest,
    hardware: HardwareNames = DEFAULT,
    hardware_path: Iterable[AnyPath] = (),
    progress: Progress = silent,
    *,
    keep_profile: AnyPath | None = None,
    requests: int | None = None,
    pbs: PbsChoice | None = None,
) -> EstimateReport:
    """What ``fhecost estimate`` does: find the circuit, and estimate it on each machine.

    Args:
        circuit: its profile, or how to come by it: saved, compiled or in closed form. Only
            compiling, and widths from a model's weights, need torch and Concrete.
        hardware: names of machines or hardware profiles, ``all``, or ``default``: one of each kind
            and the user's own. With these two, a machine that can't run the circuit is a refusal in
            the report, not an error.
        hardware_path: folders of further machines.
        progress: called with the name of each step when it begins.
        keep_profile: where to write the circuit profile, when all went well.
        requests: also so many independent inputs under one key: when all are done, what a machine
            keeps up, and the batch from which on it is full.
        pbs: the kind of PBS; ``best`` takes the fastest of those that a machine has, None that of
            its own figures. Of a kind that a machine doesn't state, the estimate is hypothetical.

    Raises:
        UsageError: the request, a machine or a path is wrong.
        ImpossibleError: there is no such circuit, or a machine can't run it.
    """
    # What fails at once comes before what takes long.
    kept = None if keep_profile is None else Path(keep_profile)
    check_can_write(kept)
    check_choice(pbs)
    profiles = load_hardware(hardware, hardware_path)
    found = find_circuit(circuit, progress)
    report = estimate_all(
        found,
        profiles,
        skip_impossible=hardware in (ALL, DEFAULT),
        sure=sure_circuit(circuit, found, progress),
        pbs=pbs,
    )
    if requests is not None:
        report = report.changed(
            throughputs=throughputs(found, profiles, requests, report.estimates, pbs=pbs)
        )
    # A comparison that can't be made is no reason to give up what was asked for.
    with suppress(FhecostError):
        published = published_head(circuit, found.description, progress)
        if published is not None:
            beside = estimate_all(published, profiles, skip_impossible=True, least=0, pbs=pbs)
            report = report.changed(beside=beside)
    if kept is not None:
        save_profile(found, kept)
    return report


def estimate_calls(
    module: ModuleProfile | AnyPath,
    calls: Mapping[str, int],
    hardware: HardwareNames = DEFAULT,
    hardware_path: Iterable[AnyPath] = (),
) -> CallsReport:
    """What ``fhecost estimate --calls`` does: price calls of a module's functions.

    Args:
        module: its profile, or the file that holds it.
        calls: how often each function is called, by its name: ``{"inc": 10, "dec": 1}``.
        hardware: names of machines or hardware profiles, ``all``, or ``default``. With these two,
            a machine that can't run a function is a refusal in the report, not an error.
        hardware_path: folders of further machines.

    Raises:
        UsageError: the file, a function, a number, a machine or a path is wrong.
        ImpossibleError: a machine can't run a function that is called.
    """
    found = module if isinstance(module, ModuleProfile) else load_module(module)
    profiles = load_hardware(hardware, hardware_path)
    return estimate_calls_on(found, calls, profiles, skip_impossible=hardware in (ALL, DEFAULT))


def diff_circuits(
    before: CircuitProfile | AnyPath,
    after: CircuitProfile | AnyPath,
    hardware: HardwareNames = DEFAULT,
    hardware_path: Iterable[AnyPath] = (),
) -> DifferenceReport:
    """What ``fhecost diff`` does: what changed between two circuits, and in their times.

    Args:
        before: a circuit profile, or the file that holds one.
        after: the other one.
        hardware: names of machines or hardware profiles, ``all``, or ``default``. A machine that
            can't run one of the circuits says so in the report.
        hardware_path: folders of further machines.

    Raises:
        UsageError: a file, a machine or a path is wrong.
    """
    old, new = (
        one if isinstance(one, CircuitProfile) else load_profile(one) for one in (before, after)
    )
    return difference(old, new, load_hardware(hardware, hardware_path))


def published_head(
    circuit: CircuitRequest, described: CircuitDescription, progress: Progress = silent
) -> CircuitProfile | None:
    """The published example's head where ``circuit`` is a fast head, as it is ``described``.

    By closed form at its own 4 bits: of the same weights where they are at hand, else of the same
    shape with stated widths. None beside any other circuit.
    """
    said = described
    if not (said.scope == "head" and said.variant and said.variant.startswith("fast")):
        return None
    if not (said.width and said.head_dimension and said.seq_len and said.heads):
        return None
    if isinstance(circuit, CompiledHeads | PredictedHeads):
        progress("the published head beside it")
        same = replace(circuit.heads, variant="reference", bits=4)
        return find_circuit(PredictedHeads(same))
    from fhecost.closed_form.scopes import ShapeRequest, profile_of_shape

    heads = max(len(said.heads), said.width // said.head_dimension)
    shape = ModelShape(
        name=said.model or "a model",
        layers=1,
        heads=heads,
        kv_heads=heads,
        dimension=said.head_dimension,
        width=said.width,
        inner=4 * said.width,
        vocabulary=1,
        context=said.seq_len,
        reference="the circuit's own description",
    )
    request = ShapeRequest(shape, "head", said.seq_len, 4, "reference", len(said.heads))
    return profile_of_shape(request)


def compare_circuit(
    circuit: CircuitRequest,
    hardware: HardwareNames = ALL,
    hardware_path: Iterable[AnyPath] = (),
    progress: Progress = silent,
    *,
    kinds: Iterable[Kind] = (),
    base: str | HardwareProfile | None = None,
    sort: SortKey = "latency",
    what_if: Mapping[str, float] | None = None,
    requests: int | None = None,
    pbs: PbsChoice | None = None,
    sensitive: bool = False,
    with_published: bool = False,
) -> ComparisonReport:
    """What ``fhecost compare`` does: find the circuit, and hold the machines against each other.

    Args:
        circuit: its profile, or how to come by it: saved, compiled or in closed form.
        hardware: names of machines or hardware profiles, ``default``, or ``all``. One that can't
            run the circuit is a refusal in the report.
        hardware_path: folders of further machines.
        progress: called with the name of each step when it begins.
        kinds: only machines of these kinds; of all when empty.
        base: the machine that speed-ups are over, with its own figures; the slowest when None.
        sort: what the rows are sorted by.
        what_if: figures to set, in SI units, on each machine that has them: ``{"cores": 64}``; on
            one machine alone: ``{"strix:clock_hz": 2e9}``.
            Each keeps its range, relative to its value, and is an assumption; each machine's
            latency before is in the report too.
        requests: also so many independent inputs under one key: when all are done, what a machine
            keeps up, and the batch from which on it is full.
        pbs: the kind of PBS; ``best`` takes the fastest of those that a machine has, None that of
            its own figures. Of a kind that a machine doesn't state, the estimate is hypothetical.
        sensitive: also what each figure of a machine does to its latency.
        with_published: also what is published of other ways to run a language model encrypted.

    Raises:
        UsageError: the request, a machine, a figure or a path is wrong.
        ImpossibleError: there is no such circuit, or no machine can run it.
    """
    check_sort(sort)
    check_choice(pbs)
    own = of_kinds(load_hardware(hardware, hardware_path), kinds)
    # The base keeps its own figures: it is what the others are held against.
    held_against = None if base is None else find_hardware(base, hardware_path)
    changed = own
    if what_if:
        # Figures of a kind that a machine doesn't state can be set where that kind is asked for.
        own = [of_kind_if_known(profile, pbs) for profile in own]
        changed = with_figures_where_known(own, what_if)
    found = find_circuit(circuit, progress)
    return compare_found(
        found,
        sure_circuit(circuit, found, progress),
        own,
        changed,
        base=held_against,
        sort=sort,
        requests=requests,
        sensitive=sensitive,
        with_published=with_published,
        pbs=pbs,
    )


def compare_found(
    found: CircuitProfile,
    sure: CircuitProfile | str | None,
    own: Sequence[HardwareProfile],
    profiles: Sequence[HardwareProfile],
    *,
    base: HardwareProfile | None = None,
    sort: SortKey = "latency",
    requests: int | None = None,
    sensitive: bool = False,
    with_published: bool = False,
    pbs: PbsChoice | None = None,
) -> ComparisonReport:
    """What :func:`compare_circuit` makes of a circuit and of machines that are there already.

    Args:
        found: the circuit, and ``sure`` what :func:`~fhecost.circuit_request.sure_circuit` makes of
            it.
        sure: see there.
        own: the machines with their own figures, and ``profiles`` the same with those that were
            set.
        profiles: see there.
        base: the machine that speed-ups are over; the slowest when None.
        sort: this and all that follow as there.
        requests: likewise.
        sensitive: likewise.
        with_published: likewise.
        pbs: likewise.

    Raises:
        ImpossibleError: no machine can run it, or the base can't.
    """
    report = estimate_all(found, profiles, skip_impossible=True, sure=sure, pbs=pbs)
    changes = list(changes_between(own, profiles))
    changed = {change.hardware for change in changes}
    as_they_are = [profile for profile in own if profile.name in changed]
    before = estimate_all(found, as_they_are, skip_impossible=True, least=0, pbs=pbs).estimates
    base_made = None
    if base is not None:
        # The base is mostly among the machines, and then estimated already.
        try:
            known = (*report.estimates, *before)
            base_made = ChosenEstimator(base, pbs, known)(found)
        except ImpossibleError as error:
            raise ImpossibleError(f"base {error}") from error
    if requests is not None:
        report = report.changed(
            throughputs=throughputs(found, profiles, requests, report.estimates, pbs=pbs)
        )
    made = compare(report, profiles, base_made, sort=sort, changes=changes, before=before)
    if sensitive:
        by_name = {profile.name: profile for profile in profiles}
        machines = (with_pbs(by_name[row.hardware], row.pbs_kind) for row in made.rows)
        made = made.changed(
            sensitivities=tuple(
                sensitivity(found, machine, report.estimates) for machine in machines
            )
        )
    if with_published:
        made = made.changed(published=nearest_first(read_other_ways(), found.description.model))
    return made


def write_report(
    report: FullReport,
    page: AnyPath = "report.html",
    *,
    figures_folder: AnyPath | None = None,
    figure_format: Literal["svg", "png"] = "svg",
    command: str | None = None,
    progress: Progress = silent,
) -> list[Path]:
    """Write what :func:`fhecost.make_report` found as one page that opens offline.

    Args:
        report: what the page holds.
        page: the file.
        figures_folder: where to write each figure too, if anywhere.
        figure_format: of the figures that are written there.
        command: what made it, which stands on the page with the date.
        progress: called with the name of each step when it begins.

    Returns:
        The files of the figures.

    Raises:
        UsageError: plotly or kaleido isn't installed, or a file can't be written.
        ImpossibleError: there is no browser that could draw the figures.
    """
    from fhecost.report.report_page import report_figures, report_page
    from fhecost.report.saved_figures import save_figures

    figures = report_figures(report)
    write_result(Path(page), report_page(report, figures, command=command))
    if figures_folder is None:
        return []
    return save_figures(figures, Path(figures_folder), figure_format, progress)
