"""From a circuit profile and machines to the report of estimates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pydantic import ValidationError

from fhecost.circuits.profile import LINEAR_OPERATIONS, CircuitProfile
from fhecost.circuits.work import (
    compressed_input_bytes,
    compressed_key_bytes,
    widest_stage_bytes,
)
from fhecost.circuits.workload import Workload
from fhecost.errors import ImpossibleError, all_validation_errors, first_of
from fhecost.hardware.bootstraps import algorithm_of
from fhecost.hardware.estimate import (
    CircuitSummary,
    Estimate,
    EstimateReport,
    Operation,
    Preparation,
    Refusal,
)
from fhecost.hardware.latency_model import Case, by_operation
from fhecost.hardware.pbs_choice import PbsChoice, kinds_asked, with_pbs
from fhecost.hardware.profile import HardwareProfile
from fhecost.hardware.registry import latency_model_named
from fhecost.hardware.token_costs import token_costs
from fhecost.hardware.unsure import unsure_circuit
from fhecost.units import share
from fhecost.version import VERSION

REMEMBERED = 256
"""Estimates that an estimator keeps: enough for a report, and no burden in a search of many."""


class Estimator:
    """Estimates on one machine, whose figures are read and checked once for all circuits.

    A circuit is estimated once: the last ``REMEMBERED`` estimates stay, and so does what was
    ``known`` before.

    Args:
        hardware: the machine.
        known: estimates made before, of any circuits on any machines.

    Raises:
        UsageError: the hardware profile is incomplete.
    """

    def __init__(self, hardware: HardwareProfile, known: Iterable[Estimate] = ()) -> None:
        self._hardware = hardware
        model = latency_model_named(hardware.latency_model)
        self._figures = model.read_figures(hardware)
        self._model = model.of_kind(algorithm_of(hardware))
        self._hash = hardware.hash
        self._made = {made.circuit_hash: made for made in known if made.hardware_hash == self._hash}

    def __call__(self, circuit: CircuitProfile) -> Estimate:
        """The estimate for ``circuit``.

        Raises:
            ImpossibleError: the machine can't run it.
        """
        if circuit.hash not in self._made:
            made = self._estimated(circuit)
            if len(self._made) >= REMEMBERED:
                del self._made[next(iter(self._made))]
            self._made[circuit.hash] = made
        return self._made[circuit.hash]

    def _estimated(self, circuit: CircuitProfile) -> Estimate:
        """An estimate exists if it is finite and its range in order, or not at all."""
        try:
            made = self._model.estimate(circuit, self._hardware, self._figures, self._hash)
            return made if circuit.cost_error is None else _widened(made, circuit.cost_error)
        except ArithmeticError as error:
            raise ImpossibleError(f"{self._hardware.name}: no finite estimate: {error}") from error
        except ValidationError as error:
            fault = first_of(all_validation_errors(error.errors()))
            raise ImpossibleError(f"{self._hardware.name}: no finite estimate: {fault}") from error

    def preparations(self, circuit: CircuitProfile) -> Mapping[Case, Preparation] | None:
        """What comes before warm runs of ``circuit``, likely and at both ends; None if unknown.

        Raises:
            ImpossibleError: the machine can't run it.
        """
        made = self(circuit)
        if made.preparation is None:
            return None
        warm_s = {Case.LIKELY: made.latency_s, Case.FAST: made.low_s, Case.SLOW: made.high_s}
        seen = self._model.pbs.seen(circuit)
        found = {
            case: self._model.preparation(seen, self._figures, seconds, case)
            for case, seconds in warm_s.items()
        }
        known = {case: preparation for case, preparation in found.items() if preparation}
        return known if len(known) == len(found) else None

    def seconds(self, work: Workload) -> Mapping[Operation, float | None]:
        """Likely seconds by operation, of a circuit or of operations that are none.

        None is an operation that the machine's latency model leaves out.

        Raises:
            ImpossibleError: the machine can't run it.
        """
        costs = self._model.likely_costs(work, self._hardware, self._figures)
        return by_operation(costs, self._model.leaves_out(self._figures))


class ChosenEstimator:
    """Estimates on one machine with the PBS that was asked for.

    Args:
        hardware: the machine.
        pbs: the kind; ``best`` takes for each circuit the fastest of those that the machine has,
            and None the one that its own figures are for.
        known: estimates made before, of any circuits on any machines.

    Raises:
        UsageError: there is no such kind, or the hardware profile is incomplete.
    """

    def __init__(
        self,
        hardware: HardwareProfile,
        pbs: PbsChoice | None = None,
        known: Iterable[Estimate] = (),
    ) -> None:
        made = tuple(known)
        self._estimators: list[Estimator] = []
        self._refusal: ImpossibleError | None = None
        try:
            for kind in kinds_asked(hardware, pbs):
                self._estimators.append(Estimator(with_pbs(hardware, kind), made))
        except ImpossibleError as error:
            # A machine that can't do it is refused when it is asked for an estimate, as any other.
            self._refusal = error

    def __call__(self, circuit: CircuitProfile) -> Estimate:
        """The estimate for ``circuit``.

        Raises:
            ImpossibleError: the machine can't run it with such PBS.
        """
        if self._refusal is not None:
            raise self._refusal
        found, refusals = [], []
        for estimator in self._estimators:
            try:
                found.append(estimator(circuit))
            except ImpossibleError as error:
                refusals.append(error)
        if not found:
            raise refusals[0]
        return min(found, key=lambda made: made.latency_s)


def estimate(
    circuit: CircuitProfile, hardware: HardwareProfile, *, pbs: PbsChoice | None = None
) -> Estimate:
    """The estimate for one circuit on one machine.

    Args:
        circuit: what runs.
        hardware: where it runs.
        pbs: the kind of PBS, or ``best``; that of the machine's own figures when None.

    Raises:
        ImpossibleError: the machine can't run the circuit, or not with such PBS.
        UsageError: the hardware profile is incomplete, or there is no such kind.
    """
    return ChosenEstimator(hardware, pbs)(circuit)


def _widened(made: Estimate, cost_error: float) -> Estimate:
    """An estimate whose range also holds what the circuit's own cost may be off."""
    off = share(cost_error) if cost_error < 1 else f"a factor of {1 + cost_error:.1f}"
    note = "the circuit is predicted, not compiled"
    if cost_error:
        note += f": its cost may be off by {off}"
    return made.changed(
        low_s=made.low_s / (1 + cost_error),
        high_s=made.high_s * (1 + cost_error),
        assumptions=(*made.assumptions, note),
    )


