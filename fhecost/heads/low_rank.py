"""Fewer columns of query, key and value that keep most of what a head computes.

A score is a bilinear form of two hidden states: queries and keys may be turned and scaled against
each other, and what of it is small on the calibration sentences may be left out. Values are read
through a few directions that hold most of the head's output.
"""

from __future__ import annotations

import numpy as np

from fhecost.heads.blocks import block_diagonal, hadamard
from fhecost.quantization import FloatArray

LEVELLED = 0.01
"""How far to hold back a fit of rows' highest scores, in units of the columns' mean square."""


def hadamard_rotation(width: int) -> FloatArray:
    """An orthogonal matrix of shape (width, width): Hadamard blocks of the largest power of two."""
    block = width & -width
    blocks: FloatArray = block_diagonal(*[hadamard(block) / np.sqrt(block)] * (width // block))
    return blocks


def reduced_scores(query: FloatArray, key: FloatArray, rank: int) -> tuple[FloatArray, FloatArray]:
    """What queries and keys are multiplied with, so that ``rank`` columns keep their products.

    The product of the square roots of both second moments has the singular values that the scores
    lose, in the mean square over independent queries and keys, when its directions are left out.
    What is kept is balanced, and spread over all columns by a Hadamard matrix.

    Args:
        query: shape (samples, d).
        key: shape (samples, d).
        rank: columns to keep, up to d.

    Returns:
        two matrices of shape (d, rank).
    """
    return reduced_products(query.T @ query / len(query), key.T @ key / len(key), rank)


def reduced_products(
    of_query: FloatArray, of_key: FloatArray, rank: int
) -> tuple[FloatArray, FloatArray]:
    """As :func:`reduced_scores`, of second moments, each of shape (d, d)."""
    root_of_query, root_of_key = _root(of_query), _root(of_key)
    left, kept, right = np.linalg.svd(root_of_query.T @ root_of_key)
    weights = np.sqrt(kept[:rank])
    spread = hadamard_rotation(rank)
    return (
        (np.linalg.pinv(root_of_query).T @ left[:, :rank] * weights) @ spread,
        (np.linalg.pinv(root_of_key).T @ right[:rank].T * weights) @ spread,
    )


def principal_directions(values: FloatArray, rank: int) -> FloatArray:
    """The ``rank`` directions that hold most of ``values``, shape (samples, d) to (d, rank).

    They are spread over all columns by a Hadamard matrix.
    """
    _, directions = np.linalg.eigh(values.T @ values)
    chosen: FloatArray = directions[:, ::-1][:, :rank] @ hadamard_rotation(rank)
    return chosen


def output_directions(
    attended: FloatArray, projection: FloatArray, rank: int
) -> tuple[FloatArray, FloatArray]:
    """What values are multiplied with, so that ``rank`` columns keep what heads give.

    Values are averaged before anything reads them, and what reads them is the output projection:
    kept are the directions that hold most of the averages behind it, and those are least squares of
    the averages of what is kept.

    Args:
        attended: a head's averages of values, shape (samples, d).
        projection: its rows of the output projection, shape (d, E).
        rank: columns to keep, up to d.

    Returns:
        matrices of shape (d, rank), spread over all columns by a Hadamard matrix, and (rank, d),
        which makes averages of the kept columns those of the values again.
    """
    root = _root(attended.T @ attended / len(attended))
    _, _, directions = np.linalg.svd(root.T @ projection, full_matrices=False)
    kept = projection @ directions[:rank].T @ hadamard_rotation(rank)
    back, _, _, _ = np.linalg.lstsq(root.T @ kept, root.T, rcond=1e-6)
    return kept, back


def levelling_key(query: FloatArray, highest: FloatArray) -> FloatArray:
    """The key that, taken off all keys, makes the highest scores of rows most alike.

    It adds the same to all scores of a row, which a softmax can't see; but one constant is taken
    off all rows' scores before the exponential, and rows far below it are left with few integers.

    Args:
        query: shape (samples, d).
        highest: of each query, the highest score of its row, (samples,).

    Returns:
        shape (d,).
    """
    centred = query - query.mean(axis=0)
    moments = centred.T @ centred
    held = LEVELLED * np.trace(moments) / len(moments) * np.eye(len(moments))
    key: FloatArray = np.linalg.solve(moments + held, centred.T @ (highest - highest.mean()))
    return key


def _root(moments: FloatArray) -> FloatArray:
    """A square root A of second moments: A @ A.T."""
    powers, directions = np.linalg.eigh(moments)
    root: FloatArray = directions * np.sqrt(np.clip(powers, 0, None))
    return root
