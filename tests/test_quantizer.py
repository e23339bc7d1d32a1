"""Quantization: rounding error, saturation and symmetry."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhecost.errors import UsageError
from fhecost.quantization import calibrate, check_bits, quantizer_for

WIDTHS = st.integers(2, 8)
VALUES = st.lists(st.floats(-100, 100, allow_nan=False), min_size=1, max_size=50).map(np.array)


@given(VALUES, WIDTHS)
def test_calibrated_values_are_off_by_half_a_step_at_most(values, n_bits):
    quantizer = calibrate({"x": values}, n_bits)["x"]
    integers = quantizer.quantize(values)
    assert np.abs(integers).max() <= 2 ** (n_bits - 1) - 1
    error = np.abs(quantizer.dequantize(integers) - values).max()
    assert error <= quantizer.scale / 2 * (1 + 1e-9)


@given(VALUES, WIDTHS)
def test_quantization_is_odd(values, n_bits):
    quantizer = quantizer_for(50.0, n_bits)
    assert np.array_equal(quantizer.quantize(-values), -quantizer.quantize(values))


def test_values_beyond_the_range_saturate():
    quantizer = quantizer_for(7.0, 4)
    assert list(quantizer.quantize(np.array([-100.0, -7.0, 0.4, 6.6, 8.0]))) == [-7, -7, 0, 7, 7]


def test_a_zero_tensor_stays_zero():
    assert quantizer_for(0.0, 4).quantize(np.zeros(3)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("n_bits", [-1, 0, 1, 9, 100])
def test_widths_out_of_range_are_refused(n_bits):
    with pytest.raises(UsageError, match=f"bits {n_bits}: must be from 2 to 8"):
        check_bits(n_bits)
