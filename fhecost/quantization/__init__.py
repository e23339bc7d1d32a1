"""Post-training quantization: real tensors as integers with a scale."""

from fhecost.quantization.clipping import least_error_quantizer, least_error_scales
from fhecost.quantization.quantizer import (
    FloatArray,
    IntArray,
    Quantizer,
    calibrate,
    check_bits,
    largest_integer,
    quantizer_for,
)

__all__ = [
    "FloatArray",
    "IntArray",
    "Quantizer",
    "calibrate",
    "check_bits",
    "largest_integer",
    "least_error_quantizer",
    "least_error_scales",
    "quantizer_for",
]
