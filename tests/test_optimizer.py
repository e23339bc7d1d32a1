"""The optimizer without Concrete: held to its own tables, and to circuits that it solved."""

import gzip
import json
import math
import re
import sys

import numpy as np
import pytest

from fhecost.circuits.profile import CircuitProfile
from fhecost.closed_form import optimizer
from fhecost.closed_form import steps as steps_of_optimizer
from fhecost.closed_form.candidate_costs import Batch, CandidateCosts
from fhecost.closed_form.circuit import circuit_profile
from fhecost.closed_form.kind_terms import KindTerms
from fhecost.closed_form.noise import allowed_variance, deviations, p_error_of
from fhecost.closed_form.noise_constraints import circuit_needs
from fhecost.closed_form.optimizer import Problem, solve, solve_all, solve_globally
from fhecost.closed_form.partitions import partition
from fhecost.closed_form.scopes import ShapeRequest, plan_of_shape
from fhecost.closed_form.search_space import search_space
from fhecost.closed_form.search_state import Choice
from fhecost.closed_form.solved_sets import solved_sets
from fhecost.closed_form.stacked_circuits import stacked
from fhecost.errors import ImpossibleError
from fhecost.heads.head_quantization import HeadSetting
from fhecost.heads.parameter_rules import UNRESTRICTED, Restriction
from fhecost.heads.saved_setting import SavedSetting
from fhecost.models.shape import EMBEDDED, find_shape
from fhecost.search.restrictions import RESTRICTIONS
from tests.conftest import ROOT

FOLDER = ROOT / "experiments" / "closed_form"
GLOBALLY = 1e-5


@pytest.fixture(scope="module")
def plan_of_case():
    """What draws the compiled heads again."""
    sys.path.insert(0, str(FOLDER))
    from make_table import plan_of_case

    yield plan_of_case
    sys.path.remove(str(FOLDER))


def compiled(name):
    return json.loads(gzip.decompress((FOLDER / f"{name}.json.gz").read_bytes()))["compiled"]


def best_single_lookup(space, bits, log2_norm2, p_error):
    """The cheapest parameters of a lookup with a sum of 4,096 before it, as a table's row."""
    n = space.lwe[space.lwe < 1200]
    shape = len(space.rings), len(n)
    ring, level = space.rings[:, None], space.levels[:, None]
    variance = 4.0**log2_norm2 * n * space.bootstraps.noise[ring, level]
    left = allowed_variance(bits, deviations(p_error)) - variance
    left -= space.modulus_switch[ring, n - n[0]]
    dimension, table = space.dimension[ring], space.key_switches
    switch = table.cheapest(np.broadcast_to(n - n[0], shape), left / dimension)
    cost = 4096 * dimension + n * space.bootstraps.cost[ring, level]
    cost = cost + dimension * table.cost.ravel()[switch] + table.bias[n - n[0]]
    row, column = np.unravel_index(cost.argmin(), shape)
    ring, level, at = space.rings[row], space.levels[row], switch[row, column]
    return {
        "k": space.k[ring],
        "N": space.size[ring],
        "n": n[column],
        "pbs_level": space.bootstraps.levels[ring, level],
        "pbs_base_log": space.bootstraps.base_log[ring, level],
        "ks_level": table.levels.ravel()[at],
        "ks_base_log": table.base_log.ravel()[at],
        "cost_2pow20": int(cost[row, column] / 2**20),
    }


@pytest.mark.parametrize("security", [128, 132])
def test_every_row_of_the_optimizers_tables_is_found_again(security):
    tables = json.loads((ROOT / "tests" / "data" / "optimizer_v0_parameters.json").read_text())
    rows = [dict(zip(tables["columns"], values, strict=True)) for values in tables["rows"]]
    rows = [row for row in rows if row["security"] == security]
    assert len(rows) == 235
    space = search_space(security)
    for row in rows:
        found = best_single_lookup(space, row["bits"], row["log2_norm2"], 1 - 0.999_936_657_516)
        assert found == {name: row[name] for name in found}, row


def uses(profile):
    """All that depends on parameter sets, by stage."""
    return {
        stage.name: (
            {use.parameters: use.count for use in stage.pbs},
            {use.parameters: use.count for use in stage.key_switches},
            {use.lwe_dimension for use in stage.linear},
        )
        for stage in profile.stages
    }


def test_circuits_compiled_with_an_error_a_lookup_get_their_very_sets(plan_of_case):
    entries = compiled("p_errors")
    assert {entry["wanted_p_error"] for entry in entries} == {1e-2, 1e-3, 1e-4}
    assert len(entries) >= 21
    for entry in entries:
        expected = CircuitProfile.model_validate(entry["profile"])
        plan = plan_of_case(entry["case"])
        partitions = partition(plan)
        solved = solved_sets(plan, partitions, p_error=entry["wanted_p_error"])
        profile = circuit_profile(plan, partitions, solved.parameters, name="solved")
        assert uses(profile) == uses(expected), entry["case"]
        assert profile.complexity == pytest.approx(expected.complexity, rel=1e-12)
        assert solved.p_error == pytest.approx(expected.p_error, rel=1e-9)
        assert solved.global_p_error == pytest.approx(expected.global_p_error, rel=1e-9)


