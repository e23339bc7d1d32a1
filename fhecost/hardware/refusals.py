"""Why a machine can't run a circuit: sets that are too large, keys that don't fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fhecost.circuits.profile import CircuitProfile, Stage
from fhecost.circuits.workload import Workload
from fhecost.errors import ImpossibleError
from fhecost.hardware.advice import smaller_sets
from fhecost.hardware.estimate import Estimate
from fhecost.provenance import Figure
from fhecost.units import amount


def key_refusal(circuit: Workload, limit: float, memory: Figure | None) -> str | None:
    """Why a device whose polynomials end at ``limit`` can't run ``circuit``, or hold its keys."""
    too_large = [stage for stage in circuit.stages if largest_size(stage) > limit]
    if not too_large:
        return memory_refusal(circuit.bsk_bytes + circuit.ksk_bytes, memory, "the keys")
    worst, stage = max(
        ((use.parameters, stage) for stage in too_large for use in stage.pbs),
        key=lambda found: found[0].polynomial_size,
    )
    return (
        f"can't hold the parameter set {worst} of stage {stage.name!r}: "
        f"its largest N is {limit:,.0f}; {smaller_sets(circuit, too_large, limit)}"
    )


def largest_size(*stages: Stage) -> int:
    """The largest N of a PBS in ``stages``; 1 where there is none."""
    return max((stage.largest_polynomial_size or 1 for stage in stages), default=1)


def estimates_or_refusals(
    circuit: CircuitProfile, estimators: Mapping[str, Callable[[CircuitProfile], Estimate]]
) -> tuple[dict[str, Estimate], dict[str, str]]:
    """What each machine makes of ``circuit``, or why it can't run it, by name."""
    estimates: dict[str, Estimate] = {}
    refusals: dict[str, str] = {}
    for name, estimator in estimators.items():
        try:
            estimates[name] = estimator(circuit)
        except ImpossibleError as error:
            refusals[name] = str(error).removeprefix(f"{name}: ")
    return estimates, refusals


def memory_refusal(
    needed_bytes: float, memory: Figure | None, what: str, data_bytes: float = 0
) -> str | None:
    """Why ``what`` of ``needed_bytes`` can't be held; None when it can, or nothing is known.

    ``data_bytes`` of them are inputs and outputs with the copies that a run makes of them; where
    these are most, smaller keys don't help.
    """
    if memory is None or needed_bytes <= memory.value:
        return None
    mend = "fewer bits give smaller keys"
    if data_bytes > needed_bytes / 2:
        mend = f"{amount(data_bytes, 'B')} of it are inputs, outputs and copies of them"
    return (
        f"{what} need at least {amount(needed_bytes, 'B')}, the machine has "
        f"{amount(memory.value, 'B')}; {mend}"
    )
