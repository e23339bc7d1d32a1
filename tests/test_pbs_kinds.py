"""The kinds of PBS: their work and noise as published, what machines state, and what is chosen."""

import csv
import io
import json
import math

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fhecost
from fhecost.circuits.requests import of_requests
from fhecost.circuits.stage import KeySwitchParameters
from fhecost.circuits.work import bootstrap_key_bytes, key_switch_units, pbs_units
from fhecost.closed_form.noise import cmux_variance, fresh_variance
from fhecost.data import data_folder
from fhecost.hardware.bootstraps import ALGORITHMS, CLASSIC, algorithm_of
from fhecost.hardware.bootstraps.algorithm import parameter_set
from fhecost.hardware.bootstraps.multi_bit import MultiBitFigures, MultiBitPbs
from fhecost.hardware.bootstraps.noise import CLASSIC_TRANSFORM, pbs_variance
from fhecost.hardware.estimator import ChosenEstimator, Estimator
from fhecost.hardware.library import load_hardware
from fhecost.hardware.names import PBS_KINDS
from fhecost.hardware.pbs_choice import kinds_at_hand, kinds_of, with_pbs
from fhecost.hardware.profile import FurtherPbs
from fhecost.hardware.reading import hardware_faults
from fhecost.hardware.throughput import throughput
from fhecost.hardware.what_if import with_figures
from fhecost.pipeline import compare_circuit, estimate_circuit
from fhecost.provenance import CountFigure, Figure
from fhecost.report.comparison_document import comparison_document
from fhecost.report.estimate_document import estimate_document
from fhecost.report.hardware_document import list_document, machine_document
from fhecost.report.render import RENDERERS
from tests.conftest import SAVED_PROFILE
from tests.drawn import profiles

MACHINES = {machine.name: machine for machine in load_hardware("all")}


def figure(value, **more):
    return {"value": value, "source": "published", "ref": "made up for the test", **more}


def multi_bit(grouping):
    return MultiBitPbs(MultiBitFigures(grouping_factor=CountFigure(**figure(grouping))))


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


# n, k, N, levels and base of the PBS, levels of the KS, grouping, stated cost in millions:
# zama-ai/tfhe-rs@11a245d83, shortint/parameters/v1_1/multi_bit/tuniform/p_fail_2_minus_128,
# ks_pbs_gpu.rs, the comment above each set.
STATED_COSTS = [
    ((800, 2, 1024, 1, 22), 3, 2, 63),
    ((918, 1, 4096, 1, 21), 5, 2, 188),
    ((998, 1, 16384, 2, 14), 6, 2, 1390),
    ((1158, 1, 65536, 4, 8), 6, 2, 11612),
    ((918, 4, 512, 1, 22), 3, 3, 86),
    ((879, 1, 2048, 2, 14), 8, 3, 144),
    ((999, 1, 16384, 2, 14), 6, 3, 1342),
    ((1119, 1, 65536, 4, 8), 8, 3, 11197),
    ((800, 4, 512, 1, 22), 5, 4, 106),
    ((920, 1, 2048, 1, 22), 5, 4, 100),
    ((1040, 1, 8192, 2, 14), 6, 4, 810),
    ((1160, 1, 32768, 4, 8), 12, 4, 7147),
]


@pytest.mark.parametrize(("bootstrap", "of_switch", "grouping", "millions"), STATED_COSTS)
def test_multi_bit_work_is_what_tfhe_rs_states(bootstrap, of_switch, grouping, millions):
    parameters = parameter_set(*bootstrap)
    switch = KeySwitchParameters(
        input_lwe_dimension=parameters.output_lwe_dimension,
        output_lwe_dimension=parameters.lwe_dimension,
        level_count=of_switch,
        base_log=3,
    )
    units = multi_bit(grouping).units(parameters) + key_switch_units(switch)
    assert round(units / 1e6) == millions


