"""The shape of attention heads: all that the counts of their circuits depend on, besides widths."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HeadShape:
    """E = ``width`` of the hidden states, d = ``dimension`` of a head, L = ``seq_len`` tokens."""

    width: int
    dimension: int
    seq_len: int

    @property
    def pairs(self) -> int:
        """Pairs (i, j) of tokens with j <= i."""
        return self.seq_len * (self.seq_len + 1) // 2
