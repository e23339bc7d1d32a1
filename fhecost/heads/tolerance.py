"""How wrong a circuit may be."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ConfigDict


@dataclass(frozen=True)
class Tolerance:
    """How often a lookup may go wrong, and which lookups share a parameter set.

    ``p_error`` is the probability that one lookup reads a neighbour of what it should; None for
    Concrete's default for a whole circuit. ``by_noise`` splits lookups of one precision by the
    noise that they take, so that those of little noise get cheaper parameters.
    """

    p_error: float | None = None
    by_noise: bool = False

    __pydantic_config__ = ConfigDict(extra="forbid")

    def __post_init__(self) -> None:
        """Raise a ValueError unless ``p_error`` is a probability below a half."""
        if self.p_error is not None and not 0 < self.p_error < 0.5:
            raise ValueError(f"p_error must be above 0 and below 0.5, not {self.p_error}")


USUAL = Tolerance()
"""What Concrete compiles with unless it is told otherwise."""
