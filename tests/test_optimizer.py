"""The optimizer without Concrete: held to its own tables, and to circuits that it solved."""

import gzip
import json
import math
import sys

import numpy as np
import pytest

from fhecost.circuits.profile import CircuitProfile
from fhecost.closed_form.circuit import circuit_profile
from fhecost.closed_form.noise import allowed_variance, deviations, p_error_of
from fhecost.closed_form.noise_constraints import circuit_needs
from fhecost.closed_form.optimizer import solve, solve_globally
from fhecost.closed_form.partitions import partition
from fhecost.closed_form.search_space import search_space
from fhecost.closed_form.solved_sets import solved_sets
from fhecost.errors import ImpossibleError
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


def test_what_no_parameters_do_is_said(plan_of_case):
    plan = plan_of_case(compiled("compiled")[-1]["case"])
    with pytest.raises(ImpossibleError, match="noise"):
        solve(circuit_needs(plan, partition(plan)), 1e-300)
