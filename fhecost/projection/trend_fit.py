"""Least squares with terms that may not be told apart, and errors that figures have in common.

The model of figure i, of series s and release r::

    y_i = offset_s + sum over terms of x_ij * b_j + u_r + e_i

``u_r`` moves all figures of a release together: a release is one event, however many figures it
published. The share of its variance is the one with the largest restricted likelihood (Patterson
and Thompson, Biometrika 58, 1971); given that share, the terms are generalized least squares.
Where the releases' means still scatter further than that allows, errors grow by Birge's ratio.
Intervals are Student's, with as many degrees of freedom as releases are left after the terms.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import stdtrit

from fhecost.frozen import Frozen
from fhecost.quantization.quantizer import FloatArray

CONFIDENCE = 0.9
"""How often an interval holds the true value, if the model does."""

_LEAST_VARIANCE = 1e-24


class Line(NamedTuple):
    """A straight line through points, and the standard error of its slope."""

    slope: float
    intercept: float
    stderr: float


def line_through(x: Sequence[float] | FloatArray, y: Sequence[float] | FloatArray) -> Line:
    """The line of the least squares; as SciPy's ``linregress``, whose home takes long to load.

    Args:
        x: at least two, not all the same.
        y: one for each.
    """
    own, own_x_y, _, own_y = np.cov(x, y, bias=True).flat
    slope = own_x_y / own
    correlation = float(np.clip(own_x_y / math.sqrt(own * own_y), -1, 1)) if own_y else 0.0
    degrees = len(x) - 2
    stderr = math.sqrt((1 - correlation**2) * own_y / own / degrees) if degrees else 0.0
    return Line(float(slope), float(np.mean(y) - slope * np.mean(x)), stderr)


class Band(Frozen):
    """A value with its low and its high."""

    value: float
    low: float
    high: float

    def __mul__(self, other: Band) -> Band:
        return Band(
            value=self.value * other.value, low=self.low * other.low, high=self.high * other.high
        )


class Term(Frozen):
    """One term of a trend, as a natural logarithm: seconds grow by exp(estimate) a unit.

    ``low`` and ``high`` are the 90 % interval, ``figures`` how many it rests on.
    """

    estimate: float
    standard_error: float
    low: float
    high: float
    degrees_of_freedom: int
    figures: int

    def over(self, units: float) -> Band:
        """The factor over ``units``."""
        low, high = sorted((math.exp(units * self.low), math.exp(units * self.high)))
        return Band(value=math.exp(units * self.estimate), low=low, high=high)


@dataclass(frozen=True)
class TermFit:
    """What least squares says of the terms that can be told apart.

    ``covariance`` is of ``names``, the terms that stayed in the design; ``told_apart`` are those
    among them whose value the data fix. ``rest`` is what is left of each figure after its series'
    offset and all terms.
    """

    names: Sequence[str]
    estimates: FloatArray
    covariance: FloatArray
    told_apart: frozenset[str]
    degrees_of_freedom: int
    figures: int
    rest: FloatArray
    scatter_of_releases: float

    def value(self, name: str) -> float:
        """The estimate of a term; 0 of one that isn't in the design."""
        return float(self.estimates[self.names.index(name)]) if name in self.names else 0.0

    def term(self, name: str) -> Term | None:
        """A term with its interval; None where the data can't tell it apart."""
        return self.contrast({name: 1.0})

    def contrast(
        self, weights: Mapping[str, float], beyond: tuple[float, int] | None = None
    ) -> Term | None:
        """A sum of terms by their weights; None where the data can't tell one of them apart.

        ``beyond`` are a variance from outside this fit and its degrees of freedom.
        """
        if not self.told_apart.issuperset(weights):
            return None
        row = np.array([weights.get(name, 0.0) for name in self.names])
        variance, degrees = float(row @ self.covariance @ row), self.degrees_of_freedom
        if beyond is not None:
            variance, degrees = variance + beyond[0], min(degrees, beyond[1])
        return make_term(float(row @ self.estimates), math.sqrt(variance), degrees, self.figures)


def make_term(estimate: float, standard_error: float, degrees: int, figures: int) -> Term | None:
    """A term with its interval; None without a degree of freedom, since its error is unknown."""
    if degrees < 1:
        return None
    reach = float(stdtrit(degrees, (1 + CONFIDENCE) / 2)) * standard_error
    return Term(
        estimate=estimate,
        standard_error=standard_error,
        low=estimate - reach,
        high=estimate + reach,
        degrees_of_freedom=degrees,
        figures=figures,
    )