def test_sets_solved_for_multi_bit_are_near_the_classic_ones():
    """What an estimate with the circuit's own sets says of those: 2_2 and 3_3 of tfhe-rs 1.7."""
    classic, grouped = (
        {one.parameters.polynomial_size: one.parameters for one in ALGORITHMS[kind].sets}
        for kind in ("classic", "multi-bit")
    )
    for size in (2048, 8192):
        ratio = grouped[size].lwe_dimension / classic[size].lwe_dimension
        assert abs(ratio - 1) < 0.04
    # Levels of the key switches of these sets, classic and multi-bit.
    for size, before, after in ((2048, 4, 5), (8192, 5, 6)):
        work = [
            key_switch_units(
                KeySwitchParameters(
                    input_lwe_dimension=size,
                    output_lwe_dimension=one.lwe_dimension,
                    level_count=levels,
                    base_log=3,
                )
            )
            for one, levels in ((classic[size], before), (grouped[size], after))
        ]
        assert 1.1 < work[1] / work[0] < 1.26


def test_multi_bit_keys_hold_a_ciphertext_for_each_value_of_a_group():
    parameters = parameter_set(920, 1, 2048, 1, 22)
    classic = bootstrap_key_bytes(parameters)
    assert multi_bit(4).key_bytes(parameters) == classic // 4 * 16
    assert multi_bit(4).steps(parameters) == 230
    # A group that isn't full is one more.
    assert multi_bit(4).steps(parameter_set(921, 1, 2048, 1, 22)) == 231


def test_the_classic_kind_is_the_optimizers_pbs():
    parameters = parameter_set(918, 1, 2048, 1, 23)
    assert CLASSIC.units(parameters) == pbs_units(parameters)
    assert CLASSIC.noise_growth(parameters) == 1


@pytest.mark.parametrize(
    ("parameters", "least", "most"),
    [
        # The noise of the key is nearly all: both formulas are the same.
        ((879, 4, 512, 1, 23), 0.97, 1.0),
        ((800, 2, 1024, 1, 22), 0.96, 1.0),
        ((728, 2, 1024, 2, 10), 0.999, 1.001),
        # That of the transforms counts: tfhe-rs fits less of it than Concrete, which is cautious.
        ((918, 1, 2048, 1, 23), 0.4, 1.0),
        ((1077, 1, 8192, 2, 15), 0.4, 1.0),
    ],
)
def test_classic_noise_is_as_concrete_has_it(parameters, least, most):
    found = parameter_set(*parameters)
    n, k, size, levels, base_log = (np.array(float(value)) for value in parameters)
    concrete = n * cmux_variance(k, size, levels, base_log, fresh_variance(k * size, 132))
    assert least <= pbs_variance(found, CLASSIC_TRANSFORM) / float(concrete) <= most


def test_multi_bit_noise_grows_with_the_ciphertexts_of_a_step():
    # Little but the noise of the key counts in this set: 2^g ciphertexts a step, n/g steps.
    parameters = parameter_set(1077, 5, 256, 1, 20)
    for grouping in (2, 3, 4):
        growth = multi_bit(grouping).noise_growth(parameters)
        assert growth == pytest.approx(2**grouping / grouping, rel=0.02)
    assert multi_bit(5).noise_growth(parameters) is None


def test_an_error_grows_with_the_noise_and_never_shrinks(saved_profile):
    errors = [
        ALGORITHMS["multi-bit"](
            MultiBitFigures(grouping_factor=CountFigure(**figure(g)))
        ).p_error_at_most(1e-9, saved_profile)
        for g in (2, 3, 4)
    ]
    assert 1e-9 < min(errors) <= max(errors) < 1
    assert CLASSIC.p_error_at_most(1e-9, saved_profile) == pytest.approx(1e-9, rel=1e-6)


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


def written(folder, **changes):
    content = yaml.safe_load((data_folder("hardware") / "h100.yaml").read_text())
    content.pop("pbs", None)
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({**content, **changes}))
    return path


