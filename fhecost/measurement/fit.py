"""Fit the constants of the CPU latency model to a microbenchmark.

Non-negative least squares on relative errors, on one thread::

    time of a run = elements * (a * Fourier units + b * external-product units
                                + c * key-switch units) + d * bytes of BSK and KSK

so that the smallest set counts as much as the largest. The thread efficiency is the median speed-up
of the lookups over the thread count; the linear constant is the median time of one torus element
over all products and thread counts, after the fitted time of their one lookup is taken off.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from fhecost.circuits.work import (
    bootstrap_key_bytes,
    external_product_units,
    fourier_units,
    key_switch_key_bytes,
    key_switch_units,
)
from fhecost.errors import UsageError
from fhecost.measurement.records import LinearSample, LookupSample, Microbenchmark
from fhecost.quantization import FloatArray


@dataclass(frozen=True)
class Residual:
    """One parameter set: measured and fitted seconds of a run on one thread."""

    sample: LookupSample
    measured_s: float
    fitted_s: float

    @property
    def error(self) -> float:
        """Relative error of the fit."""
        return self.fitted_s / self.measured_s - 1


@dataclass(frozen=True)
class CpuFit:
    """The CPU model's constants and how well they describe what they were fitted to.

    ``spread`` is the 90th percentile of the absolute relative residual: the constants' range. The
    range of the thread efficiency holds 80 % of the sets, that of the linear constant all samples.
    """

    threads: int
    thread_efficiency: float
    thread_efficiency_low: float
    thread_efficiency_high: float
    fourier_unit_s: float
    external_product_unit_s: float
    key_switch_unit_s: float
    key_byte_s: float
    linear_element_s: float
    linear_element_low_s: float
    linear_element_high_s: float
    spread: float
    residuals: tuple[Residual, ...]


def fit_cpu(microbenchmark: Microbenchmark) -> CpuFit:
    """Fit the CPU model's constants.

    Raises:
        UsageError: fewer than five parameter sets on one thread, or no linear operation.
    """
    single = [sample for sample in microbenchmark.lookups if sample.threads == 1]
    if len(single) < 5:
        raise UsageError("a fit needs lookups with at least 5 parameter sets on one thread")
    measured = np.array([microbenchmark.corrected_median_s(sample) for sample in single])
    work = np.array([_work(sample, sample.elements) for sample in single])
    constants, _ = nnls(work / measured[:, None], np.ones(len(single)))
    fitted = work @ constants
    residuals = tuple(
        Residual(sample, float(m), float(f))
        for sample, m, f in zip(single, measured, fitted, strict=True)
    )
    threads = max(sample.threads for sample in microbenchmark.lookups)
    efficiencies = _efficiencies(microbenchmark, threads, float(constants[3]))
    elements = sorted(
        _seconds_per_element(s, microbenchmark.corrected_median_s(s), constants)
        for s in microbenchmark.linear
    )
    if not elements or elements[0] <= 0:
        raise UsageError("a fit needs products that take longer than the lookup behind them")
    return CpuFit(
        threads=threads,
        thread_efficiency=min(1.0, statistics.median(efficiencies)),
        thread_efficiency_low=float(np.quantile(efficiencies, 0.1)),
        thread_efficiency_high=min(1.0, float(np.quantile(efficiencies, 0.9))),
        fourier_unit_s=float(constants[0]),
        external_product_unit_s=float(constants[1]),
        key_switch_unit_s=float(constants[2]),
        key_byte_s=float(constants[3]),
        linear_element_s=statistics.median(elements),
        linear_element_low_s=elements[0],
        linear_element_high_s=elements[-1],
        spread=float(np.quantile([abs(residual.error) for residual in residuals], 0.9)),
        residuals=residuals,
    )


def _efficiencies(microbenchmark: Microbenchmark, threads: int, key_byte_s: float) -> list[float]:
    """Speed-up of the lookups over the thread count, one a parameter set.

    The time of handing over the keys doesn't shrink with threads; it is taken off both sides.
    """
    by_set = {
        (
            sample.pbs,
            sample.key_switch,
            sample.elements,
            sample.threads,
        ): microbenchmark.corrected_median_s(sample) - key_byte_s * _key_bytes(sample)
        for sample in microbenchmark.lookups
    }
    return [
        alone / (threads * by_set[pbs, key_switch, elements, threads])
        for (pbs, key_switch, elements, count), alone in by_set.items()
        if count == 1 and (pbs, key_switch, elements, threads) in by_set
    ]


def _work(sample: LookupSample | LinearSample, lookups: int) -> tuple[float, ...]:
    """What the four constants of lookups are multiplied with, for a run with ``lookups``."""
    return (
        lookups * fourier_units(sample.pbs),
        lookups * external_product_units(sample.pbs),
        lookups * key_switch_units(sample.key_switch),
        _key_bytes(sample),
    )


def _seconds_per_element(sample: LinearSample, seconds: float, constants: FloatArray) -> float:
    """Seconds of one linear operation on one torus element."""
    of_lookup = float(np.dot(_work(sample, 1), constants))
    return (seconds - of_lookup) / sample.operations / (sample.lwe_dimension + 1)


def _key_bytes(sample: LookupSample | LinearSample) -> int:
    return bootstrap_key_bytes(sample.pbs) + key_switch_key_bytes(sample.key_switch)
