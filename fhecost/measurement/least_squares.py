"""Non-negative least squares on relative errors, and how sure what comes out is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from fhecost.errors import UsageError
from fhecost.quantization import FloatArray

_ONE_SIDED_95 = 1.645
"""Standard errors that hold a value with 95 % confidence from above (normal distribution)."""
_KNOWN = 2.0
"""Standard errors that a constant must have above zero to be told from it."""
_NOTHING = 1e-6
"""The part of a time that no fit is surer of, however exact the times."""


@dataclass(frozen=True)
class Fitted:
    """Constants in the order of their terms, and the signed relative residuals.

    ``upper_bounds`` are those of the constants that aren't told from zero, by name; ``zero`` names
    those that came out as zero.
    """

    constants: FloatArray
    errors: FloatArray
    standard_errors: Mapping[str, float]
    upper_bounds: Mapping[str, float]
    zero: frozenset[str]

    @property
    def spread(self) -> float:
        """90th percentile of the absolute relative residuals."""
        return float(np.quantile(np.abs(self.errors), 0.9))


def fit_non_negative(
    names: Sequence[str], terms: FloatArray, measured: FloatArray, relative_to: FloatArray
) -> Fitted:
    """Non-negative constants by least squares on relative errors.

    Standard errors are those of least squares without the bound at zero, ``s^2 (X'X)^-1`` with the
    residuals' variance ``s^2``: what the times alone leave open. A constant within two of them is
    not told from zero, and its upper bound is 1.645 of them above it, but no more than any of the
    times leaves for it alone, as none of the others is negative. One that came out as zero can't be
    published as such: it is set to half of what it can be with the others as they are, which moves
    the fit by less than its noise.

    Args:
        names: of the constants, in the order of the columns of ``terms``.
        terms: what they are multiplied with, one row a time.
        measured: the times, or bytes.
        relative_to: what errors are relative to.

    Raises:
        UsageError: the numbers are beyond what floats hold, or no solution was found.
    """
    scaled, target = terms / relative_to[:, None], measured / relative_to
    if not (np.isfinite(scaled).all() and np.isfinite(target).all()):
        raise UsageError("these times can't be fitted: they are beyond what numbers hold")
    # Columns of one size: the constants are many orders of magnitude apart.
    sizes = np.linalg.norm(scaled, axis=0)
    constants = _non_negative(scaled / sizes, target)
    residuals = target - scaled / sizes @ constants
    noise = math.sqrt(float(residuals @ residuals) / max(1, len(target) - len(names)))
    standard = noise * np.sqrt(np.diag(np.linalg.pinv((scaled / sizes).T @ (scaled / sizes))))
    # Of times that are exact there is nothing to be unsure of, and no zero either.
    nothing = _NOTHING * float(np.median(target))
    alone = max(noise, nothing)
    with np.errstate(divide="ignore"):
        most = np.min((target + 2 * noise)[:, None] / (scaled / sizes), axis=0)
    upper = constants + _ONE_SIDED_95 * np.maximum(np.minimum(standard, most), alone)
    upper = np.maximum(np.minimum(upper, most), constants)
    unsure, zero = constants < _KNOWN * standard, constants <= max(0.0, nothing)
    constants = np.where(zero, _ONE_SIDED_95 * alone / 2, constants) / sizes
    return Fitted(
        constants=constants,
        errors=(terms @ constants - measured) / relative_to,
        standard_errors=dict(zip(names, (standard / sizes).tolist(), strict=True)),
        upper_bounds={
            name: float(bound)
            for name, bound, open_below in zip(names, upper / sizes, unsure | zero, strict=True)
            if open_below
        },
        zero=frozenset(name for name, at_zero in zip(names, zero, strict=True) if at_zero),
    )


def _non_negative(terms: FloatArray, target: FloatArray) -> FloatArray:
    """Non-negative least squares.

    Raises:
        UsageError: no solution was found, as with numbers beyond what floats hold.
    """
    try:
        constants, _ = nnls(terms, target)
    except (RuntimeError, ValueError) as error:
        raise UsageError(f"these times can't be fitted: {error}") from error
    return np.asarray(constants)
