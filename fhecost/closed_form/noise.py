"""The noise of TFHE operations, and how much of it a lookup stands.

Variances are those of the torus, where 1 is the whole ciphertext modulus of 2^64. All formulas are
those of zama-ai/concrete@ebef4fb61, file by file as each function says; keys are binary.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from fhecost.quantization import FloatArray

MODULUS_BITS = 64
FFT_BITS = 53
SECURITY_CURVES = {
    128: (-0.025696778711484593, 2.675931372549016),
    132: (-0.024891456582633045, 2.65734593837534),
}
"""Slope and bias of log2 of the least secure standard deviation, by bits of security.

``tools/parameter-curves/concrete-security-curves-rust/src/gaussian/curves_gen.rs``.
"""

LEAST_DIMENSION = 450
"""No noise makes a key of fewer coefficients secure."""

_MODULUS_SQUARED = 2.0 ** (2 * MODULUS_BITS)
_FFT_SCALING = 2.0**-2.57722494


def fresh_variance(dimension: FloatArray, security: int = 128) -> FloatArray:
    """The least secure variance under a key of ``dimension`` coefficients, n or k*N.

    It covers the two lowest bits in any case (``security_weights.rs`` beside the curves).
    """
    slope, bias = SECURITY_CURVES[security]
    log2_deviation = np.maximum(slope * dimension + bias, 2.0 - MODULUS_BITS)
    secure = dimension >= LEAST_DIMENSION
    variance: FloatArray = np.exp2(2 * np.where(secure, log2_deviation, MODULUS_BITS))
    return variance


def modulus_switch_variance(n: FloatArray, size: FloatArray) -> FloatArray:
    """Of rounding a ciphertext of n coefficients to multiples of 1/2N (``modulus_switching.rs``).

    This and the next two are in ``backends/concrete-cpu/noise-model/src/gaussian_noise/noise``.
    """
    rounding: FloatArray = (1 / 12 + n / 24) / (2 * size) ** 2
    return rounding + (n / 48 - 1 / 12) / _MODULUS_SQUARED


def cmux_variance(
    k: FloatArray, size: FloatArray, levels: FloatArray, base_log: FloatArray, fresh: FloatArray
) -> FloatArray:
    """Of one step of a blind rotation, n of which make a bootstrap (``external_product_glwe.rs``).

    Noise of the key, what the decomposition cuts off, and what the Fourier transform in double
    precision loses. ``fresh`` is the variance of the key; the rings have ``k`` polynomials.
    """
    base = 2.0**base_log
    of_key = levels * (k + 1) * size * (base**2 + 2) / 12 * fresh
    of_cut = (2.0 ** (2 * (MODULUS_BITS - levels * base_log)) - 1) / 24 * (1 + k * size / 2)
    of_rounding = k * size / 32 + (1 - k * size) ** 2 / 64
    lost = 4.0 ** (MODULUS_BITS - FFT_BITS)
    of_fft: FloatArray = _FFT_SCALING * lost * levels * base**2 * size**2 * (k + 1)
    return of_key + (of_cut + of_rounding + of_fft) / _MODULUS_SQUARED


def key_switch_variance(levels: FloatArray, base_log: FloatArray, fresh: FloatArray) -> FloatArray:
    """Of a key switch, for each coefficient of its input (``keyswitch_one_bit.rs``).

    ``fresh`` is the variance of the key.
    """
    of_cut = (2.0 ** (2 * (MODULUS_BITS - levels * base_log)) - 1) / 24 + 1 / 16
    return of_cut / _MODULUS_SQUARED + levels * fresh * (4.0**base_log + 2) / 12


def deviations(p_error: float) -> float:
    """How many standard deviations of a normal distribution are left with probability ``p_error``.

    ``noise_estimator/error.rs`` of the optimizer, as the next two.
    """
    return -NormalDist().inv_cdf(p_error / 2)


def allowed_variance(precision: int, kappa: float) -> float:
    """What a lookup of ``precision`` bits stands; ``kappa`` deviations reach the next value.

    One bit of padding is above the value, half a step on either side of it.
    """
    return (2.0 ** -(precision + 2) / kappa) ** 2


def p_error_of(relative_variance: float, kappa: float) -> float:
    """How often a lookup errs that has ``relative_variance`` of what is allowed at ``kappa``."""
    return math.erfc(kappa / math.sqrt(2 * relative_variance)) if relative_variance > 0 else 0.0
