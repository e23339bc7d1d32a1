"""Constants of machines that nobody here has: fitted to published times of single operations.

``python experiments/published/fits.py`` prints what ``hardware/*.yaml`` hold; a test compares them.
The records are those that a machine's ``published.fitted_to`` names; no other is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import nnls

from fhecost.circuits.work import external_product_units, fourier_units, key_switch_units, pbs_units
from fhecost.hardware.library import find_hardware
from fhecost.validation.published import PublishedOperation, read_operation, read_records

CPUS = ("m6i-metal", "hpc7a-96xlarge", "hpc8a-96xlarge")
GPUS = ("h100", "h100-tfhe-rs-1.4")


def fitted_operations(hardware: str) -> list[PublishedOperation]:
    """The published operations that ``hardware`` is fitted to."""
    published = find_hardware(hardware).published
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


def fit_gpu_constants(operations: Sequence[PublishedOperation]) -> tuple[float, float, float]:
    """Step overhead in s, rate of a PBS alone in units/s, and what is left of it beyond the chip.

    Two sets whose accumulators fit into a multiprocessor's memory give overhead and rate exactly,
    the one whose accumulators don't gives the share::

        PBS alone = n * overhead + work / (rate * share)
    """
    single = [one for one in operations if one.count == 1]
    sized = sorted(single, key=lambda one: one.pbs.polynomial_size)
    small, middle, large = sized
    n = [float(one.pbs.lwe_dimension) for one in sized]
    work = [pbs_units(one.pbs) for one in sized]
    overhead, per_unit = np.linalg.solve(
        np.array([[n[0], work[0]], [n[1], work[1]]]), np.array([small.value, middle.value])
    )
    share = work[2] * per_unit / (large.value - n[2] * overhead)
    return float(overhead), float(1 / per_unit), float(share)


def main() -> None:
    """Print all constants."""
    for hardware in CPUS:
        constants = fit_cpu_constants(fitted_operations(hardware))
        print(hardware, *(f"{constant:.4g}" for constant in constants))
    for hardware in GPUS:
        constants = fit_gpu_constants(fitted_operations(hardware))
        print(hardware, *(f"{constant:.4g}" for constant in constants))


if __name__ == "__main__":
    main()
