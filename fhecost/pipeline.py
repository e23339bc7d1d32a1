"""The whole way in one call: from a request for a circuit to the report on machines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fhecost.circuit_request import CircuitRequest, find_circuit
from fhecost.circuits.profile import CircuitProfile, save_profile
from fhecost.errors import ImpossibleError
from fhecost.files import check_can_write
from fhecost.hardware.comparison import ComparisonReport, ComparisonRequest, compare
from fhecost.hardware.estimate import Estimate, EstimateReport
from fhecost.hardware.estimator import Estimator, estimate_all
from fhecost.hardware.library import ALL, DEFAULT, load_hardware, load_machine
from fhecost.hardware.profile import HardwareProfile
from fhecost.hardware.what_if import parse_what_if, with_figures_where_known
from fhecost.progress import Progress, silent


def estimate_circuit(
    request: CircuitRequest,
    hardware: str = DEFAULT,
    hardware_path: Sequence[Path] = (),
    progress: Progress = silent,
    *,
    keep_profile: Path | None = None,
) -> EstimateReport:
    """What ``fhecost estimate`` does: find the circuit, and estimate it on each machine.

    Args:
        request: the circuit: saved, compiled or in closed form. Only compiling, and widths from a
            model's weights, need torch and Concrete.
        hardware: machine names, comma-separated, ``all``, or ``default``: one of each kind and
            the user's own. With these two, a machine that can't run the circuit is a refusal in
            the report, not an error.
        hardware_path: folders of further machines.
        progress: called with the name of each step when it begins.
        keep_profile: where to write the circuit profile, when all went well.

    Raises:
        UsageError: the request, a machine or a path is wrong.
        ImpossibleError: there is no such circuit, or a machine can't run it.
    """
    # What fails at once comes before what takes long.
    check_can_write(keep_profile)
    machines = load_hardware(hardware, hardware_path)
    circuit = find_circuit(request, progress)
    report = estimate_all(circuit, machines, skip_impossible=hardware in (ALL, DEFAULT))
    if keep_profile is not None:
        save_profile(circuit, keep_profile)
    return report


def compare_circuit(
    request: CircuitRequest,
    comparison: ComparisonRequest,
    hardware_path: Sequence[Path] = (),
    progress: Progress = silent,
) -> ComparisonReport:
    """What ``fhecost compare`` does: find the circuit, and hold the machines against each other.

    Raises:
        UsageError: the request, a machine, a figure or a path is wrong.
        ImpossibleError: there is no such circuit, or no machine can run it.
    """
    machines = load_hardware(comparison.hardware, hardware_path)
    if comparison.kinds:
        machines = [machine for machine in machines if machine.kind in comparison.kinds]
        if not machines:
            raise ImpossibleError(f"no machine of kind {', '.join(comparison.kinds)} among those")
    # The base keeps its own figures: it is what the others are held against.
    base = load_machine(comparison.base, hardware_path) if comparison.base else None
    changed = parse_what_if(comparison.what_if) if comparison.what_if else {}
    if changed:
        machines = with_figures_where_known(machines, changed)
    circuit = find_circuit(request, progress)
    report = estimate_all(circuit, machines, skip_impossible=True)
    held_against = None if base is None else _base_estimate(circuit, base, report)
    return compare(report, machines, held_against, sort=comparison.sort, what_if=changed)


def _base_estimate(
    circuit: CircuitProfile, base: HardwareProfile, report: EstimateReport
) -> Estimate:
    """The base is mostly among the machines, and then estimated already."""
    try:
        return Estimator(base, report.estimates)(circuit)
    except ImpossibleError as error:
        raise ImpossibleError(f"--base {error}") from error
