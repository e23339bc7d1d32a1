"""Fewer columns of query, key and value that keep most of what a head computes.

A score is a bilinear form of two hidden states: queries and keys may be turned and scaled against
each other, and what of it is small on the calibration sentences may be left out. Values are read
through a few directions that hold most of the head's output.
"""

from __future__ import annotations

import numpy as np

from fhecost.heads.blocks import block_diagonal, hadamard
from fhecost.quantization import FloatArray


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
    of_query, of_key = _root(query), _root(key)
    left, kept, right = np.linalg.svd(of_query.T @ of_key)
    weights = np.sqrt(kept[:rank])
    spread = hadamard_rotation(rank)
    return (
        (np.linalg.pinv(of_query).T @ left[:, :rank] * weights) @ spread,
        (np.linalg.pinv(of_key).T @ right[:rank].T * weights) @ spread,
    )


def principal_directions(values: FloatArray, rank: int) -> FloatArray:
    """The ``rank`` directions that hold most of ``values``, shape (samples, d) to (d, rank).

    They are spread over all columns by a Hadamard matrix.
    """
    _, directions = np.linalg.eigh(values.T @ values)
    chosen: FloatArray = directions[:, ::-1][:, :rank] @ hadamard_rotation(rank)
    return chosen


def _root(values: FloatArray) -> FloatArray:
    """A square root A of the second moments: A @ A.T."""
    powers, directions = np.linalg.eigh(values.T @ values / len(values))
    root: FloatArray = directions * np.sqrt(np.clip(powers, 0, None))
    return root
