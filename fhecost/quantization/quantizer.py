"""Symmetric uniform quantization to signed integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fhecost.errors import FieldError

MINIMUM_BITS, MAXIMUM_BITS = 2, 8
"""Widths that a head can be quantized to; wider ones give lookups that Concrete can't place."""

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Quantizer:
    """Real values as integers in [-(2^(n_bits-1) - 1), 2^(n_bits-1) - 1] times ``scale``.

    Values beyond the range saturate. The zero point is zero, so sums and products of quantized
    values stay integers with a known scale.
    """

    scale: float
    n_bits: int

    @property
    def largest(self) -> int:
        """The largest integer."""
        return largest_integer(self.n_bits)

    def quantize(self, values: Any) -> Any:
        """Integers for ``values``: an array of floats, or what Concrete traces through."""
        return self.rounded(values).astype(np.int64)

    def rounded(self, values: Any) -> Any:
        """The integers of :meth:`quantize` as floats, for a table that is cast as a whole.

        A cast inside it would make two tables of it for Concrete.
        """
        return np.clip(np.rint(values / self.scale), -self.largest, self.largest)

    def dequantize(self, integers: Any) -> Any:
        """Real values of ``integers``."""
        return integers * self.scale


def largest_integer(n_bits: int) -> int:
    """The largest integer of symmetric signed quantization to ``n_bits``."""
    return int(2 ** (n_bits - 1)) - 1


def check_bits(n_bits: int) -> None:
    """Raise a UsageError unless ``n_bits`` is a width that a head can be quantized to."""
    if not MINIMUM_BITS <= n_bits <= MAXIMUM_BITS:
        raise FieldError("bits", f"must be from {MINIMUM_BITS} to {MAXIMUM_BITS}", n_bits)


def quantizer_for(largest_magnitude: float, n_bits: int) -> Quantizer:
    """The quantizer whose largest integer stands for ``largest_magnitude``.

    A tensor that is zero everywhere gets scale 1: it stays zero.
    """
    # The smallest of floats, divided, is zero too.
    scale = largest_magnitude / largest_integer(n_bits) or 1.0
    return Quantizer(scale=scale, n_bits=n_bits)


def calibrate(tensors: Mapping[str, FloatArray], n_bits: int) -> dict[str, Quantizer]:
    """One quantizer a tensor, from the largest magnitude that the calibration data shows.

    Args:
        tensors: by name, the float values of a tensor over all calibration sentences.
        n_bits: width of the integers.
    """
    return {
        name: quantizer_for(float(np.abs(values).max()), n_bits) for name, values in tensors.items()
    }
