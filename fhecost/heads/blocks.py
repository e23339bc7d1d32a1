"""Matrices of blocks, without SciPy, which takes longer to load than all else that a head needs."""

from __future__ import annotations

import numpy as np

from fhecost.quantization import FloatArray


def block_diagonal(*blocks: FloatArray) -> FloatArray:
    """``blocks``, of two axes each, along the diagonal, and zeros elsewhere."""
    rows, columns = np.cumsum([block.shape for block in blocks], axis=0)[-1]
    whole = np.zeros((rows, columns))
    row = column = 0
    for block in blocks:
        height, width = block.shape
        whole[row : row + height, column : column + width] = block
        row, column = row + height, column + width
    return whole


def hadamard(size: int) -> FloatArray:
    """Sylvester's matrix of ones and minus ones, whose rows are orthogonal; a power of two."""
    matrix = np.ones((1, 1))
    while len(matrix) < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix
