"""Fit what keys cost on a CPU: making them, their first use, and the memory that they take.

Non-negative least squares on relative errors, over all parameter sets of a microbenchmark::

    key generation = (a * bytes of BSK + b * key-product units) / threads + c * bytes of KSK
    cold run - warm run = d * key-conversion units + e * bytes of BSK
    peak memory - that of the process before = f * bytes of BSK + g * bytes of KSK

The units are those of ``fhecost.circuits.work``. Bootstrap keys are made on all threads; key-switch
keys and the conversion to the Fourier domain take one whatever there are. Once it has been used,
the bootstrap key is there twice: as generated, and in the Fourier domain.
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
class KeyResidual:
    """One sample and the fit's relative errors for its three quantities."""

    sample: KeySample
    keygen_error: float
    cold_error: float
    memory_error: float


@dataclass(frozen=True)
class KeyFit:
    """The constants and, for each quantity, the 90th percentile of its relative residuals.

    Residuals of the cold run are relative to the whole run, those of memory to the whole process.
    ``process_memory_bytes`` is what a process with Concrete loaded holds before it makes keys.
    """

    keygen_bsk_byte_s: float
    keygen_product_unit_s: float
    keygen_ksk_byte_s: float
    conversion_unit_s: float
    conversion_byte_s: float
    bsk_copies: float
    ksk_copies: float
    process_memory_bytes: float
    keygen_spread: float
    cold_spread: float
    memory_spread: float
    residuals: tuple[KeyResidual, ...]

    @property
    def spreads(self) -> dict[str, float]:
        """The range of each constant, which is that of its quantity."""
        return {
            "keygen_bsk_byte_s": self.keygen_spread,
            "keygen_product_unit_s": self.keygen_spread,
            "keygen_ksk_byte_s": self.keygen_spread,
            "conversion_unit_s": self.cold_spread,
            "conversion_byte_s": self.cold_spread,
            "bsk_copies": self.memory_spread,
            "ksk_copies": self.memory_spread,
        }


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
    times = [sample.times for sample in samples]
    threads = np.array([made.threads for made in times])
    keygen = np.array([made.keygen_s for made in times])
    cold = np.array([made.cold_s for made in times])
    extra = np.maximum(cold - np.array([made.warm_median_s for made in times]), 0.0)
    started = np.array([made.start_memory_bytes for made in times], dtype=np.float64)
    memory = np.array([made.peak_memory_bytes for made in times], dtype=np.float64)
    of_keygen, keygen_errors = _fit(
        np.stack([bsk / threads, products / threads, ksk], axis=1), keygen, keygen
    )
    of_cold, cold_errors = _fit(np.stack([conversions, bsk], axis=1), extra, cold)
    of_memory, memory_errors = _fit(np.stack([bsk, ksk], axis=1), memory - started, memory)
    return KeyFit(
        keygen_bsk_byte_s=of_keygen[0],
        keygen_product_unit_s=of_keygen[1],
        keygen_ksk_byte_s=of_keygen[2],
        conversion_unit_s=of_cold[0],
        conversion_byte_s=of_cold[1],
        bsk_copies=of_memory[0],
        ksk_copies=of_memory[1],
        process_memory_bytes=float(np.median(started)),
        keygen_spread=_spread(keygen_errors),
        cold_spread=_spread(cold_errors),
        memory_spread=_spread(memory_errors),
        residuals=tuple(
            KeyResidual(sample, float(keygen), float(cold), float(memory))
            for sample, keygen, cold, memory in zip(
                samples, keygen_errors, cold_errors, memory_errors, strict=True
            )
        ),
    )


def _fit(
    terms: FloatArray, measured: FloatArray, relative_to: FloatArray
) -> tuple[list[float], FloatArray]:
    """Non-negative constants, and the signed relative residuals."""
    constants, _ = nnls(terms / relative_to[:, None], measured / relative_to)
    residuals = (terms @ constants - measured) / relative_to
    return [float(constant) for constant in constants], residuals


def _spread(errors: FloatArray) -> float:
    return float(np.quantile(np.abs(errors), 0.9))
