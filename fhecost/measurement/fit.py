"""Fit the constants of the CPU latency model to a microbenchmark.

Non-negative least squares on relative errors, on one thread::

    time of a run = elements * (a * Fourier units + b * external-product units
                                + c * key-switch units) + d * bytes of BSK and KSK

so that the smallest set counts as much as the largest. A constant that the times can't tell from
zero has an upper bound, and is never published as zero. The thread efficiency is the median
speed-up of the lookups over the thread count; the linear constant is the median time of one torus
element over all products and thread counts, after the fitted time of their one lookup is taken off.

What keys cost - making them, their first use, and the memory that they take - is fitted in the same
way, over all parameter sets of a microbenchmark::

    key generation = (a * bytes of BSK + b * key-product units) / threads + c * bytes of KSK
    cold run - warm run = d * key-conversion units + e * bytes of BSK
    peak memory - that of the process before = f * bytes of BSK + g * bytes of KSK

The units are those of ``fhecost.circuits.work``. Bootstrap keys are made on all threads; key-switch
keys and the conversion to the Fourier domain take one whatever there are. Once it has been used,
the bootstrap key is there twice: as generated, and in the Fourier domain.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fhecost.circuits.work import (
    bootstrap_key_bytes,
    external_product_units,
    fourier_units,
    key_conversion_units,
    key_product_units,
    key_switch_key_bytes,
    key_switch_units,
)
from fhecost.errors import UsageError
from fhecost.measurement.least_squares import fit_non_negative
from fhecost.measurement.records import KeySample, LinearSample, LookupSample, Microbenchmark
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

    ``standard_errors`` and ``upper_bounds`` are those of the fit, by the constants' names; a
    constant has an upper bound where the times can't tell it from zero.

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
    standard_errors: Mapping[str, float]
    upper_bounds: Mapping[str, float]


@dataclass(frozen=True)
class KeyResidual:
    """One sample and the fit's relative errors for its three quantities."""

    sample: KeySample
    keygen_error: float
    cold_error: float
    memory_error: float


@dataclass(frozen=True)
class KeyFit:
    """The constants by name and, as ``spreads``, the 90th percentile of the relative residuals.

    ``standard_errors`` and ``upper_bounds`` as in :class:`CpuFit`.

    Residuals of the cold run are relative to the whole run, those of memory to the whole process.
    ``process_memory_bytes`` is what a process with Concrete loaded holds before it makes keys.
    """

    constants: Mapping[str, float]
    spreads: Mapping[str, float]
    process_memory_bytes: float
    residuals: tuple[KeyResidual, ...]
    standard_errors: Mapping[str, float]
    upper_bounds: Mapping[str, float]


_LOOKUP_CONSTANTS = ("fourier_unit_s", "external_product_unit_s", "key_switch_unit_s", "key_byte_s")
_PLAUSIBLE_UNIT_S = (1e-13, 1e-7)
"""A unit of Fourier work on any processor that there could be; in 2024 it took 7e-11 s."""
_MOST_SPREAD = 0.5
"""Relative residuals beyond which a fit explains nothing."""


def fit_cpu(microbenchmark: Microbenchmark) -> CpuFit:
    """Fit the CPU model's constants.

    Raises:
        UsageError: fewer than five parameter sets on one thread, none that ran on all threads too,
            no linear operation, or times that no machine can have.
    """
    single = [sample for sample in microbenchmark.lookups if sample.threads == 1]
    if len({(sample.pbs, sample.key_switch) for sample in single}) < 5:
        raise UsageError("a fit needs lookups with at least 5 parameter sets on one thread")
    measured = np.array([microbenchmark.corrected_median_s(sample) for sample in single])
    work = np.array([lookup_work(sample, sample.elements) for sample in single])
    fitted = fit_non_negative(_LOOKUP_CONSTANTS, work, measured, measured)
    constants = fitted.constants
    low, high = _PLAUSIBLE_UNIT_S
    unit_s = float(np.median(measured / work[:, 0]))
    if not low < unit_s < high:
        raise UsageError(
            f"lookups take {unit_s:.1g} s a unit of Fourier work; times in seconds give "
            f"{low:.0e} to {high:.0e}"
        )
    if fitted.zero >= {"fourier_unit_s", "external_product_unit_s"} or fitted.spread > _MOST_SPREAD:
        raise UsageError(
            "the times of lookups don't go by their parameter sets: the fit is off by "
            f"{fitted.spread:.0%}; measure anew, with nothing else at work"
        )
    threads = max(sample.threads for sample in microbenchmark.lookups)
    efficiencies = _efficiencies(microbenchmark, threads, float(constants[3]))
    if not efficiencies or min(efficiencies) <= 0:
        raise UsageError(f"a fit needs lookups that ran on one thread and on all {threads}")
    elements = []
    for sample in microbenchmark.linear:
        of_lookup = float(np.dot(lookup_work(sample, 1), constants))
        seconds = microbenchmark.corrected_median_s(sample) - of_lookup
        elements.append(seconds / sample.operations / (sample.lwe_dimension + 1))
    if not elements or min(elements) <= 0:
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
        linear_element_low_s=min(elements),
        linear_element_high_s=max(elements),
        spread=fitted.spread,
        residuals=tuple(map(Residual, single, measured.tolist(), (work @ constants).tolist())),
        standard_errors=fitted.standard_errors,
        upper_bounds=fitted.upper_bounds,
    )


