"""Constants of machines that nobody here has: fitted to published times of single operations.

``python experiments/published/fits.py`` prints what ``hardware/*.yaml`` hold; a test compares them.
The records are those that a machine's ``published.fitted_to`` names; no other is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls

from fhecost.circuits.work import external_product_units, fourier_units, key_switch_units
from fhecost.hardware.bootstraps import CLASSIC, PbsAlgorithm, algorithm_of
from fhecost.hardware.library import find_hardware
from fhecost.hardware.pbs_choice import with_pbs
from fhecost.hardware.profile import HardwareProfile, PbsKind
from fhecost.validation.published import PublishedOperation, read_operation, read_records

CPUS = ("m6i-metal", "hpc7a-96xlarge", "hpc8a-96xlarge")
GPUS: Mapping[str, str] = {
    "h100-tfhe-rs-1.2": "h100-tfhe-rs-1.2",
    "h100-tfhe-rs-1.4": "h100-tfhe-rs-1.4",
    "h100-tfhe-rs-1.5": "h100-tfhe-rs-1.5",
    "h100-tfhe-rs-1.6": "h100-tfhe-rs-1.5",
    "h100": "h100-tfhe-rs-1.5",
}
"""Each GPU, and the one whose kernels for sets in general it still has."""
TRANSFERS = ("8xh100", "8xh100-tfhe-rs-1.6")
"""Machines whose full devices are known by token transfers, each so many lookups."""


def fitted_operations(hardware: str, kind: PbsKind = "classic") -> list[PublishedOperation]:
    """The published operations that ``hardware`` is fitted to, with PBS of ``kind``."""
    published = with_pbs(find_hardware(hardware), kind).published
    names = published.fitted_to if published is not None else ()
    read = [read_operation(record) for record in read_records() if record.name in names]
    return [operation for operation in read if isinstance(operation, PublishedOperation)]


def fit_cpu_constants(operations: Sequence[PublishedOperation]) -> tuple[float, float, float]:
    """Seconds of a Fourier unit, an external-product unit and a key-switch unit on one thread.

    Non-negative least squares on relative errors, as for a machine that was measured.
    """
    work = np.array(
        [
            [
                fourier_units(one.pbs),
                external_product_units(one.pbs),
                0.0 if one.key_switch is None else key_switch_units(one.key_switch),
            ]
            for one in operations
        ]
    )
    seconds = np.array([one.value for one in operations])
    a, b, c = nnls(work / seconds[:, None], np.ones(len(seconds)))[0]
    return float(a), float(b), float(c)


class Steps(NamedTuple):
    """What one step of one PBS takes on a GPU.

    ``overhead_s`` and ``rate_units_per_s`` of sets in general, of which ``spilled_share`` is left
    beyond the chip; ``tuned_s`` of the sets that a kernel was written for, None without one.
    """

    overhead_s: float
    rate_units_per_s: float
    spilled_share: float
    tuned_s: float | None = None


def fit_steps(operations: Sequence[PublishedOperation]) -> Steps:
    """Of classic PBS, from one small set, one with N=2048 and one that outgrows the chip.

    The first two give overhead and rate exactly, the third one the share::

        PBS alone = n * overhead + work / (rate * share)
    """
    small, middle, large = _by_size(operations)
    n = [float(one.pbs.lwe_dimension) for one in (small, middle)]
    work = [CLASSIC.units(one.pbs) for one in (small, middle)]
    overhead, per_unit = np.linalg.solve(
        np.array([[n[0], work[0]], [n[1], work[1]]]), np.array([small.value, middle.value])
    )
    general = Steps(float(overhead), float(1 / per_unit), 1.0)
    return general._replace(spilled_share=_share(large, general, CLASSIC))


def fit_tuned_steps(operations: Sequence[PublishedOperation], general: Steps) -> Steps:
    """Of classic PBS where a kernel was written for N=2048: the step of its set, and the share.

    No other small set is published with such a kernel: ``general`` is from the release before.
    """
    tuned, large = _by_size(operations)
    return general._replace(
        spilled_share=_share(large, general, CLASSIC), tuned_s=_step_s(tuned, CLASSIC)
    )


def fit_multi_bit_steps(
    operations: Sequence[PublishedOperation], rate: float, pbs: PbsAlgorithm, general: Steps | None
) -> Steps:
    """Of multi-bit PBS: the sums of a step wait for nothing, so all of a device works on them.

    ``rate`` is that of the whole device. With three sets the small one gives the overhead in
    general and the middle one is tuned; with two, the overhead is that of ``general`` and the small
    one is tuned, or where it is None the small one gives it.
    """
    sized = _by_size(operations)
    tuned_s = None
    if len(sized) == 3:
        tuned_s = _step_s(sized[1], pbs)
    elif general is not None:
        tuned_s = _step_s(sized[0], pbs)
    if len(sized) == 3 or general is None:
        overhead = _step_s(sized[0], pbs) - pbs.units(sized[0].pbs) / pbs.steps(sized[0].pbs) / rate
    else:
        overhead = general.overhead_s
    made = Steps(overhead, rate, 1.0, tuned_s)
    return made._replace(spilled_share=_share(sized[-1], made, pbs))


def _by_size(operations: Sequence[PublishedOperation]) -> list[PublishedOperation]:
    single = [one for one in operations if one.count == 1]
    return sorted(single, key=lambda one: one.pbs.polynomial_size)


def _step_s(operation: PublishedOperation, pbs: PbsAlgorithm) -> float:
    return operation.value / pbs.steps(operation.pbs)


def _share(operation: PublishedOperation, steps: Steps, pbs: PbsAlgorithm) -> float:
    """What is left of the rate, by a set that outgrows the chip."""
    at_work_s = operation.value - pbs.steps(operation.pbs) * steps.overhead_s
    return pbs.units(operation.pbs) / steps.rate_units_per_s / at_work_s


def fit_full_device(operations: Sequence[PublishedOperation], machine: HardwareProfile) -> float:
    """PBS work that one full device does in a second, by a throughput less its key switches."""
    (full,) = [one for one in operations if one.count > 1 and one.key_switch is not None]
    a_lookup_s = machine.figures["devices"].value / full.value
    if full.key_switch is not None:
        switching = machine.figures["key_switch_rate_units_per_s"].value
        a_lookup_s -= key_switch_units(full.key_switch) / switching
    return algorithm_of(machine).units(full.pbs) / a_lookup_s


def gpu_steps(hardware: str) -> tuple[Steps, Steps]:
    """Of classic and of multi-bit PBS on one of ``GPUS``."""
    base, found = GPUS[hardware], []
    for kind in ("classic", "multi-bit"):
        operations = fitted_operations(hardware, kind)
        machine = with_pbs(find_hardware(hardware), kind)
        general = None
        if base != hardware:
            general = gpu_steps(base)[len(found)]
        if kind == "multi-bit":
            rate = machine.figures["single_pbs_rate_units_per_s"].value
            found.append(fit_multi_bit_steps(operations, rate, algorithm_of(machine), general))
        elif general is None:
            found.append(fit_steps(operations))
        else:
            found.append(fit_tuned_steps(operations, general))
    return found[0], found[1]


def main() -> None:
    """Print all constants."""
    for hardware in CPUS:
        constants = fit_cpu_constants(fitted_operations(hardware))
        print(hardware, *(f"{constant:.4g}" for constant in constants))
    for hardware in GPUS:
        for kind, steps in zip(("classic", "multi-bit"), gpu_steps(hardware), strict=True):
            told = (f"{one:.4g}" for one in steps if one is not None)
            print(hardware, kind, *told)
    for hardware in TRANSFERS:
        for kind in ("classic", "multi-bit"):
            operations = fitted_operations(hardware, kind)
            if any(one.count > 1 and one.key_switch for one in operations):
                rate = fit_full_device(operations, with_pbs(find_hardware(hardware), kind))
                print(hardware, kind, f"{rate:.4g}")


if __name__ == "__main__":
    main()
