"""What of a head is computed encrypted: columns of query, key and value, and what is added to them.

All of it is fitted to the calibration sentences. Heads whose queries and keys turn with their
token's position have a matrix for each token anyway, and get more of such a fit for nothing: a mean
of the first token's own, which most rows of a language model attend to and which is far from all
others; keys that are levelled; columns by what they do to the output.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from fhecost.heads.attention_head import AttentionHead, probabilities_of, scores_of
from fhecost.heads.blocks import block_diagonal
from fhecost.heads.low_rank import (
    hadamard_rotation,
    levelling_key,
    output_directions,
    principal_directions,
    reduced_scores,
)
from fhecost.heads.rotary import TurnedWeights
from fhecost.heads.score_columns import fitted_scores
from fhecost.quantization import FloatArray, IntArray, Quantizer, least_error_quantizer

ENOUGH = 2**18
"""Values that the scale of an input is found on."""


@dataclass(frozen=True)
class Calibration:
    """What the heads of a layer are calibrated on.

    ``centred`` are normalized hidden states of sentences without their ``mean``, shapes (sentences,
    L, E) and (E,), or (2, E) where the first token has its own; ``integers`` is what the client
    makes of them, turned by ``rotation`` and quantized in steps of ``scale``.
    """

    mean: FloatArray
    centred: FloatArray
    rotation: FloatArray
    integers: IntArray
    scale: float

    @property
    def length(self) -> int:
        """L, the tokens of a sentence."""
        return int(self.integers.shape[1])

    @property
    def hidden(self) -> FloatArray:
        """Normalized hidden states, as they came, shape (sentences, L, E)."""
        return self.centred + of_tokens(self.mean, self.length)

    @classmethod
    def of(
        cls, hidden: FloatArray, n_bits: int, *, first_apart: bool = False
    ) -> tuple[Calibration, Quantizer]:
        """On ``hidden``, shape (sentences, L, E), inputs of ``n_bits``; and their quantizer.

        ``first_apart`` is whether the first token has a mean of its own.
        """
        mean = hidden.mean(axis=(0, 1))
        if first_apart:
            mean = np.stack([hidden[:, 0].mean(axis=0), hidden[:, 1:].mean(axis=(0, 1))])
        rotation = hadamard_rotation(hidden.shape[-1])
        centred = hidden - of_tokens(mean, hidden.shape[1])
        rotated = centred @ rotation
        # Heads that turn are calibrated on more sentences than a scale needs.
        some = rotated[:: -(-rotated.size // ENOUGH)] if first_apart else rotated
        quantizer = least_error_quantizer(some, n_bits)
        integers = quantizer.quantize(rotated)
        return cls(mean, centred, rotation, integers, quantizer.scale), quantizer


def of_tokens(mean: FloatArray, tokens: int) -> FloatArray:
    """The ``mean`` of each of ``tokens``, shape (2, E) to (tokens, E); one of all is itself."""
    if mean.ndim == 1:
        return mean
    each: FloatArray = mean[np.minimum(np.arange(tokens), 1)]
    return each


def means_of(head: AttentionHead, mean: FloatArray, tokens: int) -> FloatArray:
    """What of the ``mean``, (1, 3d) or (2, 3d), belongs to what is looked up, shape (..., 3d).

    A value's is added by the client, but for what the first token has besides. A key's adds the
    same to all scores of a row, unless it turns with its token's position: then there is one for
    each of ``tokens``, shape (tokens, 3d).
    """
    d = head.dimension
    kept: FloatArray = np.repeat([1.0, 0.0 if head.rotary is None else 1.0, 0.0], d) * mean[-1]
    if head.rotary is None:
        return kept
    means: FloatArray = head.turned(np.broadcast_to(kept, (tokens, 3 * d))).copy()
    # The first token isn't turned.
    means[0] += mean[0] - mean[-1]
    return means


def levelling(head: AttentionHead, columns: FloatArray, r: int) -> FloatArray:
    """What is taken off ``columns`` of query, key and value, (sentences, L, 2r + v).

    Shape (2r + v,), one for all tokens: a key, of those that turn. It levels the rows behind the
    first, which has but one pair.
    """
    taken_off = np.zeros(columns.shape[-1])
    if head.rotary is not None:
        query, key, _ = np.split(columns, (r, 2 * r), axis=-1)
        unit = head.score_scale / np.sqrt(head.dimension)
        highest = scores_of(head, query, key)[:, 1:].max(axis=-1).ravel() / unit
        query, first_key = query[:, 1:].reshape(-1, r), key[:, 0].mean(axis=0)
        # Most rows of deeper layers attend to the first token; what is fitted are the others.
        taken_off[r : 2 * r] = first_key + levelling_key(query, highest - query @ first_key)
    return taken_off


def weights_of(
    head: AttentionHead, mean: FloatArray, directions: FloatArray, r: int, on: Calibration
) -> tuple[FloatArray, Callable[[FloatArray, IntArray], TurnedWeights] | None]:
    """Float weights of ``head``, shape (E, 2r + v), or (L, E, 2r + v) where they turn.

    ``directions``, shape (3d, 2r + v), are what query, key and value go to. Where weights turn, the
    second makes turned ones of the scale of each column and the integers.
    """
    d = head.dimension
    if head.rotary is None:
        return on.rotation.T @ (head.weight @ directions), None
    weight = on.rotation.T @ head.weight
    value = weight[:, 2 * d :] @ directions[2 * d :, 2 * r :]
    made = TurnedWeights(
        rows=weight[:, : 2 * d],
        mean=mean[-1, : 2 * d],
        frequencies=head.rotary.frequencies,
        of_query=directions[:d, :r],
        of_key=directions[d : 2 * d, r : 2 * r],
        scale=np.ones(2 * r),
        largest=None,
        value=np.zeros(value.shape, dtype=np.int64),
        of_first=(mean[0] - mean[-1]) @ directions,
    )
    each = np.broadcast_to(value, (on.length, *value.shape))
    parts = (made.exact(0, on.length), made.exact(1, on.length), each)

    def turning(scale: FloatArray, integers: IntArray) -> TurnedWeights:
        # Clipped as those are that were seen; beyond the sentences' length none is larger.
        most = int(np.abs(integers).max())
        return replace(made, scale=scale[: 2 * r], largest=most, value=integers[0, :, 2 * r :])

    return np.concatenate(parts, axis=-1), turning


def columns_of(
    head: AttentionHead, projected: FloatArray, score_rank: int | None, value_rank: int | None
) -> tuple[FloatArray, FloatArray, int, int]:
    """What query, key and value columns are multiplied with, shape (3d, 2r + v), and r and v.

    ``projected`` are those of sentences, shape (sentences, L, 3d). At full rank queries and keys
    are only turned alike, which spreads what is large in a few of their d dimensions over all, as
    the client's rotation does for the input. The second, (v, d), makes averages of values of those
    of their columns.
    """
    d = head.dimension
    query, key, value = np.split(projected, 3, axis=-1)
    r, v = min(score_rank or d, d), min(value_rank or d, d)
    of_query = of_key = hadamard_rotation(d)
    of_value = back = np.eye(d)
    if head.rotary is None:
        if r < d:
            of_query, of_key = reduced_scores(query.reshape(-1, d), key.reshape(-1, d), r)
        if value_rank:
            of_value = principal_directions(value.reshape(-1, d), v)
            back = of_value.T
    else:
        behind = np.eye(d) if head.output_weight is None else head.output_weight
        probabilities = probabilities_of(scores_of(head, query, key))
        if score_rank:
            of_query, of_key = fitted_scores(query, key, probabilities, value @ behind, r)
        if value_rank:
            attended = (probabilities @ value).reshape(-1, d)
            of_value, back = output_directions(attended, behind, v)
    return block_diagonal(of_query, of_key, of_value), back, r, v