def check_default_circuits(plan_of_case, entries):
    errors = []
    for entry in entries:
        plan = plan_of_case(entry["case"])
        solution, _ = solve_globally(circuit_needs(plan, partition(plan)), GLOBALLY)
        assert solution.global_p_error <= GLOBALLY
        errors.append(abs(solution.choices.cost / entry["profile"]["complexity"] - 1))
    assert max(errors) < 0.15
    assert np.mean(np.array(errors) < 1e-9) > 0.95


def test_circuits_compiled_with_an_error_in_all_cost_the_same(plan_of_case):
    check_default_circuits(plan_of_case, compiled("compiled")[::25])


@pytest.mark.slow
def test_all_circuits_compiled_with_an_error_in_all_cost_the_same(plan_of_case):
    check_default_circuits(plan_of_case, compiled("compiled"))


@pytest.mark.parametrize("p_error", [1e-2, 1e-5, 1e-12, 2.0**-64])
def test_the_allowed_variance_gives_back_its_error(p_error):
    kappa = deviations(p_error)
    assert p_error_of(1.0, kappa) == pytest.approx(p_error, rel=1e-6)
    assert math.sqrt(allowed_variance(3, kappa)) * kappa == pytest.approx(2.0**-5)


def needs_of_setting(**setting):
    """What a fast head of the embedded model's shape asks for at 6 tokens."""
    saved = SavedSetting(settings=(HeadSetting(**setting, exact=False),))
    request = ShapeRequest(find_shape(EMBEDDED), "head", 6)
    plan = plan_of_shape(request, saved.state(request.stated))
    return circuit_needs(plan, partition(plan))


# Of four and five partitions; looking at each eighth n at first misses the best of some step.
SETTINGS = {
    1e-4: {
        "input_bits": 4, "score_bits": 5, "value_bits": 2, "exponential_bits": 4, "kept_bits": 4,
        "kept_score_bits": 7, "product_bits": 10, "score_rank": 32, "value_rank": 2,
        "score_sum_bits": 4, "value_shift": 0,
    },
    1e-2: {
        "input_bits": 5, "score_bits": 2, "value_bits": 6, "exponential_bits": 6, "kept_bits": 3,
        "kept_score_bits": 5, "product_bits": 9, "score_rank": 32, "value_rank": 18,
        "score_sum_bits": 5, "value_shift": 0,
    },
}  # fmt: skip


def least_of_all(step, space):
    """What the cheapest of all candidates for ``step`` costs, and which it is."""
    of, own = stacked([step.circuit])
    terms = KindTerms([step], space, of, own.taken(np.array([0]), np.array([step.partition])))
    costs, lwe = CandidateCosts(terms), np.arange(len(space.lwe))
    least = math.inf, Choice(0, 0, 0)
    for kind, (ring, level) in enumerate(zip(space.rings, space.levels, strict=True)):
        batch = Batch(np.zeros_like(lwe), np.full_like(lwe, kind), lwe)
        cost = costs.first_feasible(batch).cost
        at = int(cost.argmin())
        least = min(least, (float(cost[at]), Choice(int(ring), at, int(level))))
    return least


@pytest.mark.parametrize("p_error", SETTINGS)
def test_a_step_finds_the_least_of_all_candidates(p_error, monkeypatch):
    """Steps with some partitions chosen, and one with all."""
    taken = []

    def improved(steps, *others):
        found = steps_of_optimizer.improved(steps, *others)
        taken.extend(zip(steps, found, strict=True))
        return found

    monkeypatch.setattr(optimizer, "improved", improved)
    monkeypatch.setattr(optimizer, "_known", {})
    solve(needs_of_setting(**SETTINGS[p_error]), p_error)
    space = search_space()
    found = [(step, after) for step, after in taken if after is not None]
    assert len(found) > 6
    for step, after in (*found[2:4], found[6]):
        expected = after.cost, after.partitions[step.partition]
        assert least_of_all(step, space) == expected, step.partition


def test_circuits_side_by_side_get_what_they_get_alone(plan_of_case, monkeypatch):
    """Of different sizes, p_errors and restrictions, some without any solution."""
    restrictions = (*RESTRICTIONS[:2], UNRESTRICTED, RESTRICTIONS[-2])
    problems = [
        Problem(needs_of_setting(**setting), p_error, restriction)
        for p_error, setting in SETTINGS.items()
        for restriction in restrictions
    ]
    for entry, restriction in zip(compiled("p_errors")[::3], restrictions * 2, strict=True):
        plan = plan_of_case(entry["case"])
        needs = circuit_needs(plan, partition(plan))
        problems.append(Problem(needs, entry["wanted_p_error"], restriction))
    problems.append(problems[0]._replace(restriction=Restriction(polynomial_sizes=(256,))))
    together = solve_all(problems)
    for problem, solution in zip(problems, together, strict=True):
        monkeypatch.setattr(optimizer, "_known", {})
        if isinstance(solution, ImpossibleError):
            with pytest.raises(ImpossibleError, match=re.escape(str(solution))):
                solve(*problem)
            continue
        alone = solve(*problem)
        assert solution.choices == alone.choices
        assert (solution.p_error, solution.global_p_error) == (alone.p_error, alone.global_p_error)
    assert isinstance(together[-1], ImpossibleError)
    assert sum(isinstance(one, ImpossibleError) for one in together) < len(together) / 2


def test_what_no_parameters_do_is_said(plan_of_case):
    plan = plan_of_case(compiled("compiled")[-1]["case"])
    with pytest.raises(ImpossibleError, match="noise"):
        solve(circuit_needs(plan, partition(plan)), 1e-300)
