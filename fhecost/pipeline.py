"""The whole way in one call: from a request, or a saved circuit profile, to the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fhecost.circuits.profile import CircuitProfile, load_profile, save_profile
from fhecost.errors import ImpossibleError
from fhecost.files import check_can_write
from fhecost.hardware.comparison import ComparisonReport, ComparisonRequest, compare
from fhecost.hardware.estimate import EstimateReport
from fhecost.hardware.estimator import estimate_all
from fhecost.hardware.library import ALL, DEFAULT, load_hardware, load_machine
from fhecost.hardware.what_if import parse_what_if, with_figures_where_known
from fhecost.progress import Progress, silent

if TYPE_CHECKING:
    from fhecost.gpt2.head_circuit import HeadRequest


def estimate_heads(
    request: HeadRequest,
    hardware: str = DEFAULT,
    hardware_path: Sequence[Path] = (),
    progress: Progress = silent,
    *,
    keep_profile: Path | None = None,
) -> EstimateReport:
    """What ``fhecost estimate`` does: compile one head, and estimate it on each machine.

    Args:
        request: the model, the sentence, the head and its widths.
        hardware: machine names, comma-separated, ``all``, or ``default``: one of each kind and
            the user's own. With these two, a machine that can't run the head is a refusal in the
            report, not an error.
        hardware_path: folders of further machines.
        progress: called with the name of each step when it begins.
        keep_profile: where to write the circuit profile, when all went well.

    Raises:
        UsageError: the request, a machine or a path is wrong.
        ImpossibleError: the head can't be compiled, or a machine can't run it.
    """

    def compiled() -> CircuitProfile:
        from fhecost.gpt2.head_circuit import profile_heads

        return profile_heads(request, progress)

    return _estimate(compiled, hardware, hardware_path, keep_profile)


def estimate_profile(
    profile: Path,
    hardware: str = DEFAULT,
    hardware_path: Sequence[Path] = (),
    *,
    keep_profile: Path | None = None,
) -> EstimateReport:
    """What ``fhecost estimate --profile`` does: no compiling, neither torch nor Concrete.

    Args:
        profile: a file that holds a circuit profile.
        hardware: as in :func:`estimate_heads`.
        hardware_path: folders of further machines.
        keep_profile: where to write the circuit profile again, when all went well.

    Raises:
        UsageError: the profile, a machine or a path is wrong.
        ImpossibleError: a machine can't run the circuit.
    """
    return _estimate(lambda: load_profile(profile), hardware, hardware_path, keep_profile)


def compare_heads(
    request: HeadRequest,
    comparison: ComparisonRequest,
    hardware_path: Sequence[Path] = (),
    progress: Progress = silent,
) -> ComparisonReport:
    """What ``fhecost compare`` does with a head: compile it, and compare the machines.

    Raises:
        UsageError: the request, a machine, a figure or a path is wrong.
        ImpossibleError: the head can't be compiled, or no machine can run it.
    """

    def compiled() -> CircuitProfile:
        from fhecost.gpt2.head_circuit import profile_heads

        return profile_heads(request, progress)

    return _compare(compiled, comparison, hardware_path)


def compare_profile(
    profile: Path, comparison: ComparisonRequest, hardware_path: Sequence[Path] = ()
) -> ComparisonReport:
    """What ``fhecost compare --profile`` does: no compiling, neither torch nor Concrete.

    Raises:
        UsageError: the profile, a machine, a figure or a path is wrong.
        ImpossibleError: no machine can run the circuit.
    """
    return _compare(lambda: load_profile(profile), comparison, hardware_path)


def _compare(
    read_circuit: Callable[[], CircuitProfile],
    comparison: ComparisonRequest,
    hardware_path: Sequence[Path],
) -> ComparisonReport:
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
    return compare(read_circuit(), machines, base, sort=comparison.sort, what_if=changed)


def _estimate(
    read_circuit: Callable[[], CircuitProfile],
    hardware: str,
    hardware_path: Sequence[Path],
    keep_profile: Path | None,
) -> EstimateReport:
    # What fails at once comes before what takes long.
    check_can_write(keep_profile)
    machines = load_hardware(hardware, hardware_path)
    circuit = read_circuit()
    report = estimate_all(circuit, machines, skip_impossible=hardware in (ALL, DEFAULT))
    if keep_profile is not None:
        save_profile(circuit, keep_profile)
    return report