STATED = {"figures": {"grouping_factor": figure(4), "step_overhead_s": figure(4e-6)}}


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({"pbs": {"multi-bit": STATED}}, []),
        ({"pbs": {"classic": STATED}}, ["pbs.classic: is the kind that the machine's own"]),
        ({"pbs": {"multi-bit": {}}}, ["pbs.multi-bit.figures: field required"]),
        (
            {"pbs": {"multi-bit": {"figures": {}}}},
            ["pbs.multi-bit.figures.grouping_factor: field required"],
        ),
        (
            {"pbs": {"multi-bit": {"figures": {**STATED["figures"], "more": figure(1)}}}},
            ["pbs.multi-bit.figures.more: extra inputs are not permitted"],
        ),
        (
            {"pbs": {"multi-bit": {"figures": {"grouping_factor": figure(2.5)}}}},
            ["pbs.multi-bit.figures.grouping_factor.value: must be a whole number, not 2.5"],
        ),
        (
            {"pbs": {"many-table": {"figures": {"tables_per_bootstrap": figure(3)}}}},
            ["pbs.many-table.figures.tables_per_bootstrap.value: must be a power of two, not 3"],
        ),
        (
            {"pbs": {"multi-bit": {"figures": {**STATED["figures"], "launch_s": figure(1e9)}}}},
            ["pbs.multi-bit.figures.launch_s: 1e+09 isn't plausible"],
        ),
        ({"pbs": {"quick": STATED}}, ["pbs.quick.[key]: input should be 'classic', 'multi-bit'"]),
        ({"pbs_kind": "multi-bit"}, ["figures.grouping_factor: field required"]),
    ],
)
def test_a_machine_that_states_kinds_is_checked_field_by_field(tmp_path, changes, faults):
    found = hardware_faults(written(tmp_path, **changes))
    assert len(found) == len(faults)
    for one, expected in zip(found, faults, strict=True):
        assert one.startswith(expected)


def test_figures_of_a_kind_take_the_place_of_the_machines_own(tmp_path, saved_profile):
    path = written(
        tmp_path,
        pbs={"multi-bit": {**STATED, "log2_p_fail": -130, "references": ["its own"]}},
    )
    machine = fhecost.load_hardware("mine", [path.parent])[0]
    assert kinds_of(machine) == ("classic", "multi-bit")
    other = with_pbs(machine, "multi-bit")
    assert other.figures["step_overhead_s"].value == 4e-6
    assert other.figures["concurrent_pbs"] == machine.figures["concurrent_pbs"]
    assert (other.pbs_kind, other.log2_p_fail, other.availability) == (
        *("multi-bit", -130, "available"),
    )
    assert algorithm_of(other).steps(parameter_set(918, 1, 2048, 1, 23)) == 230
    assert other.references[-1] == "its own"
    made = fhecost.estimate(saved_profile, machine, pbs="multi-bit")
    assert made.availability == "available"
    assert made == fhecost.estimate(saved_profile, other)
    # A figure that is set is set for both, and the one of the kind alone for it alone.
    set_to = with_figures(machine, {"step_overhead_s": 8e-6, "grouping_factor": 2})
    assert set_to.figures["step_overhead_s"].value == 8e-6
    assert with_pbs(set_to, "multi-bit").figures["step_overhead_s"].value == 8e-6
    assert with_pbs(set_to, "multi-bit").figures["grouping_factor"].value == 2
    assert "grouping_factor" not in set_to.figures
    # Back to the classic kind from a machine whose own figures are for the other.
    own = other.changed(pbs={"classic": FurtherPbs(figures=machine.figures)})
    again = fhecost.estimate(saved_profile, own, pbs="classic")
    assert again.latency_s == fhecost.estimate(saved_profile, machine).latency_s