def fit_keys(samples: Sequence[KeySample]) -> KeyFit:
    """Fit the constants of keys.

    Raises:
        UsageError: fewer than five parameter sets.
    """
    if len({(sample.pbs, sample.key_switch) for sample in samples}) < 5:
        raise UsageError("a fit needs keys of at least 5 parameter sets")
    sets, times = [sample.pbs for sample in samples], [sample.times for sample in samples]
    bsk = _array(map(bootstrap_key_bytes, sets))
    ksk = _array(key_switch_key_bytes(sample.key_switch) for sample in samples)
    threads = _array(made.threads for made in times)
    cold = _array(made.cold_s for made in times)
    started = _array(made.start_memory_bytes for made in times)
    memory = _array(made.peak_memory_bytes for made in times)
    of_keygen = {
        "keygen_bsk_byte_s": bsk / threads,
        "keygen_product_unit_s": _array(map(key_product_units, sets)) / threads,
        "keygen_ksk_byte_s": ksk,
    }
    of_cold = {
        "conversion_unit_s": _array(map(key_conversion_units, sets)),
        "conversion_byte_s": bsk,
    }
    of_memory = {"bsk_copies": bsk, "ksk_copies": ksk}
    keygen = _array(made.keygen_s for made in times)
    extra = np.maximum(cold - _array(made.warm_median_s for made in times), 0.0)
    constants: dict[str, float] = {}
    spreads: dict[str, float] = {}
    standard_errors: dict[str, float] = {}
    upper_bounds: dict[str, float] = {}
    errors = []
    for terms, measured, relative_to in (
        (of_keygen, keygen, keygen),
        (of_cold, extra, cold),
        (of_memory, memory - started, memory),
    ):
        made = fit_non_negative(
            tuple(terms), np.stack(list(terms.values()), axis=1), measured, relative_to
        )
        constants |= zip(terms, made.constants.tolist(), strict=True)
        spreads |= dict.fromkeys(terms, made.spread)
        standard_errors |= made.standard_errors
        upper_bounds |= made.upper_bounds
        errors.append(made.errors.tolist())
    return KeyFit(
        constants=constants,
        spreads=spreads,
        process_memory_bytes=float(np.median(started)),
        residuals=tuple(map(KeyResidual, samples, *errors)),
        standard_errors=standard_errors,
        upper_bounds=upper_bounds,
    )


def _array(values: Iterable[float]) -> FloatArray:
    return np.fromiter(values, dtype=np.float64)


def _efficiencies(microbenchmark: Microbenchmark, threads: int, key_byte_s: float) -> list[float]:
    """Speed-up of the lookups over the thread count, one a parameter set.

    The time of handing over the keys doesn't shrink with threads; it is taken off both sides.
    """
    seconds: dict[tuple[object, ...], dict[int, float]] = defaultdict(dict)
    for sample in microbenchmark.lookups:
        of_lookups = microbenchmark.corrected_median_s(sample) - key_byte_s * _key_bytes(sample)
        seconds[sample.pbs, sample.key_switch, sample.elements][sample.threads] = of_lookups
    return [
        by_threads[1] / (threads * by_threads[threads])
        for by_threads in seconds.values()
        if {1, threads} <= by_threads.keys()
    ]


def lookup_work(sample: LookupSample | LinearSample, lookups: int) -> tuple[float, ...]:
    """What the four constants of lookups are multiplied with, for a run with ``lookups``."""
    return (
        lookups * fourier_units(sample.pbs),
        lookups * external_product_units(sample.pbs),
        lookups * key_switch_units(sample.key_switch),
        _key_bytes(sample),
    )


def _key_bytes(sample: LookupSample | LinearSample) -> int:
    return bootstrap_key_bytes(sample.pbs) + key_switch_key_bytes(sample.key_switch)
