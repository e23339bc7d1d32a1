"""Fit what inputs, outputs and a run by itself cost to circuits without lookups.

Non-negative least squares on relative errors, over samples with I bytes of inputs and O of
outputs::

    time of a run - linear operations = r + s I + t O + u max(I, O)

The last term is memory that the system hands out anew in each run: a run's page faults are some
seven times the larger of inputs and outputs and once the smaller, which mostly finds what the
other has used (``experiments/microbenchmarks/page_faults.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fhecost.errors import UsageError
from fhecost.measurement.least_squares import fit_non_negative
from fhecost.measurement.records import Microbenchmark

CONSTANTS = ("run_s", "input_byte_s", "output_byte_s", "fresh_byte_s")


@dataclass(frozen=True)
class TransferFit:
    """The constants of the CPU model's inputs and outputs, by the names of its figures.

    ``spread`` is the 90th percentile of the absolute relative residual; ``standard_errors`` and
    ``upper_bounds`` are as in :class:`fhecost.measurement.fit.CpuFit`.
    """

    constants: Mapping[str, float]
    spread: float
    standard_errors: Mapping[str, float]
    upper_bounds: Mapping[str, float]


def fit_transfers(microbenchmark: Microbenchmark, linear_element_s: float) -> TransferFit:
    """Fit the constants; ``linear_element_s`` is what a torus element of linear operations takes.

    Raises:
        UsageError: fewer than five samples, one is shorter than its linear operations, or inputs
            or outputs are nowhere the larger.
    """
    samples = microbenchmark.transfers
    if len(samples) < 5:
        raise UsageError("a fit needs at least 5 circuits without lookups")
    measured = np.array([microbenchmark.corrected_median_s(sample) for sample in samples])
    elements = np.array([sample.elements for sample in samples])
    left = measured - linear_element_s * elements
    if left.min() <= 0:
        raise UsageError("a fit needs runs that take longer than their linear operations")
    inputs = np.array([float(sample.input_bytes) for sample in samples])
    outputs = np.array([float(sample.output_bytes) for sample in samples])
    if not ((inputs > outputs).any() and (outputs > inputs).any()):
        raise UsageError("a fit needs circuits with more inputs than outputs, and with fewer")
    terms = np.stack([np.ones_like(inputs), inputs, outputs, np.maximum(inputs, outputs)], axis=1)
    made = fit_non_negative(CONSTANTS, terms, left, measured)
    return TransferFit(
        constants=dict(zip(CONSTANTS, made.constants.tolist(), strict=True)),
        spread=made.spread,
        standard_errors=made.standard_errors,
        upper_bounds=made.upper_bounds,
    )
