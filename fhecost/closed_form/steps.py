"""Steps of the optimizer, several at once: a better choice for one partition of a circuit each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fhecost.closed_form.candidate_costs import CandidateCosts
from fhecost.closed_form.dearer_conversions import limited, looked_later
from fhecost.closed_form.found_candidates import Chosen
from fhecost.closed_form.kind_terms import KindTerms
from fhecost.closed_form.parameter_search import Search
from fhecost.closed_form.search_space import SearchSpace
from fhecost.closed_form.search_state import Choice, Choices, Step
from fhecost.closed_form.stacked_circuits import Stacked, StackedPartitions, stacked


def improved(
    steps: Sequence[Step], space: SearchSpace, of: Stacked, own: StackedPartitions
) -> list[Choices | None]:
    """What is chosen after each of ``steps``; None where nothing better is there.

    ``of`` and ``own`` are the arrays of their circuits and partitions.
    """
    costs = CandidateCosts(KindTerms(steps, space, of, own))
    found = Search(costs, np.array([step.most for step in steps])).narrow()

    def alone(at: int) -> CandidateCosts:
        # Of a single circuit whose arrays aren't filled up, they are known.
        filled = len(steps) > 1 or costs.pairs > len(steps[at].circuit.pairs)
        return _alone(steps[at], space) if filled else costs

    chosen: dict[int, Chosen | None] = dict(found.chosen())
    for at, (seen, place) in found.best.items():
        if at not in chosen:
            candidate = found.seen[seen][0].taken([place])
            chosen[at] = limited(
                alone(at),
                candidate._replace(step=np.zeros(1, dtype=int)),
                steps[at].most,
                float(found.price[at]),
            )
    for at in found.others_may_do():
        single = alone(at)
        chosen[at] = looked_later(single, Search(single, np.array([steps[at].most])).wide())
    return [
        _after(step, one, space) if (one := chosen.get(at)) is not None else None
        for at, step in enumerate(steps)
    ]


def _alone(step: Step, space: SearchSpace) -> CandidateCosts:
    """The candidates of a single step."""
    of, own = stacked([step.circuit])
    partition = np.array([step.partition])
    return CandidateCosts(KindTerms([step], space, of, own.taken(np.array([0]), partition)))


def _after(step: Step, chosen: Chosen, space: SearchSpace) -> Choices:
    """What is chosen after ``step``."""
    circuit, now, partition = step.circuit, step.now, step.partition
    kinds = space.kinds
    choice = Choice(int(kinds.ring[chosen.kind]), chosen.lwe, int(kinds.level[chosen.kind]))
    partitions = (*now.partitions[:partition], choice, *now.partitions[partition + 1 :])
    rings = [one and one.ring for one in partitions]
    # What was chosen for other rings holds no more.
    conversions = {
        (own, target): switch
        for (own, target), switch in {**now.conversions, **chosen.conversions}.items()
        if switch.rings == (rings[own], rings[target])
    }
    complete = None not in partitions and len(conversions) == len(circuit.conversions)
    return Choices(partitions, chosen.key_switches, conversions, chosen.price, complete)
