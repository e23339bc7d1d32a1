"""What integers a tensor holds, and the width that this takes."""

from __future__ import annotations

from typing import Any, NamedTuple


class Range(NamedTuple):
    """The smallest and the largest integer that a wire holds."""

    low: int
    high: int

    @classmethod
    def of(cls, values: Any) -> Range:
        """The range of an array of integers."""
        return cls(int(values.min()), int(values.max()))

    @classmethod
    def of_bits(cls, bits: int, *, signed: bool) -> Range:
        """All integers of a type of ``bits``."""
        return cls(-(1 << bits - 1), (1 << bits - 1) - 1) if signed else cls(0, (1 << bits) - 1)

    @property
    def bits(self) -> int:
        """Width of the narrowest integer type that holds both."""
        low, high = self
        if low < 0:
            return max((-low - 1).bit_length(), high.bit_length() if high > 0 else 0) + 1
        return high.bit_length() or 1

    def __add__(self, other: object) -> Range:
        """The range of a sum."""
        if not isinstance(other, Range):
            return NotImplemented
        return Range(self.low + other.low, self.high + other.high)

    def __neg__(self) -> Range:
        """The range of the negated values."""
        return Range(-self.high, -self.low)

    def rounded(self, dropped: int) -> Range:
        """The range of the values rounded to multiples of 2^dropped, halves upwards."""
        half = (1 << dropped) >> 1
        return Range(
            (self.low + half) >> dropped << dropped, (self.high + half) >> dropped << dropped
        )

    def clipped(self, low: int, high: int) -> Range:
        """What of the range lies from ``low`` to ``high``."""
        return Range(min(max(self.low, low), high), max(min(self.high, high), low))

    def reaching(self, *ends: int) -> Range:
        """The range that holds ``ends`` too."""
        return Range(min(self.low, *ends), max(self.high, *ends))