def test_a_machine_shows_the_kinds_that_it_has():
    machine = with_all_kinds(MACHINES["h100"].changed(pbs=None))
    (row,) = csv.DictReader(io.StringIO(RENDERERS["csv"](list_document([machine]))))
    assert row["pbs_kinds"] == "classic multi-bit many-table"
    text = RENDERERS["table"](machine_document(machine))
    assert "also multi-bit, many-table PBS" in text
    assert "grouping_factor = 4" in text


def test_one_lookup_on_a_gpu_waits_for_a_step_a_group(saved_profile):
    machine = with_all_kinds(MACHINES["h100"].changed(pbs=None))
    parameters = max(
        (use.parameters for stage in saved_profile.stages for use in stage.pbs),
        key=lambda one: one.lwe_dimension,
    )
    stage = next(
        one for one in saved_profile.stages if one.pbs and one.pbs[0].parameters == parameters
    )
    figures = with_pbs(machine, "multi-bit").figures
    steps = math.ceil(parameters.lwe_dimension / 4)
    units = multi_bit(4).units(parameters)
    rate = figures["single_pbs_rate_units_per_s"].value
    polynomials = (parameters.glwe_dimension + 1) * (parameters.level_count + 1)
    if polynomials * parameters.polynomial_size * 8 > figures["shared_memory_bytes"].value:
        rate *= figures["spilled_rate_share"].value
    by_hand = steps * figures["step_overhead_s"].value + units / rate
    estimator = Estimator(with_pbs(machine, "multi-bit"))
    chain = estimator._model.alone_s(stage.changed(depth=1), estimator._figures)
    switch = max(key_switch_units(use.parameters) for use in stage.key_switches)
    by_hand += switch / figures["single_key_switch_rate_units_per_s"].value
    assert chain == pytest.approx(by_hand)


def test_batches_take_as_long_whatever_is_in_them(saved_profile):
    machine = MACHINES["epyc-zen4-2"]
    one = fhecost.estimate(saved_profile, machine, pbs="batched")
    steps = sum(stage.depth for stage in saved_profile.stages if stage.pbs)
    a_batch = 32768 * 6.7e-3
    assert one.by_operation_s["pbs"] == pytest.approx(steps * a_batch)
    assert one.by_operation_s["keys"] is None
    assert (one.memory, one.preparation, one.p_error_at_most) == (None, None, None)
    many = fhecost.estimate(of_requests(saved_profile, 5), machine, pbs="batched")
    # 5 times the widest stages still fill no batch.
    assert many.by_operation_s["pbs"] == pytest.approx(one.by_operation_s["pbs"])
    full = throughput(saved_profile, machine, 4096, pbs="batched")
    assert full.per_second * saved_profile.pbs_count < 2 / 6.7e-3


def test_a_table_that_is_too_wide_for_batches_is_refused(saved_profile):
    machine = with_all_kinds(MACHINES["epyc-zen4-2"])
    stages = [
        stage.changed(bit_width=10) if stage.pbs_count > 1000 else stage
        for stage in saved_profile.stages
    ]
    wide = saved_profile.changed(max_bit_width=10, stages=tuple(stages))
    with pytest.raises(fhecost.ImpossibleError, match=r"looks up 9 bits at most, stage .* 10 bits"):
        fhecost.estimate(wide, machine, pbs="batched")
    assert fhecost.estimate(wide, machine, pbs="best").pbs_kind == "classic"


