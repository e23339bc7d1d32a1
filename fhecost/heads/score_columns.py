"""Few columns of queries and keys, fitted to what scores do to a head's output."""

from __future__ import annotations

import numpy as np

from fhecost.heads.low_rank import reduced_products
from fhecost.quantization import FloatArray

MOST_PAIRS = 5_000
"""Pairs of tokens that a fit looks at."""
ROUNDS = 2
"""How often queries and keys are fitted in turn."""
HELD_BACK = 3e-3
"""How far a fit is held back, in units of the columns' mean square."""


def fitted_scores(
    query: FloatArray, key: FloatArray, probabilities: FloatArray, values: FloatArray, rank: int
) -> tuple[FloatArray, FloatArray]:
    """What queries and keys are multiplied with, so that ``rank`` columns keep what matters.

    A score that is off by little moves its row's average by that, times its probability, times how
    far its value lies from the average. What all scores of a row have in common moves nothing: keys
    are taken from the average of their row. Columns begin with those that are best for independent
    queries and keys of such weights; then each side in turn is least squares of the pairs.

    Args:
        query: shape (sentences, L, d).
        key: shape (sentences, L, d).
        probabilities: of each pair, shape (sentences, L, L).
        values: what the head's output is the average of, shape (sentences, L, E).
        rank: columns to keep, up to d.

    Returns:
        two matrices of shape (d, rank); all columns of both are of a size.
    """
    averages, of_row = probabilities @ values, probabilities @ key
    far = (
        (values**2).sum(axis=-1)[:, None, :]
        + (averages**2).sum(axis=-1)[:, :, None]
        - 2 * averages @ np.swapaxes(values, -1, -2)
    )
    weights = probabilities * np.maximum(far, 0)
    of_query, of_key = _moments(query, key, of_row, weights)
    left, right = reduced_products(of_query, of_key, rank)
    # Of the pairs that matter, as many as a fit takes, evenly among all.
    sentences, rows, columns = np.nonzero(weights > weights.mean() / 8)
    some = slice(None, None, -(-len(rows) // MOST_PAIRS))
    sentences, rows, columns = sentences[some], rows[some], columns[some]
    weight = np.sqrt(weights[sentences, rows, columns])
    queries = query[sentences, rows] * weight[:, None]
    keys = key[sentences, columns] - of_row[sentences, rows]
    wanted = (queries * keys).sum(axis=1)
    for _ in range(ROUNDS if rank < query.shape[-1] else 0):
        right = _fitted(queries @ left, keys, wanted, right)
        left = _fitted(keys @ right, queries, wanted, left)
    # The same products, of columns that are balanced and spread.
    turned = reduced_products(left.T @ of_query @ left, right.T @ of_key @ right, rank)
    return left @ turned[0], right @ turned[1]


def _moments(
    query: FloatArray, key: FloatArray, of_row: FloatArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Second moments of queries, and of keys from the average ``of_row``, by weights of pairs."""
    of_query, of_key = weights.sum(axis=2)[..., None], weights.sum(axis=1)[..., None]
    crossed = _summed(weights @ key, of_row)
    keys = _summed(key * of_key, key) - crossed - crossed.T + _summed(of_row * of_query, of_row)
    return _summed(query * of_query, query) / weights.sum(), keys / weights.sum()


def _summed(left: FloatArray, right: FloatArray) -> FloatArray:
    """Of all tokens, shapes (..., d) to (d, d)."""
    d = left.shape[-1]
    moments: FloatArray = left.reshape(-1, d).T @ right.reshape(-1, d)
    return moments


def _fitted(
    known: FloatArray, other: FloatArray, wanted: FloatArray, before: FloatArray
) -> FloatArray:
    """The M, (d, r), near ``before``, whose sums of ``known`` * (``other`` @ M) are most wanted."""
    rank, d = known.shape[1], other.shape[1]
    parts = (known[:, :, None] * other[:, None, :]).reshape(len(known), rank * d)
    left = wanted - parts @ before.T.ravel()
    moments = parts.T @ parts
    moments[np.diag_indices_from(moments)] += HELD_BACK * np.trace(moments) / len(moments)
    change: FloatArray = np.linalg.solve(moments, parts.T @ left)
    return before + change.reshape(rank, d).T
