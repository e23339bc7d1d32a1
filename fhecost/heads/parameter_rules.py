"""What the parameters of a circuit must keep to, whoever chooses them."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ConfigDict

SIZES = tuple(2**log for log in range(8, 18))
"""The polynomial sizes that Concrete knows."""


@dataclass(frozen=True)
class Restriction:
    """Which parameters a bootstrap may have; empty where all that Concrete knows are allowed.

    ``glwe_dimensions`` are k, ``polynomial_sizes`` N, ``level_counts`` l.
    """

    glwe_dimensions: tuple[int, ...] = ()
    polynomial_sizes: tuple[int, ...] = ()
    level_counts: tuple[int, ...] = ()

    __pydantic_config__ = ConfigDict(extra="forbid")

    def __post_init__(self) -> None:
        """Raise a ValueError unless all are sizes that Concrete knows."""
        for name, most in (("glwe_dimensions", 6), ("level_counts", 64)):
            for value in getattr(self, name):
                if not 1 <= value <= most:
                    raise ValueError(f"{name} must be from 1 to {most}, not {value}")
        for size in self.polynomial_sizes:
            if size not in SIZES:
                raise ValueError(
                    f"polynomial_sizes must be powers of two from {SIZES[0]} to {SIZES[-1]}, "
                    f"not {size}"
                )

    def __str__(self) -> str:
        """In words; empty for one that leaves nothing out."""
        named = (
            ("k", self.glwe_dimensions),
            ("N", self.polynomial_sizes),
            ("l", self.level_counts),
        )
        return ", ".join(f"{name} {_words(among)}" for name, among in named if among)

    def allows(self, glwe_dimension: int, polynomial_size: int, level_count: int) -> bool:
        """Whether a bootstrap may have that k, N and l."""
        return all(
            not among or value in among
            for value, among in (
                (glwe_dimension, self.glwe_dimensions),
                (polynomial_size, self.polynomial_sizes),
                (level_count, self.level_counts),
            )
        )


UNRESTRICTED = Restriction()
"""All that Concrete knows."""


def _words(values: tuple[int, ...]) -> str:
    every = [one for one in SIZES if min(values) <= one <= max(values)]
    in_a_row = len(values) > 2 and sorted(values) == every
    return f"{min(values)} to {max(values)}" if in_a_row else "/".join(map(str, values))


@dataclass(frozen=True)
class ParameterRules:
    """How often a lookup may go wrong, which lookups share a parameter set, and which sets may be.

    ``p_error`` is the probability that one lookup reads a neighbour of what it should; None for
    Concrete's default for a whole circuit. ``by_noise`` splits lookups of one precision by the
    noise that they take, so that those of little noise get cheaper parameters. ``restriction``
    leaves out parameters that a machine is bad at or can't hold.
    """

    p_error: float | None = None
    by_noise: bool = False
    restriction: Restriction = UNRESTRICTED

    __pydantic_config__ = ConfigDict(extra="forbid")

    def __post_init__(self) -> None:
        """Raise a ValueError unless ``p_error`` is a probability below a half."""
        if self.p_error is not None and not 0 < self.p_error < 0.5:
            raise ValueError(f"p_error must be above 0 and below 0.5, not {self.p_error}")


USUAL = ParameterRules()
"""What Concrete compiles with unless it is told otherwise."""
