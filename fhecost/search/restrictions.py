"""Which restrictions of parameters are tried, whatever the machine."""

from __future__ import annotations

from fhecost.heads.parameter_rules import SIZES, Restriction


def _from(size: int) -> Restriction:
    return Restriction(polynomial_sizes=tuple(one for one in SIZES if one >= size))


def _up_to(size: int) -> Restriction:
    return Restriction(polynomial_sizes=tuple(one for one in SIZES if one <= size))


RESTRICTIONS: tuple[Restriction, ...] = (
    *(_from(size) for size in (1024, 2048)),
    *(_up_to(size) for size in (1024, 2048, 4096, 8192)),
    *(Restriction(level_counts=counts) for counts in ((1,), (1, 2))),
)
"""Concrete counts operations. Several small polynomials do as little work as a large one, but their
bootstrap key is larger, which a machine that streams it feels; large ones may not fit a chip."""
