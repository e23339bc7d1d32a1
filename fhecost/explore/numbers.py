"""From a state to its numbers, by the functions that ``fhecost compare`` calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from fhecost.circuit_request import PredictedShape, find_circuit, sure_circuit
from fhecost.circuits.profile import CircuitProfile
from fhecost.errors import FhecostError, ImpossibleError
from fhecost.explore.accuracy import KnownAccuracy, accuracy_of, load_known
from fhecost.explore.state import Offer, State, changed_machines, circuit_of, machines_of
from fhecost.hardware.comparison import ComparisonReport
from fhecost.hardware.estimate import Estimate
from fhecost.hardware.estimator import Estimator
from fhecost.hardware.sensitivity import sensitivity
from fhecost.pipeline import compare_found

if TYPE_CHECKING:
    from fhecost.full_report import FullReport

_REMEMBERED, _CIRCUITS = 256, 32
"""States whose numbers are kept, and circuits: dragging there and back costs nothing."""


@dataclass(frozen=True)
class Numbers:
    """All that the page shows of a state.

    ``closely`` is the estimate of the machine that is looked at closely, None where it can't run
    the circuit, of which ``refusal`` says why.
    """

    comparison: ComparisonReport
    closely: Estimate | None
    refusal: str | None
    accuracy: KnownAccuracy


def numbers_by(offer: Offer) -> Callable[[State], Numbers]:
    """The function from a state to its numbers; those of the last states are kept.

    It raises UsageError and ImpossibleError as ``fhecost compare`` does.
    """
    known = load_known()

    @lru_cache(_REMEMBERED)
    def numbers(state: State) -> Numbers:
        changed = changed_machines(state, offer)
        found, sure = _circuits(circuit_of(state))
        comparison = compare_found(found, sure, machines_of(state, offer), changed)
        closely, refusal = None, None
        (machine,) = (one for one in changed if one.name == state.machine)
        try:
            closely = Estimator(machine)(found)
        except ImpossibleError as error:
            refusal = str(error)
        return Numbers(comparison, closely, refusal, accuracy_of(state, known))

    return numbers


@lru_cache(_CIRCUITS)
def _circuits(asked: PredictedShape) -> tuple[CircuitProfile, CircuitProfile | str | None]:
    """A circuit, and the same without errors: what stays where only machines change."""
    found = find_circuit(asked)
    return found, sure_circuit(asked, found)


def full_report(state: State, offer: Offer) -> FullReport:
    """What ``fhecost report`` shows of a state, with the figures that were set.

    Raises:
        UsageError: what is picked is out of range.
        ImpossibleError: no machine can run it.
    """
    from fhecost.full_report import make_report

    return make_report(
        circuit_of(state), changed_machines(state, offer), hardware_path=offer.hardware_path
    )


def strongest_first(state: State, offer: Offer) -> list[str]:
    """The figures of the machine looked at closely that move the latency, the strongest first.

    Nothing where there is no such circuit, or it can't run it.
    """
    try:
        found, _ = _circuits(circuit_of(state))
        figures = sensitivity(found, offer.by_name[state.machine]).figures
    except FhecostError:
        return []
    return [one.figure for one in figures]
