"""Scales that minimize the squared error of quantization instead of covering the largest value."""

from __future__ import annotations

import numpy as np

from fhecost.quantization.quantizer import FloatArray, Quantizer, largest_integer

_SHARES = np.linspace(0.25, 1.0, 26)
"""Candidate ranges as shares of the largest magnitude."""


def least_error_scales(values: FloatArray, n_bits: int) -> FloatArray:
    """The scale of each column that gives the least mean squared error.

    Args:
        values: shape (samples, columns).
        n_bits: width of the signed integers.

    Returns:
        shape (columns,); a column of zeros gets scale 1.
    """
    largest = largest_integer(n_bits)
    magnitude = np.abs(values).max(axis=0)
    best = np.full(values.shape[1], np.inf)
    scales = np.ones(values.shape[1])
    for share in _SHARES:
        scale = np.where(magnitude > 0, magnitude * share / largest, 1.0)
        restored = np.clip(np.rint(values / scale), -largest, largest) * scale
        error = ((restored - values) ** 2).mean(axis=0)
        better = error < best
        best = np.where(better, error, best)
        scales = np.where(better, scale, scales)
    return scales


def least_error_quantizer(values: FloatArray, n_bits: int) -> Quantizer:
    """One quantizer for all ``values``, of the least mean squared error."""
    (scale,) = least_error_scales(values.reshape(-1, 1), n_bits)
    return Quantizer(scale=float(scale), n_bits=n_bits)
