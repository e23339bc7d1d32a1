"""The parameter sets that Concrete's optimizer gives a circuit.

The search is that of zama-ai/concrete@ebef4fb61 (``concrete-optimizer/src/optimization/dag/
multi_parameters/optimize``): partition by partition, from the largest precision down, the ring, the
LWE dimension and the decompositions of least cost, as long as no lookup errs more often than
``p_error``; again until nothing changes. It ends where no partition alone can do better, as the
original does, not at the least cost that there is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from fhecost.closed_form.noise import allowed_variance, deviations, p_error_of
from fhecost.closed_form.noise_constraints import OUTPUT, CircuitNeeds
from fhecost.closed_form.parameter_search import improved
from fhecost.closed_form.search_space import SearchSpace, search_space
from fhecost.closed_form.search_state import Choices, SearchedCircuit
from fhecost.errors import ImpossibleError
from fhecost.heads.parameter_rules import UNRESTRICTED, Restriction

ROUNDS = 11
"""How often the optimizer goes through all partitions at most."""

TRIES = 10
"""How many errors a lookup the compiler tries at most to reach one for the whole circuit."""

_INFEASIBLE = (
    "no parameters keep the noise of some lookup low enough: use fewer bits or a larger p_error"
)


@dataclass(frozen=True, eq=False)
class Solution:
    """What was chosen; how often the worst lookup errs then, and any lookup of the circuit."""

    choices: Choices
    p_error: float
    global_p_error: float


def solve(
    needs: CircuitNeeds,
    p_error: float,
    restriction: Restriction = UNRESTRICTED,
    security: int = 128,
) -> Solution:
    """The solution for a circuit with at most ``p_error`` for each lookup, within ``restriction``.

    Raises:
        ImpossibleError: no parameters do.
    """
    kappa, space = deviations(p_error), search_space(security, restriction)
    times = math.gcd(*needs.bootstraps, *needs.key_switches.values(), *needs.conversions.values())
    choices = _searched(_Search(needs.divided(times), kappa, restriction, security))
    return _with_errors(replace(choices, cost=choices.cost * times), needs, space, kappa)


@dataclass(frozen=True)
class _Search:
    """What a search depends on: equal ones, such as those of equal heads, have one result."""

    needs: CircuitNeeds
    kappa: float
    restriction: Restriction
    security: int


@lru_cache(maxsize=4096)
def _searched(search: _Search) -> Choices:
    circuit = SearchedCircuit(
        search.needs, search_space(search.security, search.restriction), search.kappa
    )
    count = circuit.count
    now = best = before = Choices((None,) * count)
    # Partitions that can't be improved as things are.
    settled: set[int] = set()
    for _ in range(ROUNDS):
        for partition in reversed(range(count)):
            if partition in settled:
                continue
            found = improved(circuit, now, partition, best.cost)
            if found is None:
                if now.partitions == (None,) * count:
                    raise ImpossibleError(_INFEASIBLE)
                settled.add(partition)
                continue
            now, settled = found, set()
            if now.complete:
                best = now
        if count == 1 or (now.partitions, now.cost) == (before.partitions, before.cost):
            break
        before = now
    if not best.complete:
        raise ImpossibleError(_INFEASIBLE)
    return best


def solve_globally(
    needs: CircuitNeeds,
    global_p_error: float,
    restriction: Restriction = UNRESTRICTED,
    security: int = 128,
) -> tuple[Solution, float]:
    """The solution where any lookup errs with ``global_p_error``, and the p_error it comes from.

    As the compiler does (``lib/Support/V0Parameters.cpp``): what the worst lookup of a solution has
    to do with its whole circuit tells which p_error to try next.
    """
    p_error = global_p_error
    solution = solve(needs, p_error, restriction, security)
    for _ in range(TRIES - 1):
        if solution.global_p_error <= global_p_error:
            break
        p_error = _next_p_error(p_error, solution, global_p_error)
        solution = solve(needs, p_error, restriction, security)
    return solution, p_error


def _next_p_error(p_error: float, solution: Solution, global_p_error: float) -> float:
    """What to try after ``p_error`` gave ``solution``, which errs too often."""
    if solution.global_p_error < 1:
        share = math.log1p(-solution.p_error) / math.log1p(-solution.global_p_error)
        tried = -math.expm1(math.log1p(-global_p_error) * share)
        if tried > 0:
            return tried
    # So far off that only a step in the right direction is possible.
    return p_error * (solution.p_error / solution.global_p_error)


def _with_errors(
    choices: Choices, needs: CircuitNeeds, space: SearchSpace, kappa: float
) -> Solution:
    """``choices`` with how often lookups err, at ``kappa`` deviations of the noise allowed."""
    chosen = [one for one in choices.partitions if one is not None]
    count = len(chosen)
    variance = np.zeros(3 * count)
    for of, one in enumerate(chosen):
        variance[of] = space.lwe[one.lwe] * space.bootstraps.noise[one.ring, one.level]
        variance[count + of] = space.fresh[one.ring]
    worst = right = 0.0
    for constraint in needs.constraints:
        variance[2 * count :] = 0.0
        for (own, target), conversion in choices.conversions.items():
            if target == constraint.source:
                variance[2 * count + own] = conversion.variance
        added = 0.0
        if constraint.reader != OUTPUT:
            reader = chosen[constraint.reader]
            added = choices.key_switches[constraint.source, constraint.reader].variance
            added += space.modulus_switch[reader.ring, reader.lwe]
        relative = constraint.noise @ variance + added
        relative /= allowed_variance(constraint.precision, kappa)
        worst = max(worst, float(relative.max()))
        for share, times in zip(relative, constraint.counts, strict=True):
            right += times * math.log1p(-p_error_of(float(share), kappa))
    return Solution(choices, p_error_of(worst, kappa), -math.expm1(right))
