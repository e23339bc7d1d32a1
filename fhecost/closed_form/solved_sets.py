"""Parameter sets for a plan, solved as Concrete's optimizer would instead of looked up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fhecost.circuits.profile import KeySwitchParameters, PbsParameters
from fhecost.closed_form.noise_constraints import Indices, circuit_needs
from fhecost.closed_form.optimizer import Problem, Solution, solve_all, solve_globally
from fhecost.closed_form.parameter_sets import ParameterSets
from fhecost.closed_form.partitions import Partitions
from fhecost.closed_form.plan import Plan
from fhecost.closed_form.search_space import Decompositions, search_space
from fhecost.closed_form.search_state import Choice, Switch
from fhecost.errors import ImpossibleError
from fhecost.heads.parameter_rules import UNRESTRICTED, Restriction


class SolvedSets(NamedTuple):
    """The sets of a circuit's partitions; how often the worst lookup errs, and any of all."""

    parameters: ParameterSets
    p_error: float
    global_p_error: float


class Wanted(NamedTuple):
    """A circuit, its partitions, and what is asked of their sets.

    That is how often a lookup may err, or how often any of the circuit may, and what they may be.
    """

    plan: Plan
    partitions: Partitions
    p_error: float | None = None
    global_p_error: float | None = None
    restriction: Restriction = UNRESTRICTED


def solved_sets(
    plan: Plan,
    partitions: Partitions,
    *,
    p_error: float | None = None,
    global_p_error: float | None = None,
    restriction: Restriction = UNRESTRICTED,
) -> SolvedSets:
    """The parameter sets that Concrete would give ``plan``.

    Args:
        plan: the circuit.
        partitions: its partitions.
        p_error: how often a lookup may err; or
        global_p_error: how often any lookup of the circuit may.
        restriction: what the sets may be.

    Raises:
        ImpossibleError: no parameters keep the noise that low.
    """
    wanted = Wanted(plan, partitions, p_error, global_p_error, restriction)
    (solved,) = all_solved_sets([wanted])
    if isinstance(solved, ImpossibleError):
        raise solved
    return solved


def all_solved_sets(wanted: Sequence[Wanted]) -> list[SolvedSets | ImpossibleError]:
    """The parameter sets that Concrete would give several circuits, or why there are none.

    Those for an error a lookup are searched side by side, which takes a fraction of the time.
    """
    needs = [circuit_needs(one.plan, one.partitions) for one in wanted]
    problems = [
        Problem(of_one, one.p_error, one.restriction)
        for one, of_one in zip(wanted, needs, strict=True)
        if one.p_error is not None
    ]
    of_lookups = iter(solve_all(problems))
    solved: list[SolvedSets | ImpossibleError] = []
    for one, of_one in zip(wanted, needs, strict=True):
        if one.p_error is not None:
            solution = next(of_lookups)
        elif one.global_p_error is not None:
            try:
                solution, _ = solve_globally(of_one, one.global_p_error, one.restriction)
            except ImpossibleError as error:
                solution = error
        else:
            raise TypeError("sets are solved for p_error or global_p_error")
        if isinstance(solution, ImpossibleError):
            solved.append(solution)
        else:
            parameters = _parameter_sets(one.partitions, solution)
            solved.append(SolvedSets(parameters, solution.p_error, solution.global_p_error))
    return solved


def _parameter_sets(partitions: Partitions, solution: Solution) -> ParameterSets:
    space, precisions = search_space(), partitions.precisions
    choices = solution.choices
    sets = [_pbs(choice) for choice in choices.partitions if choice is not None]

    def precisions_of(pair: Indices) -> tuple[int, int]:
        return precisions[pair[0]], precisions[pair[1]]

    return ParameterSets(
        sets=dict(zip(precisions, sets, strict=True)),
        key_switches={
            precisions_of((source, own)): _switch(
                switch,
                space.key_switches,
                sets[source].output_lwe_dimension,
                sets[own].lwe_dimension,
            )
            for (source, own), switch in choices.key_switches.items()
        },
        conversions={
            precisions_of((own, target)): None
            if sets[own].ring == sets[target].ring
            else _switch(
                switch,
                space.conversions,
                sets[own].output_lwe_dimension,
                sets[target].output_lwe_dimension,
            )
            for (own, target), switch in choices.conversions.items()
        },
        distance=0.0,
        solved_for=partitions.lookup_count,
        beyond=0.0,
        solved=True,
    )


def _pbs(choice: Choice) -> PbsParameters:
    space = search_space()
    # What the optimizer finds is valid.
    return PbsParameters.model_construct(
        lwe_dimension=int(space.lwe[choice.lwe]),
        glwe_dimension=int(space.k[choice.ring]),
        polynomial_size=int(space.size[choice.ring]),
        level_count=int(space.bootstraps.levels[choice.ring, choice.level]),
        base_log=int(space.bootstraps.base_log[choice.ring, choice.level]),
    )


def _switch(
    switch: Switch, table: Decompositions, from_dimension: int, to_dimension: int
) -> KeySwitchParameters:
    return KeySwitchParameters(
        input_lwe_dimension=from_dimension,
        output_lwe_dimension=to_dimension,
        level_count=int(table.levels.ravel()[switch.place]),
        base_log=int(table.base_log.ravel()[switch.place]),
    )
