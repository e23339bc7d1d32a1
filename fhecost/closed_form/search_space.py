"""Among what Concrete's optimizer searches, and what each choice costs and adds as noise.

Rings of k polynomials of size N, LWE dimensions n, and for each of them the decompositions of
bootstraps and key switches that no other beats in both cost and noise: one a number of levels, with
the base that is best for it. ``global_parameters.rs`` and ``optimization/decomposition`` of
zama-ai/concrete@ebef4fb61.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fhecost.closed_form.noise import (
    cmux_variance,
    fresh_variance,
    key_switch_variance,
    modulus_switch_variance,
)
from fhecost.heads.parameter_rules import UNRESTRICTED, Restriction
from fhecost.quantization import FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]

LEAST_N = 512
MOST_N = 2047

LEVELS = 64
_AT_A_TIME = 32
"""Dimensions of which all decompositions are looked at together."""


@dataclass(frozen=True, eq=False)
class Decompositions:
    """By row (a ring, or the dimension that a key switch leads to), its decompositions.

    Shapes (rows, choices): cost rises and noise falls along a row; what is there no more has
    infinite cost and the noise of the last, which is the ``lowest`` (rows,). ``noise`` and ``cost``
    are for one coefficient of the input key (one of n for a bootstrap); ``slope`` (rows,) is the
    cost of a level, and ``bias`` comes once. ``keys`` are -log2 of all noises in one ascending
    array, ``SPREAD`` a row; the last of a row is above all that is asked for.
    """

    levels: IntArray
    base_log: IntArray
    noise: FloatArray
    lowest: FloatArray
    cost: FloatArray
    slope: FloatArray
    bias: FloatArray
    keys: FloatArray

    @cached_property
    def lowest_keys(self) -> FloatArray:
        """What ``lowest`` falls to, negative: ascending where it falls from row to row."""
        return -self.lowest

    def cheapest(self, row: IntArray, allowed: FloatArray) -> IntArray:
        """In ``row``, the first choice with no more than ``allowed`` noise a coefficient.

        As an index into flattened arrays; what cost it names is infinite where none has.
        """
        wanted = np.maximum(allowed, _LEAST_NOISE)
        np.log2(wanted, out=wanted)
        wanted *= 1e-13 - 1
        wanted += row * SPREAD
        return self.keys.searchsorted(wanted)


SPREAD = 512.0
_LEAST_NOISE = 2.0**-500
_ABOVE_ALL = 505.0
"""More than -log2 of ``_LEAST_NOISE``, and as far below ``SPREAD`` as no variance is above 1."""


class Kinds(NamedTuple):
    """The kinds of bootstraps that are searched, (kinds,): a ring and a decomposition each.

    ``ring`` and ``level`` are indices into the :class:`SearchSpace`; ``rings`` are the different
    ones, and ``place`` (kinds,) is where among them a kind's is. ``noise`` and ``cost`` are those
    of one step of n, ``least_noise`` that of the ring's finest decomposition; ``switch`` is where
    the ring's modulus switches begin, flattened.
    """

    ring: IntArray
    level: IntArray
    rings: IntArray
    place: IntArray
    noise: FloatArray
    least_noise: FloatArray
    cost: FloatArray
    switch: IntArray


class Between(NamedTuple):
    """Conversions from the key of one ring to that of another, flattened (rings * rings * choices).

    ``variance`` and ``cost`` are those of a ciphertext; between equal rings there is nothing to do.
    The pair of rings (own, to) is number own * rings + to in ``least`` and ``least_cost``, the
    least that its conversions have of each. Its choices are as many places ``ahead`` of those that
    ``to`` has among the :class:`Decompositions` of conversions.
    """

    least: FloatArray
    least_cost: FloatArray
    variance: FloatArray
    cost: FloatArray
    ahead: IntArray


@dataclass(frozen=True, eq=False)
class SearchSpace:
    """All choices. Rings (rings,) in the order of the search; LWE dimensions from ``LEAST_N`` on.

    ``fresh`` (rings,) is the variance of a fresh ciphertext, ``modulus_switch`` (rings, dimensions)
    that of a modulus switch; ``bootstraps`` have a row a ring, ``key_switches`` one an LWE
    dimension, ``conversions`` one a ring, and what these come to is ``between`` two. ``rings`` and
    ``levels`` (candidates,) are rings and choices of their ``bootstraps`` that no others beat in
    all that counts.
    """

    k: IntArray
    size: IntArray
    dimension: IntArray
    lwe: IntArray
    fresh: FloatArray
    modulus_switch: FloatArray
    bootstraps: Decompositions
    key_switches: Decompositions
    conversions: Decompositions
    between: Between
    rings: IntArray
    levels: IntArray

    @cached_property
    def kinds(self) -> Kinds:
        """What ``rings`` and ``levels`` are."""
        ring, level, table = self.rings, self.levels, self.bootstraps
        rings, place = np.unique(ring, return_inverse=True)
        return Kinds(
            ring, level, rings, place, table.noise[ring, level], table.lowest[ring],
            table.cost[ring, level], ring * len(self.lwe),
        )  # fmt: skip


def search_space(security: int = 128, restriction: Restriction = UNRESTRICTED) -> SearchSpace:
    """What Concrete searches for circuits on CPUs: k up to 6, N from 2^8 to 2^17.

    A ``restriction`` leaves fewer candidates.
    """
    # By position: a cache takes what is left out, and what is named, for something else.
    return _search_space(security, restriction)


@cache
def _search_space(security: int, restriction: Restriction) -> SearchSpace:
    if restriction != UNRESTRICTED:
        whole = search_space(security)
        left = _undominated(
            whole.k, whole.size, whole.fresh, whole.bootstraps, _allowed(whole, restriction)
        )
        return replace(whole, rings=left[0], levels=left[1])
    rings = [(k, 2**log) for k in range(1, 7) for log in range(8, 18) if (k, log) != (1, 8)]
    k, size = (np.array(column) for column in zip(*rings, strict=True))
    lwe = np.arange(LEAST_N, MOST_N + 1)
    fresh = fresh_variance(k * size, security)
    transform = size * np.log2(size) + size
    levels, base_log = _grid()
    of_step = cmux_variance(
        k[:, None, None].astype(float),
        size[:, None, None].astype(float),
        levels,
        base_log,
        fresh[:, None, None],
    )
    bootstraps = _decompositions(
        *_best_bases(of_step),
        slope=((k + 1) * transform + (k + 1) ** 2 * size).astype(float),
        constant=((k + 1) * transform).astype(float),
        bias=np.zeros(len(k)),
    )
    conversions = _key_switches(k * size, security)
    candidates = _undominated(k, size, fresh, bootstraps, np.isfinite(bootstraps.cost))
    return SearchSpace(
        k=k,
        size=size,
        dimension=k * size,
        lwe=lwe,
        fresh=fresh,
        modulus_switch=modulus_switch_variance(lwe.astype(float), size[:, None].astype(float)),
        bootstraps=bootstraps,
        key_switches=_key_switches(lwe, security),
        conversions=conversions,
        between=_between(k * size, conversions),
        rings=candidates[0],
        levels=candidates[1],
    )


@cache
def common_space(
    security: int, restrictions: tuple[Restriction, ...]
) -> tuple[SearchSpace, tuple[BoolArray, ...]]:
    """One space for circuits of several ``restrictions``, and which of its kinds each leaves."""
    whole = search_space(security)
    left = np.zeros((len(restrictions), *whole.bootstraps.cost.shape), dtype=bool)
    for of, restriction in zip(left, restrictions, strict=True):
        space = search_space(security, restriction)
        of[space.rings, space.levels] = True
    rings, levels = left.any(axis=0).nonzero()
    return replace(whole, rings=rings, levels=levels), tuple(left[:, rings, levels])


def _between(dimension: IntArray, table: Decompositions) -> Between:
    """What conversions between rings of such ``dimension`` cost and add, by the ``table``."""
    count, differs = len(dimension), ~np.eye(len(dimension), dtype=bool)
    scale = differs * dimension[:, None]
    cost = dimension[:, None, None] * table.cost + table.bias[:, None]
    own, _ = np.indices(differs.shape)
    return Between(
        least=(scale * table.lowest).ravel(),
        least_cost=(scale * table.slope + differs * table.bias).ravel(),
        variance=(scale[:, :, None] * table.noise).ravel(),
        cost=np.where(differs[:, :, None], cost, 0.0).ravel(),
        ahead=(own * count * table.levels.shape[1]).ravel(),
    )


def _allowed(space: SearchSpace, restriction: Restriction) -> BoolArray:
    """Which choices of which rings ``restriction`` leaves, shape (rings, choices)."""
    allowed: BoolArray = np.isfinite(space.bootstraps.cost)
    for values, among in (
        (space.k[:, None], restriction.glwe_dimensions),
        (space.size[:, None], restriction.polynomial_sizes),
        (space.bootstraps.levels, restriction.level_counts),
    ):
        if among:
            allowed = allowed & np.isin(values, among)
    return allowed


def _undominated(
    k: IntArray, size: IntArray, fresh: FloatArray, bootstraps: Decompositions, allowed: BoolArray
) -> tuple[IntArray, IntArray]:
    """Of what is ``allowed``, what nothing beats in cost, noise, size of ciphertexts and 1/N.

    As rings and choices of theirs.
    """
    ring, level = np.nonzero(allowed)
    cost, noise = bootstraps.cost[ring, level], bootstraps.noise[ring, level]
    criteria = np.stack([cost, noise, fresh[ring], (k * size)[ring], -size[ring]])
    better = (criteria[:, :, None] <= criteria[:, None, :]).all(axis=0)
    better &= (criteria[:, :, None] < criteria[:, None, :]).any(axis=0)
    kept = ~better.any(axis=0)
    return ring[kept], level[kept]


def _grid() -> tuple[FloatArray, FloatArray]:
    """Levels (LEVELS, 1) and bases (1, LEVELS), as floats."""
    count = np.arange(1.0, LEVELS + 1)
    return count[:, None], count[None, :]


def _key_switches(lwe: IntArray, security: int) -> Decompositions:
    """Decompositions of key switches that lead to keys of ``lwe`` coefficients."""
    levels, base_log = _grid()
    fresh = fresh_variance(lwe.astype(float), security)[:, None, None]
    # Some at a time stay in the processor's cache; all are 50 MB.
    parts = [
        _best_bases(key_switch_variance(levels, base_log, fresh[at : at + _AT_A_TIME]))
        for at in range(0, len(lwe), _AT_A_TIME)
    ]
    best, least = map(np.concatenate, zip(*parts, strict=True))
    return _decompositions(
        best, least, slope=2.0 * lwe + 3, constant=np.zeros(len(lwe)), bias=-lwe.astype(float)
    )


def _best_bases(noise: FloatArray) -> tuple[IntArray, FloatArray]:
    """Of noise (…, levels, bases), by level the place of the best base, and what it adds."""
    best = noise.argmin(axis=-1)
    return best, np.take_along_axis(noise, best[..., None], axis=-1)[..., 0]


def _decompositions(
    best: IntArray, least: FloatArray, slope: FloatArray, constant: FloatArray, bias: FloatArray
) -> Decompositions:
    """The undominated ones of those with the ``best`` bases and ``least`` noise, (rows, levels).

    One of l levels costs ``constant`` + l * ``slope`` a coefficient.
    """
    rows = len(least)
    before = np.minimum.accumulate(least, axis=1)
    kept = np.concatenate([np.ones((rows, 1), bool), least[:, 1:] <= before[:, :-1]], axis=1)
    # Kept ones first, in their order.
    order = np.argsort(~kept, axis=1, kind="stable")[:, : int(kept.sum(axis=1).max()) + 1]
    there = np.take_along_axis(kept, order, axis=1)
    levels = order + 1
    lowest = before[:, -1:]
    noise = np.where(there, np.take_along_axis(least, order, axis=1), lowest)
    cost = np.where(there, constant[:, None] + levels * slope[:, None], np.inf)
    keys = -np.log2(noise)
    keys[:, -1] = _ABOVE_ALL
    keys += SPREAD * np.arange(rows)[:, None]
    base_log = np.take_along_axis(best, order, axis=1) + 1
    return Decompositions(levels, base_log, noise, lowest[:, 0], cost, slope, bias, keys.ravel())
