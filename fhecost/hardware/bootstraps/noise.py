"""Noise of a PBS, classic and multi-bit, as tfhe-rs computes it.

Variances are those of the torus, where 1 is the whole ciphertext modulus of 2^64; keys are binary
and as noisy as 132 bits of security ask for. The formulas are those of
zama-ai/tfhe-rs@tfhe-rs-1.7.0, ``core_crypto/commons/noise_formulas``:
``lwe_programmable_bootstrap.rs`` and ``lwe_multi_bit_programmable_bootstrap.rs``, Gaussian noise,
products by Fourier transforms in double precision. What the transforms lose is fitted there: a
constant and three exponents each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from fhecost.circuits.stage import PbsParameters

_MODULUS_BITS, _MANTISSA_BITS = 64, 53
_SLOPE, _BIAS = -0.0497829131652661, 5.31469187675068
"""Of log2 of the least secure variance, by k*N."""


class TransformLoss(NamedTuple):
    """What Fourier transforms lose: factor * l^by_level * (k*N)^by_size * N * (k+1)^by_level."""

    factor: float
    by_level: float
    by_size: float


CLASSIC_TRANSFORM = TransformLoss(0.00705, 1.01827, 1.22003)
GROUPED_TRANSFORMS: Mapping[int, TransformLoss] = {
    2: TransformLoss(0.0022, 1.04148, 1.94548),
    3: TransformLoss(0.00492, 1.0111, 1.90722),
    4: TransformLoss(0.00855, 1.00715, 1.90759),
}
"""By grouping factor."""


def pbs_variance(parameters: PbsParameters, lost: TransformLoss, grouping: int = 1) -> float:
    """Of what a PBS returns, with ``grouping`` bits of the secret key a step.

    The noise of the key is that of 2^g ciphertexts a step, of one where g is 1; what the
    decomposition cuts off is counted twice as high in a group as alone, as tfhe-rs does.
    """
    k, size, levels = (
        parameters.glwe_dimension,
        parameters.polynomial_size,
        parameters.level_count,
    )
    base = 2.0**parameters.base_log
    key = 2.0 ** (4 - 2 * _MODULUS_BITS) + 2.0 ** (_SLOPE * k * size + _BIAS)
    ciphertexts = 2.0**grouping if grouping > 1 else 1.0
    of_key = ciphertexts * levels * size * key * (base**2 / 12 + 1 / 6) * (k + 1)
    scale = 2.0 ** (2 * (_MODULUS_BITS - _MANTISSA_BITS) - 2 * _MODULUS_BITS) * base**2
    of_transforms = scale * lost.factor * levels**lost.by_level * (k + 1) ** lost.by_level
    of_transforms *= (k * size) ** lost.by_size * size
    modulus = 2.0 ** (-2 * _MODULUS_BITS)
    cut = base ** (-2 * levels)
    halves = 1.0 if grouping > 1 else 0.5
    of_cut = halves * (cut / 12 - modulus / 12 + k * size * (modulus / 48 + cut / 24))
    return float(parameters.lwe_dimension / grouping * (of_key + of_transforms + of_cut))
