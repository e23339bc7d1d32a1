"""How well the fits describe the times that they were made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fhecost.measurement.fit import CpuFit, fit_cpu, fit_keys, lookup_work
from fhecost.measurement.records import LookupSample, Microbenchmark


@dataclass(frozen=True)
class Goodness:
    """Relative errors of a fit to ``count`` samples of one quantity, signs left out."""

    quantity: str
    count: int
    median: float
    nine_of_ten: float
    worst: float


def goodness_of(raw: Microbenchmark) -> tuple[Goodness, ...]:
    """For each quantity, how far its fit is off.

    Raises:
        UsageError: too few parameter sets for a fit.
    """
    fit = fit_cpu(raw)
    rows = [_row("lookups on one thread", [made.error for made in fit.residuals])]
    together = [made for made in raw.lookups if made.threads == fit.threads > 1]
    if together:
        errors = [_together_s(fit, made) / raw.corrected_median_s(made) - 1 for made in together]
        rows.append(_row(f"lookups on {fit.threads} threads", errors))
    if raw.keys:
        made = fit_keys(raw.keys).residuals
        rows += [
            _row("key generation", [one.keygen_error for one in made]),
            _row("first run", [one.cold_error for one in made]),
            _row("peak memory", [one.memory_error for one in made]),
        ]
    return tuple(rows)


def _together_s(fit: CpuFit, sample: LookupSample) -> float:
    """What the fit says of a run on all threads."""
    each = math.ceil(sample.elements / fit.threads) / fit.thread_efficiency
    *lookups, keys = lookup_work(sample, 1)
    constants = fit.fourier_unit_s, fit.external_product_unit_s, fit.key_switch_unit_s
    one_s = float(np.dot(lookups, constants))
    return each * one_s + keys * fit.key_byte_s


def _row(quantity: str, errors: Sequence[float]) -> Goodness:
    off = np.abs(errors)
    median, nine_of_ten = np.quantile(off, (0.5, 0.9)).tolist()
    return Goodness(quantity, len(errors), median, nine_of_ten, float(off.max()))