def test_lookups_of_one_value_share_a_rotation(saved_profile):
    machine = MACHINES["h100"]
    stages = [
        stage.changed(distinct_values=stage.pbs_count // 2) if stage.pbs_count > 1000 else stage
        for stage in saved_profile.stages
    ]
    shared = saved_profile.changed(stages=tuple(stages))
    pbs = algorithm_of(with_pbs(machine, "many-table"))
    rotations = sum(stage.pbs_count for stage in pbs.seen(shared).stages)
    halved = sum(stage.pbs_count for stage in stages if stage.distinct_values)
    assert rotations == saved_profile.pbs_count - halved // 2
    assert (
        fhecost.estimate(shared, machine, pbs="many-table").latency_s
        < 0.7 * fhecost.estimate(shared, machine).latency_s
    )
    # Where nothing is known to share, it is the classic one, and as sure.
    alone = fhecost.estimate(saved_profile, machine, pbs="many-table")
    assert alone.latency_s == fhecost.estimate(saved_profile, machine).latency_s
    assert alone.p_error_at_most == saved_profile.p_error
    assert fhecost.estimate(shared, machine, pbs="many-table").p_error_at_most > 1e-3
    lookups = next(stage for stage in stages if stage.pbs)
    with pytest.raises(ValueError, match="none is shared"):
        lookups.changed(distinct_values=lookups.pbs_count)


@settings(deadline=None, max_examples=25)
@given(circuit=profiles(), tables=st.sampled_from([2, 4, 8]), data=st.data())
def test_rotations_are_never_fewer_than_values_nor_more_than_lookups(circuit, tables, data):
    stages = []
    for stage in circuit.stages:
        values = data.draw(st.integers(1, max(1, stage.pbs_count)))
        shares = values < stage.pbs_count
        stages.append(stage.changed(distinct_values=values) if shares else stage)
    kind = ALGORITHMS["many-table"]
    pbs = kind(kind.figures_type(tables_per_bootstrap=figure(float(tables))))
    seen = pbs.seen(circuit.changed(stages=tuple(stages)))
    for before, after in zip(stages, seen.stages, strict=True):
        least = max(before.distinct_values or before.pbs_count, before.pbs_count / tables)
        assert min(least, before.pbs_count) <= after.pbs_count <= before.pbs_count
        assert after.key_switch_count <= before.key_switch_count


def test_a_hypothetical_statement_is_not_at_hand(saved_profile):
    machine = MACHINES["h100"]
    fast = Figure(value=1e15, source="assumed", rationale="made up for the test")
    stated = FurtherPbs(
        figures={**ALGORITHMS["multi-bit"].supposed, "saturated_rate_units_per_s": fast},
        availability="hypothetical",
    )
    machine = machine.changed(pbs={"multi-bit": stated})
    assert kinds_at_hand(machine) == ("classic",)
    assert fhecost.estimate(saved_profile, machine, pbs="best").pbs_kind == "classic"
    assert fhecost.estimate(saved_profile, machine, pbs="multi-bit").availability == "hypothetical"


def test_a_machine_of_another_kind_supposes_nothing():
    machine = with_pbs(MACHINES["h100"], "multi-bit")
    with pytest.raises(fhecost.ImpossibleError, match="its figures are for multi-bit"):
        with_pbs(machine, "classic")


def test_a_profile_that_says_nothing_of_kinds_keeps_its_hash():
    machine = MACHINES["strix"]
    assert "pbs" not in json.loads(machine.model_dump_json(exclude_none=True))
    assert machine.changed(pbs=None).hash == machine.hash


def test_a_refusal_is_made_when_an_estimate_is_asked_for(saved_profile):
    chosen = ChosenEstimator(MACHINES["strix"], "batched")
    with pytest.raises(fhecost.ImpossibleError, match="strix: nothing is known of batched PBS"):
        chosen(saved_profile)
    with pytest.raises(fhecost.UsageError, match="pbs quick: must be among classic, multi-bit"):
        ChosenEstimator(MACHINES["strix"], "quick")


def test_a_stated_figure_of_a_kind_is_set_where_the_best_is_asked_for(saved_profile):
    machine = with_all_kinds(MACHINES["h100"])
    made = compare_circuit(
        saved_profile, [machine], pbs="best", what_if={"grouping_factor": 2, "launch_s": 1e-6}
    )
    assert {change.figure: change.after.value for change in made.changes} == {
        "launch_s": 1e-6,
        "pbs.multi-bit.figures.grouping_factor": 2,
    }
    assert made.rows[0].before is not None


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
