"""Post-training quantization: real tensors as integers with a scale."""

from fhecost.quantization.quantizer import (
    FloatArray,
    IntArray,
    Quantizer,
    calibrate,
    check_bits,
    quantizer_for,
)

__all__ = ["FloatArray", "IntArray", "Quantizer", "calibrate", "check_bits", "quantizer_for"]
