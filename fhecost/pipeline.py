"""The whole way in one call: from a request, or a saved circuit profile, to the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fhecost.circuits.profile import CircuitProfile, load_profile, save_profile
from fhecost.files import check_can_write
from fhecost.hardware.estimate import EstimateReport
from fhecost.hardware.estimator import estimate_all
from fhecost.hardware.library import ALL, load_hardware
from fhecost.progress import Progress, silent

if TYPE_CHECKING:
    from fhecost.gpt2.head_circuit import HeadRequest


def estimate_heads(
    request: HeadRequest,
    hardware: str = ALL,
    hardware_path: Sequence[Path] = (),
    progress: Progress = silent,
    *,
    keep_profile: Path | None = None,
) -> EstimateReport:
    """What ``fhecost estimate`` does: compile one head, and estimate it on each machine.

    Args:
        request: the model, the sentence, the head and its widths.
        hardware: machine names, comma-separated, or ``all``; with ``all``, a machine that can't
            run the head is a refusal in the report, not an error.
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
    hardware: str = ALL,
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
    report = estimate_all(circuit, machines, skip_impossible=hardware == ALL)
    if keep_profile is not None:
        save_profile(circuit, keep_profile)
    return report
