"""Circuits of which some lookup is likely to go wrong, and what they would cost if it weren't."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fhecost.circuits.profile import CircuitProfile
from fhecost.hardware.estimate import SURE, Estimate, LatencyRange, UnsureCircuit
from fhecost.hardware.refusals import estimates_or_refusals

UNSURE = 1e-2
"""Above this error in all, a circuit is unsure: one run in a hundred has a wrong lookup."""

ON_PURPOSE = 1e-5
"""Concrete's default for a whole circuit: a lookup that errs more often was asked to."""

NO_PLAN = "its profile alone doesn't tell; compile it with a smaller global_p_error"


def is_unsure(circuit: CircuitProfile) -> bool:
    """Whether some lookup of ``circuit`` goes wrong in more than one run of a hundred."""
    return circuit.global_p_error > UNSURE


def unsure_circuit(
    circuit: CircuitProfile,
    estimators: Mapping[str, Callable[[CircuitProfile], Estimate]],
    sure: CircuitProfile | str | None = None,
) -> UnsureCircuit | None:
    """What is to be known of ``circuit`` where it is unsure; None where it isn't.

    Args:
        circuit: what runs.
        estimators: where it runs, by the machine's name.
        sure: the same circuit with parameter sets for an error of ``SURE`` in all, or why there is
            none; None where nobody knows more of the circuit than its profile says.
    """
    if not is_unsure(circuit):
        return None
    of_head = circuit.description.scope == "head"
    said = UnsureCircuit(
        global_p_error=circuit.global_p_error,
        sure_p_error=SURE,
        on_purpose=of_head and circuit.p_error > ON_PURPOSE,
    )
    if not isinstance(sure, CircuitProfile):
        return said.changed(reason=sure or NO_PLAN)
    made, refusals = estimates_or_refusals(sure, estimators)
    return said.changed(
        work_factor=sure.complexity / circuit.complexity if circuit.complexity else None,
        keys_bytes=sure.bsk_bytes + sure.ksk_bytes,
        latency_s={name: LatencyRange.like(one) for name, one in made.items()},
        refusals=refusals,
    )
