"""Circuits that are likely to go wrong: a warning on top, with what it costs to be sure."""

import pytest

from fhecost.circuit_request import PredictedShape, SavedCircuit
from fhecost.circuits.profile import CircuitProfile, save_profile
from fhecost.closed_form.scopes import ShapeRequest, profile_of_shape
from fhecost.hardware.estimate import SURE
from fhecost.hardware.estimator import estimate, estimate_all
from fhecost.hardware.library import find_hardware
from fhecost.hardware.unsure import NO_PLAN, UNSURE
from fhecost.models.shape import SHAPES
from fhecost.pipeline import compare_circuit, estimate_circuit
from fhecost.projection.projection import project
from fhecost.report.comparison_document import comparison_document
from fhecost.report.estimate_document import estimate_document
from fhecost.report.projection_document import projection_document
from fhecost.report.render import as_table

GPT2 = SHAPES["gpt2"]
TOKEN = ShapeRequest(GPT2, "cached-token", 128, 4)
MODEL = ShapeRequest(GPT2, "model", 1024, 4)


def likely_wrong(circuit: CircuitProfile, error: float) -> CircuitProfile:
    return circuit.changed(global_p_error=error, p_error=error / circuit.pbs_count)


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (TOKEN, "WARNING: some lookup goes wrong in 11 % of all runs; sure parameter sets take 1."),
        (MODEL, "WARNING: this circuit is certain to go wrong: some lookup errs in practically"),
    ],
    ids=["token", "model"],
)
def test_the_warning_is_on_top_with_what_sure_sets_cost(request_, says):
    asked, machines = PredictedShape(request_), ["8xh100", "h100"]
    made = estimate_circuit(asked, machines)
    sure = profile_of_shape(request_, global_p_error=SURE)
    assert SURE / 10 < sure.global_p_error <= SURE
    assert sure.pbs_count == made.circuit.pbs_count
    assert made.unsure.work_factor == pytest.approx(sure.complexity / made.circuit.complexity)
    assert 1.2 < made.unsure.work_factor < 2
    for name in machines:
        assert (
            made.unsure.latency_s[name].latency_s == estimate(sure, find_hardware(name)).latency_s
        )
    compared = compare_circuit(asked, machines)
    assert compared.unsure == made.unsure
    for document in (estimate_document(made), comparison_document(compared)):
        text = as_table(document)
        assert " ".join(text.split()).startswith(says)
        assert f"{made.unsure.work_factor:.2f} times the work" in " ".join(text.split())


def test_a_projection_warns_at_its_longest_length():
    report = project(TOKEN, [8, 64, 128], ["8xh100"])
    assert report.unsure == estimate_circuit(PredictedShape(TOKEN), ["8xh100"]).unsure
    text = " ".join(as_table(projection_document(report)).split())
    assert text.startswith("WARNING at 128 tokens: some lookup goes wrong in 11 %")


def test_of_a_circuit_of_which_only_its_profile_is_known_it_says_so(saved_profile, tmp_path):
    save_profile(likely_wrong(saved_profile, 0.5), tmp_path / "circuit.json")
    made = estimate_circuit(SavedCircuit(tmp_path / "circuit.json"), ["epyc-zen4-2"])
    assert (made.unsure.work_factor, made.unsure.reason) == (None, NO_PLAN)
    assert "would cost isn't known: its profile alone" in " ".join(
        as_table(estimate_document(made)).split()
    )


@pytest.mark.parametrize(("error", "warned"), [(UNSURE, False), (2 * UNSURE, True), (1e-5, False)])
def test_who_is_warned(saved_profile, error, warned):
    made = estimate_all(likely_wrong(saved_profile, error), [find_hardware("epyc-zen4-2")])
    assert (made.unsure is not None) == warned
    assert as_table(estimate_document(made)).startswith("WARNING") == warned


def test_a_head_that_lets_its_lookups_err_says_where_that_is_counted(saved_profile):
    by_design = saved_profile.changed(global_p_error=0.6, p_error=1e-3)
    made = estimate_all(by_design, [find_hardware("epyc-zen4-2")])
    assert made.unsure.on_purpose
    assert "fhecost accuracy says" in " ".join(as_table(estimate_document(made)).split())
