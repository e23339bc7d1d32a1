"""The shape of attention heads: all that the counts of their circuits depend on, besides widths."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HeadShape:
    """What one circuit computes of ``heads`` heads that run side by side.

    E = ``width`` of the hidden states, d = ``dimension`` of a head. ``tokens`` are computed, which
    attend to others in ``pairs`` pairs; ``longest_row`` is the most that one of them attends to.
    """

    width: int
    dimension: int
    tokens: int
    pairs: int
    longest_row: int
    heads: int = 1

    @property
    def values(self) -> int:
        """Integers of a query, a key or a value."""
        return self.heads * self.tokens * self.dimension

    @property
    def scores(self) -> int:
        """Scores, one a pair."""
        return self.heads * self.pairs

    @property
    def products(self) -> int:
        """Products of queries with keys, and of weights with values."""
        return self.scores * self.dimension

    @property
    def rows(self) -> int:
        """Rows of scores."""
        return self.heads * self.tokens


def whole_sequence(width: int, dimension: int, seq_len: int, heads: int = 1) -> HeadShape:
    """L = ``seq_len`` tokens, each attending to itself and to those before it."""
    return HeadShape(width, dimension, seq_len, seq_len * (seq_len + 1) // 2, seq_len, heads)


def next_token(width: int, dimension: int, seq_len: int, heads: int = 1) -> HeadShape:
    """The last of L = ``seq_len`` tokens, with the keys and values of those before it at hand."""
    return HeadShape(width, dimension, 1, seq_len, seq_len, heads)
