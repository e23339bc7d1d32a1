"""What would help where a parameter set is too large for a machine."""

from __future__ import annotations

import math
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
    advised = [_of_stage(stage, limit) for stage in stages[:_NAMED]]
    more = len(stages) - _NAMED
    others = f", and so on in {more} more stages" if more > 0 else ""
    return f"each bit fewer halves N: {', '.join(advised)}{others}; {_HOW}"


_NAMED = 3
_HOW = (
    "fhe.truncate_bit_pattern drops bits, as does fhe.round_bit_pattern with "
    "overflow_protection=False (its protection takes a bit more)"
)


def _of_stage(stage: Stage, limit: float) -> str:
    """To how many bits what its lookups read would have to be rounded."""
    size = max(use.parameters.polynomial_size for use in stage.pbs)
    fewer = math.ceil(math.log2(size / limit))
    bits = "1 bit" if fewer == 1 else f"{fewer} bits"
    if stage.bit_width is None:
        return f"{bits} fewer in lookups of stage {stage.name!r}"
    left = stage.bit_width - fewer
    if left < NARROWEST:
        return (
            f"lookups of stage {stage.name!r} read {stage.bit_width} bits, too few for that (sum "
            "fewer values before them, or allow a larger p_error)"
        )
    return f"{left} bits instead of {stage.bit_width} in lookups of stage {stage.name!r} would fit"
