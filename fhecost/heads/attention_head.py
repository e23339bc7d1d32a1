"""One attention head of a layer in floating point: its weights and its exact values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fhecost.errors import FieldError
from fhecost.heads.rotary import Rotary
from fhecost.models.shape import check_head
from fhecost.quantization import FloatArray


@dataclass(frozen=True)
class AttentionHead:
    """The QKV projection of one head, E = model width, d = head dimension.

    ``weight`` has shape (E, 3d) and ``bias`` shape (3d,): query, key and value columns side by
    side. ``layer_weight_magnitude`` is the largest absolute weight over all heads of the layer's
    projection: the published example quantizes that tensor as a whole. ``output_weight`` holds the
    head's rows of the layer's output projection, shape (d, E), ``output_bias`` the layer's, (E,).
    ``score_scale`` is what scores are multiplied by besides 1/sqrt(d). Queries and keys of a head
    with a ``rotary`` turn with their token's position. ``of_layer`` is how many heads the layer
    has; None for as many as divide its width.
    """

    weight: FloatArray
    bias: FloatArray
    layer_weight_magnitude: float
    output_weight: FloatArray | None = None
    output_bias: FloatArray | None = None
    score_scale: float = 1.0
    rotary: Rotary | None = None
    of_layer: int | None = None

    @property
    def width(self) -> int:
        """E, the width of the hidden states."""
        return int(self.weight.shape[0])

    @property
    def dimension(self) -> int:
        """d, the head dimension."""
        return int(self.weight.shape[1] // 3)

    def turned(self, projected: FloatArray) -> FloatArray:
        """Query, key and value, shape (..., L, 3d), the first two turned by each token's angle."""
        if self.rotary is None:
            return projected
        query, key, value = np.split(projected, 3, axis=-1)
        return np.concatenate((self.rotary.turned(query), self.rotary.turned(key), value), axis=-1)

    def projected(self, hidden: FloatArray) -> FloatArray:
        """Query, key and value of ``hidden``, (..., L, E), side by side, shape (..., L, 3d)."""
        return self.turned(hidden @ self.weight + self.bias)

    @classmethod
    def from_layer(
        cls, c_attn_weight: FloatArray, c_attn_bias: FloatArray, n_heads: int, head: int
    ) -> AttentionHead:
        """Cut one head out of a layer's ``c_attn``, in Hugging Face's layout.

        Args:
            c_attn_weight: shape (E, 3E): query, key and value blocks, each with all heads.
            c_attn_bias: shape (3E,).
            n_heads: heads of the layer.
            head: which one, from 0.

        Raises:
            FieldError: the layer has no such head.
        """
        check_head(n_heads, head)
        width = c_attn_weight.shape[0]
        dimension = width // n_heads
        columns = np.concatenate(
            [np.arange(dimension) + block * width + head * dimension for block in range(3)]
        )
        return cls(
            weight=c_attn_weight[:, columns].astype(np.float64),
            bias=c_attn_bias[columns].astype(np.float64),
            layer_weight_magnitude=float(np.abs(c_attn_weight).max()),
        )


def causal_mask(seq_len: int) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """True where a position (row) may attend to another (column), shape (L, L)."""
    return np.tril(np.ones((seq_len, seq_len), dtype=np.bool_))


def scores_of(head: AttentionHead, query: FloatArray, key: FloatArray) -> FloatArray:
    """Scores of queries and keys, shape (..., L, d) to (..., L, L), minus infinity where masked."""
    scores = query @ np.swapaxes(key, -1, -2) / np.sqrt(head.dimension) * head.score_scale
    return np.where(causal_mask(query.shape[-2]), scores, -np.inf)


def probabilities_of(scores: FloatArray) -> FloatArray:
    """The softmax of ``scores`` over the last axis; zero where they are minus infinity."""
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    probabilities: FloatArray = weights / weights.sum(axis=-1, keepdims=True)
    return probabilities


def attend(head: AttentionHead, hidden: FloatArray) -> FloatArray:
    """Exact causal attention of ``head``, as transformers computes it.

    Args:
        head: the weights.
        hidden: normalized hidden states, shape (..., L, E).

    Returns:
        the head's output before the output projection, shape (..., L, d).
    """
    query, key, value = np.split(head.projected(hidden), 3, axis=-1)
    attended: FloatArray = probabilities_of(scores_of(head, query, key)) @ value
    return attended


def check_all_heads(heads: Sequence[AttentionHead], width: int) -> None:
    """Raise a FieldError unless ``heads`` are all of a layer of ``width`` E."""
    if len(heads) != (heads[0].of_layer or width // heads[0].dimension):
        raise FieldError("heads", "an output projection needs all heads of a layer")


def output_weight(head: AttentionHead) -> FloatArray:
    """The head's rows of the output projection, shape (d, E).

    Raises:
        FieldError: the head comes without.
    """
    if head.output_weight is None or head.output_bias is None:
        raise FieldError("heads", "an output projection is needed, and they come without")
    return head.output_weight
