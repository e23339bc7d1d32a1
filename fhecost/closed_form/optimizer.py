"""The parameter sets that Concrete's optimizer gives a circuit.

The search is that of zama-ai/concrete@ebef4fb61 (``concrete-optimizer/src/optimization/dag/
multi_parameters/optimize``): partition by partition, from the largest precision down, the ring, the
LWE dimension and the decompositions of least cost, as long as no lookup errs more often than
``p_error``; again until nothing changes. It ends where no partition alone can do better, as the
original does, not at the least cost that there is.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from fhecost.closed_form.noise import allowed_variance, deviations, p_error_of
from fhecost.closed_form.noise_constraints import OUTPUT, CircuitNeeds
from fhecost.closed_form.search_space import SearchSpace, common_space, search_space
from fhecost.closed_form.search_state import Choices, SearchedCircuit, Step
from fhecost.closed_form.stacked_circuits import stacked
from fhecost.closed_form.steps import improved
from fhecost.errors import ImpossibleError
from fhecost.heads.parameter_rules import UNRESTRICTED, Restriction

ROUNDS = 11
"""How often the optimizer goes through all partitions at most."""

TRIES = 10
"""How many errors a lookup the compiler tries at most to reach one for the whole circuit."""

AT_ONCE = 128
"""Circuits that are searched side by side."""

REMEMBERED = 4096
"""Searches that are known after they were made."""

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
    (solution,) = solve_all([Problem(needs, p_error, restriction, security)])
    if isinstance(solution, ImpossibleError):
        raise solution
    return solution


class Problem(NamedTuple):
    """A circuit with at most ``p_error`` for each lookup, within ``restriction``."""

    needs: CircuitNeeds
    p_error: float
    restriction: Restriction = UNRESTRICTED
    security: int = 128


def solve_all(problems: Sequence[Problem]) -> list[Solution | ImpossibleError]:
    """The solutions of several circuits, or that no parameters do.

    Many at once take a fraction of the time each.
    """
    searches = []
    for needs, p_error, restriction, security in problems:
        counts = *needs.bootstraps, *needs.key_switches.values(), *needs.conversions.values()
        smallest = needs.divided(math.gcd(*counts))
        searches.append(_Search(smallest, deviations(p_error), restriction, security))
    solutions: list[Solution | ImpossibleError] = []
    for problem, search, choices in zip(problems, searches, _searched(searches), strict=True):
        if choices is None:
            solutions.append(ImpossibleError(_INFEASIBLE))
            continue
        needs, space = problem.needs, search_space(search.security, search.restriction)
        times = needs.bootstraps[0] // search.needs.bootstraps[0]
        choices = replace(choices, cost=choices.cost * times)
        solutions.append(_with_errors(choices, needs, space, search.kappa))
    return solutions


@dataclass(frozen=True)
class _Search:
    """What a search depends on: equal ones, such as those of equal heads, have one result."""

    needs: CircuitNeeds
    kappa: float
    restriction: Restriction
    security: int


_known: dict[_Search, Choices | None] = {}


def _searched(searches: Sequence[_Search]) -> list[Choices | None]:
    """What each search ends with; the last ``REMEMBERED`` of them are known after that."""
    of_security: dict[int, list[_Search]] = defaultdict(list)
    found = {search: _known[search] for search in searches if search in _known}
    for search in dict.fromkeys(searches):
        if search not in found:
            of_security[search.security].append(search)
    for security, asked in of_security.items():
        for start in range(0, len(asked), AT_ONCE):
            some = asked[start : start + AT_ONCE]
            restrictions = tuple(dict.fromkeys(search.restriction for search in some))
            space, kinds = common_space(security, restrictions)
            allowed = dict(zip(restrictions, kinds, strict=True))
            circuits = [
                SearchedCircuit(one.needs, one.kappa, allowed[one.restriction]) for one in some
            ]
            found.update(zip(some, _side_by_side(circuits, space), strict=True))
    _known.update(found)
    for search in list(_known)[: max(0, len(_known) - REMEMBERED)]:
        del _known[search]
    return [found[search] for search in searches]


def _side_by_side(circuits: Sequence[SearchedCircuit], space: SearchSpace) -> list[Choices | None]:
    """Search for all ``circuits``, a step of each at once."""
    of, of_partitions = stacked(circuits)
    searches = [_search(circuit) for circuit in circuits]
    ended: list[Choices | None] = [None] * len(circuits)
    waiting = {at: next(search) for at, search in enumerate(searches)}
    while waiting:
        which, steps = np.array(list(waiting)), list(waiting.values())
        partitions = np.array([step.partition for step in steps])
        own = of_partitions.taken(which, partitions)
        of_steps = of if len(steps) == len(circuits) else of.taken(which)
        answers = improved(steps, space, of_steps, own)
        for at, answer in zip(list(waiting), answers, strict=True):
            try:
                waiting[at] = searches[at].send(answer)
            except StopIteration as end:
                ended[at] = end.value
                del waiting[at]
    return ended


def _search(circuit: SearchedCircuit) -> Generator[Step, Choices | None, Choices | None]:
    """Ask for one step after the other; None at the end is that no parameters do."""
    count = circuit.count
    now = best = before = Choices((None,) * count)
    # Partitions that can't be improved as things are.
    settled: set[int] = set()
    for _ in range(ROUNDS):
        for partition in reversed(range(count)):
            if partition in settled:
                continue
            found = yield Step(circuit, now, partition, best.cost)
            if found is None:
                if now.partitions == (None,) * count:
                    return None
                settled.add(partition)
                continue
            now, settled = found, set()
            if now.complete:
                best = now
        if count == 1 or (now.partitions, now.cost) == (before.partitions, before.cost):
            break
        before = now
    return best if best.complete else None


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
