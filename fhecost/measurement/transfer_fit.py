"""Fit what inputs, outputs and a run by itself cost to circuits without lookups.

Non-negative least squares on relative errors, over samples with I bytes of inputs and O of
outputs::

    time of a run - linear operations = r + t (I + O) + u (max(0, I - S) + max(0, O - S))

S is the one of some sizes with the least error. Beyond it copies outgrow what the processor and the
C library keep at hand: a byte takes some four times as long.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fhecost.errors import UsageError
from fhecost.measurement.least_squares import Fitted, fit_non_negative
from fhecost.measurement.records import Microbenchmark

CONSTANTS = ("run_s", "transfer_byte_s", "large_transfer_byte_s")
_SIZES = tuple(2.0 ** (power / 2) * 1e6 for power in range(13))
"""One to 64 megabytes."""


@dataclass(frozen=True)
class TransferFit:
    """The constants of the CPU model's inputs and outputs, by the names of its figures.

    ``spread`` is the 90th percentile of the absolute relative residual; ``standard_errors`` and
    ``upper_bounds`` are as in :class:`fhecost.measurement.fit.CpuFit`.
    """

    constants: Mapping[str, float]
    large_transfer_bytes: float
    spread: float
    standard_errors: Mapping[str, float]
    upper_bounds: Mapping[str, float]


def fit_transfers(microbenchmark: Microbenchmark, linear_element_s: float) -> TransferFit:
    """Fit the constants; ``linear_element_s`` is what a torus element of linear operations takes.

    Raises:
        UsageError: fewer than five samples, none of a megabyte and more, or one is shorter than
            its linear operations.
    """
    samples = microbenchmark.transfers
    if len(samples) < 5:
        raise UsageError("a fit needs at least 5 circuits without lookups")
    measured = np.array([microbenchmark.corrected_median_s(sample) for sample in samples])
    elements = np.array([sample.elements for sample in samples])
    left = measured - linear_element_s * elements
    if left.min() <= 0:
        raise UsageError("a fit needs runs that take longer than their linear operations")
    sizes = np.array([(sample.input_bytes, sample.output_bytes) for sample in samples], dtype=float)

    def fitted(large: float) -> Fitted:
        beyond = np.maximum(0.0, sizes - large).sum(axis=1)
        terms = np.stack([np.ones(len(sizes)), sizes.sum(axis=1), beyond], axis=1)
        return fit_non_negative(CONSTANTS, terms, left, measured)

    # Of a size that no sample reaches nothing is known beyond it.
    reached = [size for size in _SIZES if size < sizes.max()]
    if not reached:
        raise UsageError("a fit needs runs with more than a megabyte of inputs or outputs")
    large, made = min(
        ((size, fitted(size)) for size in reached), key=lambda found: (found[1].errors ** 2).sum()
    )
    return TransferFit(
        constants=dict(zip(CONSTANTS, made.constants.tolist(), strict=True)),
        large_transfer_bytes=large,
        spread=made.spread,
        standard_errors=made.standard_errors,
        upper_bounds=made.upper_bounds,
    )
