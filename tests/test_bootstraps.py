"""The algorithms of PBS: their work, keys, noise and rotations, as published and by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fhecost
from fhecost.circuits.requests import of_requests
from fhecost.circuits.stage import KeySwitchParameters
from fhecost.circuits.work import bootstrap_key_bytes, key_switch_units, pbs_units
from fhecost.closed_form.noise import cmux_variance, fresh_variance
from fhecost.hardware.bootstraps import ALGORITHMS, CLASSIC, algorithm_of
from fhecost.hardware.bootstraps.algorithm import parameter_set
from fhecost.hardware.bootstraps.multi_bit import MultiBitFigures, MultiBitPbs
from fhecost.hardware.bootstraps.noise import CLASSIC_TRANSFORM, pbs_variance
from fhecost.hardware.estimator import Estimator
from fhecost.hardware.pbs_choice import with_pbs
from fhecost.hardware.throughput import throughput
from fhecost.provenance import CountFigure
from tests.drawn import profiles
from tests.test_pbs_kinds import MACHINES, with_all_kinds


def figure(value, **more):
    return {"value": value, "source": "published", "ref": "made up for the test", **more}


def multi_bit(grouping):
    return MultiBitPbs(MultiBitFigures(grouping_factor=CountFigure(**figure(grouping))))


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