def fit_terms(
    y: Sequence[float],
    terms: Mapping[str, Sequence[float]],
    series: Sequence[str],
    releases: Sequence[str],
) -> TermFit | None:
    """Fit the terms; None where there are as many unknowns as figures, so that nothing is left.

    All have one value a figure: ``y`` its logarithm, ``series`` tells which share an offset, and
    ``releases`` which share an error.
    """
    offsets, members = _indicators(series), _indicators(releases)

    def rank(names: Iterable[str]) -> int:
        return _rank(offsets, *(terms[name] for name in names))

    kept: list[str] = []
    for name in terms:
        if rank([*kept, name]) > rank(kept):
            kept.append(name)
    told_apart = [
        name for name in terms if rank(other for other in terms if other != name) < rank(terms)
    ]
    design = np.column_stack([offsets, *(terms[name] for name in kept)])
    count, unknowns = design.shape
    if count <= unknowns:
        return None
    first, sizes = offsets.shape[1], members.sum(axis=0)
    # What is fitted to the releases' means: the terms and one constant.
    means = members.T @ design[:, first:] / sizes[:, None]
    degrees = min(count - unknowns, len(sizes) - _rank(np.ones(len(sizes)), means))
    observed = np.asarray(y, float)
    share = _likeliest_share(observed, design, members)
    solved = _generalized(observed, design, members, share)
    covariance = np.linalg.inv(solved.normal) * solved.variance
    covariance *= _spread_of_releases(solved, members, share, degrees)
    return TermFit(
        names=kept,
        estimates=solved.estimates[first:],
        covariance=covariance[first:, first:],
        told_apart=frozenset(told_apart),
        degrees_of_freedom=degrees,
        figures=count,
        rest=solved.rest,
        scatter_of_releases=math.sqrt(share * solved.variance),
    )


@dataclass(frozen=True)
class _Solution:
    estimates: FloatArray
    normal: FloatArray
    rest: FloatArray
    variance: float
    minus_log_likelihood: float


def _generalized(
    observed: FloatArray, design: FloatArray, members: FloatArray, share: float
) -> _Solution:
    """Least squares where figures of a release share ``share`` times the variance of one."""
    count, unknowns = design.shape
    covariance = np.eye(count) + share * members @ members.T
    weighted = np.linalg.solve(covariance, design)
    normal = design.T @ weighted
    estimates = np.linalg.solve(normal, weighted.T @ observed)
    rest = observed - design @ estimates
    left = count - unknowns
    variance = max(float(rest @ np.linalg.solve(covariance, rest)) / left, _LEAST_VARIANCE)
    determinants = np.linalg.slogdet(covariance)[1] + np.linalg.slogdet(normal)[1]
    likelihood = left * math.log(variance) + float(determinants)
    return _Solution(estimates, normal, rest, variance, likelihood / 2)


def _spread_of_releases(
    solved: _Solution, members: FloatArray, share: float, degrees: int
) -> float:
    """How much further the releases' means scatter than the fit allows, as a variance; at least 1.

    Birge's ratio (Physical Review 40, 1932). It is 1 where the share of the releases is right, and
    more where the figures of a release agree so well that many would make the releases look sure.
    """
    sizes = members.sum(axis=0)
    means = members.T @ solved.rest / sizes
    expected = solved.variance * (1 / sizes + share)
    # Without a degree of freedom there is no error that it would count for.
    return max(1.0, float(np.sum(means**2 / expected)) / max(1, degrees))


def _likeliest_share(observed: FloatArray, design: FloatArray, members: FloatArray) -> float:
    """The share of the releases' variance; 0 where each figure is a release of its own."""
    if members.shape[1] == len(observed):
        return 0.0
    found = minimize_scalar(
        lambda log_share: (
            _generalized(observed, design, members, math.exp(log_share)).minus_log_likelihood
        ),
        bounds=(-8.0, 6.0),
        method="bounded",
    )
    return math.exp(float(found.x))


def _indicators(names: Sequence[str]) -> FloatArray:
    """One column a distinct name, shape (len(names), distinct)."""
    distinct = list(dict.fromkeys(names))
    return np.array([[float(name == one) for one in distinct] for name in names])


def _rank(*columns: Any) -> int:
    return int(np.linalg.matrix_rank(np.column_stack(columns)))
