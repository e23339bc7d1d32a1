"""Fit what keys cost on a CPU: making them, their first use, and the memory that they take.

Non-negative least squares on relative errors, over all parameter sets of a microbenchmark::

    key generation      = a * bytes of BSK + b * key-product units + c * bytes of KSK
    cold run - warm run = d * key-conversion units + e * bytes of BSK
    memory after the first run = f * bytes of BSK + g * bytes of KSK

The units are those of ``fhecost.circuits.work``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from fhecost.circuits.work import (
    bootstrap_key_bytes,
    key_conversion_units,
    key_product_units,
    key_switch_key_bytes,
)
from fhecost.errors import UsageError
from fhecost.measurement.records import KeySample
from fhecost.quantization import FloatArray


@dataclass(frozen=True)
class KeyFit:
    """The constants and, for each quantity, the 90th percentile of its relative residuals.

    Residuals of the cold run are relative to the whole run, conversion and warm part.
    """

    keygen_bsk_byte_s: float
    keygen_product_unit_s: float
    keygen_ksk_byte_s: float
    conversion_unit_s: float
    conversion_byte_s: float
    bsk_copies: float
    ksk_copies: float
    keygen_spread: float
    cold_spread: float
    memory_spread: float


def fit_keys(samples: Sequence[KeySample]) -> KeyFit:
    """Fit the constants.

    Raises:
        UsageError: fewer than five parameter sets.
    """
    if len(samples) < 5:
        raise UsageError("a fit needs keys of at least 5 parameter sets")
    bsk = np.array([bootstrap_key_bytes(sample.pbs) for sample in samples], dtype=np.float64)
    ksk = np.array(
        [key_switch_key_bytes(sample.key_switch) for sample in samples], dtype=np.float64
    )
    products = np.array([key_product_units(sample.pbs) for sample in samples])
    conversions = np.array([key_conversion_units(sample.pbs) for sample in samples])
    keygen = np.array([sample.keygen_s for sample in samples])
    cold = np.array([sample.cold_s for sample in samples])
    extra = np.maximum(cold - np.array([sample.warm_s for sample in samples]), 0.0)
    memory = np.array([s.keygen_memory_bytes + s.cold_memory_bytes for s in samples], dtype=float)
    of_keygen, keygen_spread = _fit(np.stack([bsk, products, ksk], axis=1), keygen, keygen)
    of_cold, cold_spread = _fit(np.stack([conversions, bsk], axis=1), extra, cold)
    # Small keys disappear in what the process had free already.
    large = bsk + ksk > np.median(bsk + ksk) / 4
    terms = np.stack([bsk, ksk], axis=1)[large]
    of_memory, memory_spread = _fit(terms, memory[large], memory[large])
    return KeyFit(
        keygen_bsk_byte_s=of_keygen[0],
        keygen_product_unit_s=of_keygen[1],
        keygen_ksk_byte_s=of_keygen[2],
        conversion_unit_s=of_cold[0],
        conversion_byte_s=of_cold[1],
        bsk_copies=of_memory[0],
        ksk_copies=of_memory[1],
        keygen_spread=keygen_spread,
        cold_spread=cold_spread,
        memory_spread=memory_spread,
    )


def _fit(
    terms: FloatArray, measured: FloatArray, relative_to: FloatArray
) -> tuple[list[float], float]:
    """Non-negative constants, and the 90th percentile of the residuals."""
    constants, _ = nnls(terms / relative_to[:, None], measured / relative_to)
    residuals = np.abs(terms @ constants - measured) / relative_to
    return [float(constant) for constant in constants], float(np.quantile(residuals, 0.9))
