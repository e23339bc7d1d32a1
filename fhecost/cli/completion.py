"""What a shell proposes where names are asked for; looked up only when it asks."""

from __future__ import annotations

from collections.abc import Iterable

VARIANTS = ("reference", "reference-rounded", "compact", "compact-attention", "fast")
"""Of heads, in the order of the registry, which takes too long to load for a help."""


def machines(incomplete: str) -> list[str]:
    """Machines, of which several may be named with commas."""
    from fhecost.hardware.library import hardware_files
    from fhecost.hardware.names import ALL, DEFAULT, HERE

    before, comma, begun = incomplete.rpartition(",")
    names = sorted({*hardware_files(), HERE})
    return _proposed([*([] if comma else [ALL, DEFAULT]), *names], begun, before + comma)


def kinds(incomplete: str) -> list[str]:
    """Kinds of machines, of which several may be named with commas."""
    from fhecost.hardware.profile import KINDS

    before, comma, begun = incomplete.rpartition(",")
    return _proposed(sorted(KINDS), begun, before + comma)


def one_machine(incomplete: str) -> list[str]:
    """Machines, of which one is to be named."""
    from fhecost.hardware.library import hardware_files
    from fhecost.hardware.names import HERE

    return _proposed(sorted({*hardware_files(), HERE}), incomplete)


def models(incomplete: str) -> list[str]:
    """Models that are known by name; a folder may be named too."""
    from fhecost.models.shape import EMBEDDED, SHAPES

    return _proposed([EMBEDDED, *SHAPES], incomplete)


def variants(incomplete: str) -> list[str]:
    """Variants of heads."""
    return _proposed(VARIANTS, incomplete)


def _proposed(names: Iterable[str], begun: str, before: str = "") -> list[str]:
    return [before + name for name in names if name.startswith(begun.lower())]
