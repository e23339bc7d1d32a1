"""The kinds of PBS: which one is chosen, and how what nobody measured is marked in outputs."""

import csv
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fhecost
from fhecost.hardware.bootstraps import ALGORITHMS
from fhecost.hardware.estimator import ChosenEstimator
from fhecost.hardware.library import load_hardware
from fhecost.hardware.names import PBS_KINDS
from fhecost.hardware.pbs_choice import kinds_at_hand, kinds_of
from fhecost.hardware.profile import FurtherPbs
from fhecost.hardware.throughput import throughput
from fhecost.pipeline import compare_circuit, estimate_circuit
from fhecost.report.comparison_document import comparison_document
from fhecost.report.estimate_document import estimate_document
from fhecost.report.render import RENDERERS
from tests.conftest import SAVED_PROFILE
from tests.drawn import profiles

MACHINES = {machine.name: machine for machine in load_hardware("all")}


def with_all_kinds(machine):
    """The machine as if somebody had measured every kind that can be supposed of it."""
    stated = {}
    for kind in PBS_KINDS:
        if kind != machine.pbs_kind and machine.kind in ALGORITHMS[kind].supposed_on:
            stated[kind] = FurtherPbs(figures=ALGORITHMS[kind].supposed)
    return machine.changed(pbs={**stated, **(machine.pbs or {})})


def estimated(circuit, machine, kind=None):
    """The estimate; None where the machine can't run the circuit."""
    try:
        return fhecost.estimate(circuit, machine, pbs=kind)
    except fhecost.ImpossibleError:
        return None


@pytest.mark.parametrize("name", MACHINES)
@settings(deadline=None, max_examples=3, suppress_health_check=[HealthCheck.too_slow])
@given(circuit=profiles())
def test_the_best_is_never_slower_than_any_kind_that_the_machine_has(name, circuit):
    machine = with_all_kinds(MACHINES[name])
    best = estimated(circuit, machine, "best")
    made = [estimated(circuit, machine, kind) for kind in kinds_of(machine)]
    possible = [one for one in made if one is not None]
    assert (best is None) == (not possible)
    if best is None:
        return
    assert best.latency_s == min(one.latency_s for one in possible)
    # The machine's own kind is today's estimate to the digit, asked for or not.
    assert made[0] == estimated(circuit, machine)


@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(circuit=profiles(), name=st.sampled_from(sorted(MACHINES)), requests=st.integers(2, 9))
def test_the_best_never_answers_fewer_requests_than_a_single_kind(circuit, name, requests):
    machine = with_all_kinds(MACHINES[name])
    for kind in kinds_of(machine):
        if estimated(circuit, machine, kind) is not None:
            of_kind = throughput(circuit, machine, requests, pbs=kind)
            of_best = throughput(circuit, machine, requests, pbs="best")
            assert of_best.per_second >= of_kind.per_second
            assert of_best.latency_s <= of_kind.latency_s * (1 + 1e-12)


@pytest.mark.parametrize("name", MACHINES)
@settings(deadline=None, max_examples=2, suppress_health_check=[HealthCheck.too_slow])
@given(circuit=profiles(), more=st.integers(3, 40))
def test_more_requests_never_lower_the_throughput_with_the_best(name, circuit, more):
    machine = with_all_kinds(MACHINES[name])
    alone = estimated(circuit, machine, "best")
    if alone is None:
        return
    before = throughput(circuit, machine, 1, pbs="best")
    assert (before.latency_s, before.low_s, before.high_s) == (
        *(alone.latency_s, alone.low_s, alone.high_s),
    )
    for requests in (2, more):
        made = throughput(circuit, machine, requests, pbs="best")
        assert made.per_second >= before.per_second
        before = made


@pytest.mark.parametrize("name", MACHINES)
def test_what_nobody_measured_is_hypothetical_and_never_chosen(name, saved_profile):
    machine = MACHINES[name]
    own = estimated(saved_profile, machine)
    best = estimated(saved_profile, machine, "best")
    assert own is None or best is not None
    if own is not None:
        assert best.availability == machine.availability
        assert best.pbs_kind in kinds_at_hand(machine)
    for kind in set(PBS_KINDS) - set(kinds_of(machine)):
        made = estimated(saved_profile, machine, kind)
        if made is None:
            continue
        assert (made.pbs_kind, made.availability) == (kind, "hypothetical")
        assert "hypothetical" in made.title
        assert any(text.startswith("hypothetical: nobody measured") for text in made.assumptions)
        # Nothing that rests on a supposed kind counts as measured or published.
        lookups = {"measured", "calibrated", "published"} & set(made.sources)
        assert sum(made.sources[source] for source in lookups) < 1 - made.by_operation_s["pbs"] / (
            made.latency_s * 1.001
        )


