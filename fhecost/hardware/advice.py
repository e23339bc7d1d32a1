"""What would help where a parameter set is too large for a machine."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from fhecost.circuits.profile import CircuitProfile, Stage
from fhecost.circuits.workload import Workload

NARROWEST = 2
"""Bits below which rounding what a lookup reads leaves nothing to look up."""


def smaller_sets(circuit: Workload, stages: Sequence[Stage], limit: float) -> str:
    """What would bring the parameter sets of ``stages`` down to N of ``limit``.

    The noise of a modulus switch to 2N has to stay below half a step of the values that are looked
    up, and 2^(bits + 1) steps make the torus: so N doubles with each bit of theirs. The circuits of
    fhecost have settings for that; anyone else's is rounded where it is too wide.
    """
    if not isinstance(circuit, CircuitProfile):
        return "narrower lookups need smaller sets"
    if circuit.description.of_model:
        return "fewer bits or a shorter sequence give smaller sets"
    alike: dict[tuple[int | None, int], list[str]] = defaultdict(list)
    for stage in stages:
        size = stage.largest_polynomial_size or 1
        alike[stage.bit_width, math.ceil(math.log2(size / limit))].append(stage.name)
    advised = [_advice(*key, _named(names)) for key, names in alike.items()]
    return f"each bit fewer halves N: {', '.join(advised)}; {_HOW}"


_NAMED = 3
"""Stages that are called by their names; of more, their number is enough."""
_HOW = (
    "fhe.truncate_bit_pattern drops bits, as does fhe.round_bit_pattern with "
    "overflow_protection=False (its protection takes a bit more)"
)


def _advice(width: int | None, fewer: int, where: str) -> str:
    """To how many bits what lookups read would have to be rounded, ``fewer`` than ``width``."""
    if width is None:
        return f"{fewer} bit{'s' if fewer > 1 else ''} fewer in lookups of {where}"
    if width - fewer < NARROWEST:
        return (
            f"lookups of {where} read {width} bits, too few for that (sum fewer values before "
            "them, or allow a larger p_error)"
        )
    return f"{width - fewer} bits instead of {width} in lookups of {where} should fit"


def _named(names: Sequence[str]) -> str:
    """One stage or several, the first of them by name."""
    first = ", ".join(repr(name) for name in names[:_NAMED])
    more = len(names) - _NAMED
    return f"stage{'s' if len(names) > 1 else ''} {first}{f' and {more} more' if more > 0 else ''}"
