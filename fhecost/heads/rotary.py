"""Rotary position embeddings, as clear weights of each token.

RoPE (Su et al., arXiv:2104.09864) turns a token's query and key by angles that grow with its
position, so that a score depends on how far two tokens are apart. What position a token has is
public: the rotation goes into the clear weights that its hidden state is multiplied with, and costs
no lookup. Where all tokens shared one matrix each then has its own, of as many columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fhecost.heads.stated import StatedMatrix
from fhecost.quantization import FloatArray, IntArray


@dataclass(frozen=True)
class Rotary:
    """By how much a head's dimensions turn from one token to the next.

    ``frequencies`` has shape (d/2,), in radians a token. Dimension c turns together with dimension
    c + d/2, as in transformers' Llama.
    """

    frequencies: FloatArray

    def turned(self, values: FloatArray, first: int = 0) -> FloatArray:
        """``values`` of tokens, shape (..., L, d), each by its angle; the first is at ``first``."""
        half = len(self.frequencies)
        positions = first + np.arange(values.shape[-2])
        angles = positions[:, None] * self.frequencies
        cosine, sine = np.cos(angles), np.sin(angles)
        one, other = values[..., :half], values[..., half:]
        return np.concatenate((one * cosine - other * sine, other * cosine + one * sine), axis=-1)

    def matrices(self, tokens: int, first: int = 0) -> FloatArray:
        """What a token's row of d values is multiplied with, shape (tokens, d, d)."""
        d = 2 * len(self.frequencies)
        each = np.broadcast_to(np.eye(d)[:, None], (d, tokens, d))
        return np.swapaxes(self.turned(each, first), 0, 1)


@dataclass(frozen=True)
class TurnedWeights:
    """Integer weights of a head, those of queries and keys for each token.

    ``rows`` are its weights before they are turned, shape (E, 2d), queries and keys side by side,
    and ``mean`` what is added behind them, (2d,). Turned by the token's angle they are multiplied
    with ``of_query`` and ``of_key``, shape (d, r), and rounded to integers in steps of ``scale``,
    (2r,), no larger than ``largest`` where that is given. ``value``, shape (E, v), is that of all
    tokens. ``of_first``, shape (2r + v,), is what is added for the first token besides.
    """

    rows: FloatArray
    mean: FloatArray
    frequencies: FloatArray
    of_query: FloatArray
    of_key: FloatArray
    scale: FloatArray
    largest: int | None
    value: IntArray
    of_first: FloatArray | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """E, and the columns of query, key and value together."""
        return len(self.rows), 2 * self.rank + int(self.value.shape[1])

    @property
    def rank(self) -> int:
        """R, the columns of query, and of key."""
        return int(self.of_query.shape[1])

    def exact(self, part: int, tokens: int, first: int = 0) -> FloatArray:
        """Weights of queries (``part`` 0) or keys (1) before rounding, shape (tokens, E, r)."""
        return self._turned(part, self.rows, tokens, first)

    def means(self, part: int, tokens: int, first: int = 0) -> Any:
        """What is added to queries, keys or values, shape (tokens, c); 0 where nothing is."""
        asked = part, tokens, first
        if asked not in self._known_means:
            self._known_means[asked] = self._means(*asked)
        return self._known_means[asked]

    def _means(self, part: int, tokens: int, first: int) -> Any:
        r, of_first = self.rank, self.of_first
        added: Any = 0 if part == 2 else self._turned(part, self.mean[None], tokens, first)[:, 0]
        if of_first is None or first > 0:
            return added
        chosen = slice(part * r, (part + 1) * r) if part < 2 else slice(2 * r, None)
        return added + np.eye(tokens)[:, :1] * of_first[chosen]

    def of(self, part: int, tokens: int, first: int = 0) -> IntArray:
        """Integers of query, key (``part`` 0, 1), shape (tokens, E, r), or value (2), (E, v)."""
        if part == 2:
            return self.value
        if first:
            return self._rounded(part, tokens, first)
        # What fewer tokens need is the beginning of what more do.
        known = self._known.get(part)
        if known is None or len(known) < tokens:
            made = self._rounded(part, tokens, 0)
            # A model has hundreds of heads, and an integer of weights few bits.
            known = made.astype(np.min_scalar_type(-int(np.abs(made).max(initial=1))))
            self._known[part] = known
        return known[:tokens].astype(np.int64)

    def all(self, tokens: int, first: int = 0) -> IntArray:
        """Integers of query, key and value side by side, shape (tokens, E, 2r + v)."""
        value = np.broadcast_to(self.value, (tokens, *self.value.shape))
        parts = (self.of(0, tokens, first), self.of(1, tokens, first), value)
        return np.concatenate(parts, axis=-1)

    @cached_property
    def _known(self) -> dict[int, Any]:
        """Integers that were asked for before, of the fewest bytes, by part."""
        return {}

    @cached_property
    def _known_means(self) -> dict[tuple[int, int, int], Any]:
        """What was asked for of :meth:`means`."""
        return {}

    def _rounded(self, part: int, tokens: int, first: int) -> IntArray:
        r = self.rank
        integers = np.rint(self.exact(part, tokens, first) / self.scale[part * r : (part + 1) * r])
        if self.largest is not None:
            integers = np.clip(integers, -self.largest, self.largest)
        return integers.astype(np.int64)

    def _turned(self, part: int, rows: FloatArray, tokens: int, first: int) -> FloatArray:
        d = len(self.of_query)
        columns = (self.of_query, self.of_key)[part]
        turning = Rotary(self.frequencies).matrices(tokens, first) @ columns
        turned: FloatArray = rows[:, part * d : (part + 1) * d] @ turning
        return turned