def estimate_all(
    circuit: CircuitProfile,
    hardware: Sequence[HardwareProfile],
    *,
    skip_impossible: bool = False,
    least: int = 1,
    sure: CircuitProfile | str | None = None,
    pbs: PbsChoice | None = None,
) -> EstimateReport:
    """Estimates for several machines.

    Args:
        circuit: what runs.
        hardware: where it runs.
        skip_impossible: a machine that can't run the circuit becomes a refusal in the report.
        least: so many machines must be left.
        sure: where some lookup is likely to go wrong, the same circuit with parameter sets that
            make it unlikely, or why there is none; see :mod:`fhecost.hardware.unsure`.
        pbs: the kind of PBS, or ``best``; that of a machine's own figures when None.

    Raises:
        ImpossibleError: a machine can't run the circuit and ``skip_impossible`` is false, or too
            few machines are left.
    """
    estimates: list[Estimate] = []
    refusals: list[Refusal] = []
    estimators = {profile.name: ChosenEstimator(profile, pbs) for profile in hardware}
    for profile in hardware:
        try:
            estimates.append(estimators[profile.name](circuit))
        except ImpossibleError as error:
            if not skip_impossible:
                raise
            reason = str(error).removeprefix(f"{profile.name}: ")
            refusals.append(Refusal(hardware=profile.name, reason=reason))
    if len(estimates) < least:
        reasons = "; ".join(f"{refusal.hardware}: {refusal.reason}" for refusal in refusals)
        raise ImpossibleError(f"no machine can run the circuit: {reasons}")
    return EstimateReport(
        fhecost_version=VERSION,
        circuit=summarize(circuit),
        estimates=tuple(estimates),
        refusals=tuple(refusals),
        unsure=unsure_circuit(circuit, estimators, sure),
        pbs=pbs,
        token_costs=token_costs(circuit.description, estimates),
    )


def summarize(circuit: CircuitProfile) -> CircuitSummary:
    """What a report says of the circuit."""
    return CircuitSummary.like(
        circuit,
        linear_counts={name: circuit.linear_count(name) for name in LINEAR_OPERATIONS},
        widest_stage_bytes=widest_stage_bytes(circuit.stages),
        compressed_key_bytes=compressed_key_bytes(
            circuit.stages, circuit.bsk_bytes, circuit.ksk_bytes
        ),
        compressed_input_bytes=compressed_input_bytes(circuit.stages, circuit.input_bytes),
    )
