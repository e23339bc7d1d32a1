"""What calls of a module's functions cost: each function's estimate, as often as it is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from fhecost.circuits.any_error import error_of_any
from fhecost.circuits.module import ModuleProfile
from fhecost.errors import FieldError, ImpossibleError
from fhecost.frozen import Frozen
from fhecost.hardware.estimate import (
    SURE,
    CircuitSummary,
    Estimate,
    Ranged,
    Refusal,
    UnsureCircuit,
)
from fhecost.hardware.estimator import Estimator, summarize
from fhecost.hardware.profile import HardwareProfile
from fhecost.hardware.summary import as_html, as_lines
from fhecost.hardware.unsure import NO_PLAN, UNSURE
from fhecost.units import duration
from fhecost.version import VERSION


class FunctionCalls(Frozen):
    """One function of a module, and how often it is called."""

    function: str
    calls: int
    circuit: CircuitSummary


class CallsEstimate(Ranged):
    """All calls on one machine, one after the other.

    ``by_function`` has the estimate of one call of each function; these times how often it is
    called add up to the seconds here, at both ends of the range too.
    """

    hardware: str
    title: str
    latency_s: float
    low_s: float
    high_s: float
    by_function: Mapping[str, Estimate]


class CallsReport(Frozen):
    """What ``fhecost estimate --calls`` prints: the functions, and all calls on each machine.

    ``global_p_error`` is the probability that a lookup of any call goes wrong; ``unsure`` is there
    where that is likely.
    """

    schema_version: Literal[1] = 1
    fhecost_version: str
    module: str
    source: str
    bsk_bytes: int
    ksk_bytes: int
    global_p_error: float
    unsure: UnsureCircuit | None = None
    functions: tuple[FunctionCalls, ...]
    estimates: tuple[CallsEstimate, ...]
    refusals: tuple[Refusal, ...] = ()

    @property
    def pbs_count(self) -> int:
        """PBS of all calls."""
        return sum(one.calls * one.circuit.pbs_count for one in self.functions)

    def __str__(self) -> str:
        rows = [[name, time, f"({low} to {high})"] for name, time, low, high in self._rows]
        lines = as_lines(self._title, rows)
        return "\n".join([lines, *(f"  {no.hardware}: {no.reason}" for no in self.refusals)])

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        refused = [[no.hardware, no.reason, "", ""] for no in self.refusals]
        headings = ("machine", "latency of all calls", "from", "to")
        return as_html(self._title, headings, [*self._rows, *refused])

    @property
    def _title(self) -> str:
        calls = ", ".join(f"{one.calls:,} times {one.function}" for one in self.functions)
        return f"{self.module}: {calls}; {self.pbs_count:,} PBS"

    @property
    def _rows(self) -> list[list[str]]:
        return [
            [made.hardware, *map(duration, (made.latency_s, made.low_s, made.high_s))]
            for made in self.estimates
        ]


def estimate_calls_on(
    module: ModuleProfile,
    calls: Mapping[str, int],
    hardware: Sequence[HardwareProfile],
    *,
    skip_impossible: bool = False,
) -> CallsReport:
    """Estimates of calls on several machines.

    Calls wait for each other, as those of a loop that hands each result to the next do: what runs
    at the same time on several machines is sooner done.

    Args:
        module: whose functions are called.
        calls: how often each function is called, by its name; at least once.
        hardware: where they run.
        skip_impossible: a machine that can't run one of the functions becomes a refusal.

    Raises:
        UsageError: there is no such function, or a number below 1.
        ImpossibleError: a machine can't run a function and ``skip_impossible`` is false, or no
            machine is left.
    """
    if not calls:
        raise FieldError("calls", f"says of no function of {', '.join(module.functions)} how often")
    for name, count in calls.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise FieldError("calls", "must be a whole number from 1 on", f"{name}={count}")
        try:
            module.function(name)
        except FieldError as error:
            raise FieldError("calls", error.message, name) from error
    estimates: list[CallsEstimate] = []
    refusals: list[Refusal] = []
    for machine in hardware:
        try:
            estimates.append(_on_one(module, calls, machine))
        except ImpossibleError as error:
            if not skip_impossible:
                raise
            reason = str(error).removeprefix(f"{machine.name}: ")
            refusals.append(Refusal(hardware=machine.name, reason=reason))
    if not estimates:
        reasons = "; ".join(f"{refusal.hardware}: {refusal.reason}" for refusal in refusals)
        raise ImpossibleError(f"no machine can run these calls: {reasons}")
    any_wrong = _any_wrong(module, calls)
    return CallsReport(
        fhecost_version=VERSION,
        global_p_error=any_wrong,
        unsure=(
            UnsureCircuit(
                global_p_error=any_wrong, sure_p_error=SURE, on_purpose=False, reason=NO_PLAN
            )
            if any_wrong > UNSURE
            else None
        ),
        module=module.name,
        source=module.source,
        bsk_bytes=module.bsk_bytes,
        ksk_bytes=module.ksk_bytes,
        functions=tuple(
            FunctionCalls(function=name, calls=count, circuit=summarize(module.function(name)))
            for name, count in calls.items()
        ),
        estimates=tuple(estimates),
        refusals=tuple(refusals),
    )


def _any_wrong(module: ModuleProfile, calls: Mapping[str, int]) -> float:
    """The probability that some lookup of all calls goes wrong."""
    return error_of_any(
        (module.function(name).global_p_error, count) for name, count in calls.items()
    )


def _on_one(
    module: ModuleProfile, calls: Mapping[str, int], machine: HardwareProfile
) -> CallsEstimate:
    estimator = Estimator(machine)
    made = {name: estimator(module.function(name)) for name in calls}
    return CallsEstimate(
        hardware=machine.name,
        title=machine.title,
        latency_s=sum(count * made[name].latency_s for name, count in calls.items()),
        low_s=sum(count * made[name].low_s for name, count in calls.items()),
        high_s=sum(count * made[name].high_s for name, count in calls.items()),
        by_function=made,
    )