HeadWeights = IntArray | TurnedWeights
"""Integer weights of a head, one matrix for all tokens, or one each where these turn."""


def part_of(weight: Any, part: int, rank: int, tokens: int, first: int = 0) -> Any:
    """The columns of query, key (``part`` 0, 1), ``rank`` of them, or value (2) of ``weight``.

    Shape (E, c), or (tokens, E, c) where each token has its own.
    """
    if isinstance(weight, TurnedWeights):
        return weight.of(part, tokens, first)
    chosen = slice(part * rank, (part + 1) * rank) if part < 2 else slice(2 * rank, None)
    columns = weight[:, chosen]
    turns = isinstance(columns, StatedMatrix) and columns.turns and part < 2
    return columns.for_each(tokens) if turns else columns


def every_part_of(weight: Any, tokens: int) -> Any:
    """All columns of ``weight``, shape (E, c), or (tokens, E, c) where each token has its own."""
    if isinstance(weight, TurnedWeights):
        return weight.all(tokens)
    return weight.for_each(tokens) if isinstance(weight, StatedMatrix) and weight.turns else weight


def token_rows(values: Any, weight: Any) -> Any:
    """``values`` of tokens, shape (L, E), as :func:`multiplied` takes them.

    It belongs to no stage: where several share it, none waits for another.
    """
    tokens, width = values.shape
    return values if len(weight.shape) == 2 else values.reshape((tokens, 1, width))


def multiplied(rows: Any, weight: Any) -> Any:
    """:func:`token_rows` times the weights of all tokens, (E, c), or of each, (L, E, c)."""
    if isinstance(rows, np.ndarray):
        # Of integers in the clear: exact, and many times faster in floating point.
        product: Any = (rows.astype(np.float64) @ weight.astype(np.float64)).astype(np.int64)
    else:
        product = rows @ weight
    return product if len(weight.shape) == 2 else product.reshape(weight.shape[::2])


def multiplied_in_turn(values: FloatArray | IntArray, weight: FloatArray | IntArray) -> FloatArray:
    """Tokens times weights as above, of sentences, shape (sentences, L, E), in floating point.

    Products of integers are many times faster so, and exact: they stay far below 2^53.
    """
    values, weight = values.astype(np.float64), weight.astype(np.float64)
    if weight.ndim == 2:
        return values @ weight
    return np.swapaxes(np.swapaxes(values, 0, 1) @ weight, 0, 1)