@pytest.mark.parametrize("form", RENDERERS)
def test_hypothetical_is_said_in_every_output(form, saved_profile):
    asked = {"hardware": ["epyc-zen4-2", "h100"], "pbs": "multi-bit"}
    for text in (
        RENDERERS[form](estimate_document(estimate_circuit(saved_profile, **asked))),
        RENDERERS[form](comparison_document(compare_circuit(saved_profile, **asked))),
    ):
        assert "multi-bit" in text
        assert "hypothetical" in text
    plain = estimate_document(estimate_circuit(saved_profile, ["h100"]))
    assert "hypothetical" not in RENDERERS[form](plain)


def test_the_command_line_marks_each_row(run_fhecost):
    finished = run_fhecost(
        *("estimate", "--profile", SAVED_PROFILE, "--hardware", "a100,strix,epyc-zen4-2"),
        *("--pbs", "many-table", "--format", "csv"),
    )
    rows = list(csv.DictReader(io.StringIO(finished.stdout)))
    assert [(row["pbs_kind"], row["availability"]) for row in rows] == 3 * [
        ("many-table", "hypothetical")
    ]
    on_paper = run_fhecost(
        *("project", "--seq-len", "1", "--hardware", "strix,cascade", "--pbs", "multi-bit"),
        *("--format", "csv"),
    )
    for row in csv.DictReader(io.StringIO(on_paper.stdout)):
        assert (row["pbs_kind"], row["availability"]) == ("multi-bit", "hypothetical")
    projected = run_fhecost(
        *("project", "--seq-len", "1,2", "--scope", "model", "--hardware", "h100"),
        *("--pbs", "best", "--requests", "4", "--format", "csv"),
    )
    for row in csv.DictReader(io.StringIO(projected.stdout)):
        assert (row["availability"], row["requests"]) == ("available", "4")
        assert float(row["per_second"]) >= 0.999 / float(row["latency_s"])
        tokens = int(row["seq_len"])
        assert float(row["energy_j_of_token"]) == pytest.approx(float(row["energy_j"]) / tokens)
        assert float(row["price_usd_of_1000_tokens"]) == pytest.approx(
            1000 / tokens * float(row["price_usd"])
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--pbs", "quick"), "--pbs"),
        (("--pbs", "batched", "--hardware", "h100"), "on machines of kind cpu; state its figures"),
        (("--calls", "inc=1", "--requests", "2"), "--requests: the functions are those of"),
        (("--calls", "inc=1", "--pbs", "best"), "--pbs: the functions are those of"),
    ],
)
def test_what_cant_be_asked_is_refused_in_one_line(run_fhecost, arguments, message):
    finished = run_fhecost("estimate", "--profile", SAVED_PROFILE, *arguments)
    assert finished.returncode in (1, 2)
    assert message in finished.stderr
    assert "Traceback" not in finished.stderr


def test_a_refusal_is_made_when_an_estimate_is_asked_for(saved_profile):
    chosen = ChosenEstimator(MACHINES["strix"], "batched")
    with pytest.raises(fhecost.ImpossibleError, match="strix: nothing is known of batched PBS"):
        chosen(saved_profile)
    with pytest.raises(fhecost.UsageError, match="pbs quick: must be among classic, multi-bit"):
        ChosenEstimator(MACHINES["strix"], "quick")


def test_a_supposed_figure_can_be_set(saved_profile):
    machines = [MACHINES[name].changed(pbs=None) for name in ("h100", "strix")]
    four, two = (
        compare_circuit(saved_profile, machines, pbs="multi-bit", what_if=what_if)
        for what_if in (None, {"grouping_factor": 2})
    )
    before = {row.hardware: row.latency_s for row in four.rows}
    for row in two.rows:
        assert row.before is not None
        assert row.before.latency_s == before[row.hardware]
        assert (row.pbs_kind, row.latency_s < before[row.hardware]) == ("multi-bit", True)
    with pytest.raises(fhecost.UsageError, match="grouping_factor"):
        compare_circuit(saved_profile, machines, what_if={"grouping_factor": 2})
