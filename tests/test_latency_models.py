"""The latency models: small cases by hand, and properties that hold for every circuit."""

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhecost.circuits.profile import CircuitProfile, Stage, load_profile
from fhecost.circuits.work import pbs_units
from fhecost.errors import ImpossibleError
from fhecost.hardware.estimate import Bottleneck, Estimate, StageEstimate
from fhecost.hardware.estimator import estimate, estimate_all
from fhecost.hardware.latency_model import ALL_KEYS, HOST_TRANSFER, IN_AND_OUT
from fhecost.hardware.library import load_hardware
from fhecost.hardware.profile import HardwareProfile
from fhecost.provenance import Figure, Source
from tests.conftest import SAVED_PROFILE
from tests.drawn import consistent, profiles, unchecked

MACHINES = {machine.name: machine for machine in load_hardware("all")}
CPU, H100, STRIX = MACHINES["epyc-zen4-2"], MACHINES["h100"], MACHINES["strix"]


def with_figures(machine: HardwareProfile, **values: float) -> HardwareProfile:
    """The machine with other figures, taken as exact."""
    figures = {
        **machine.figures,
        **{
            name: Figure(value=value, source=Source.ASSUMED, rationale="a test")
            for name, value in values.items()
        },
    }
    return machine.changed(figures=figures)


def fitting(circuit: CircuitProfile) -> CircuitProfile:
    """The circuit with keys that fit every machine, so that only time is at stake."""
    return unchecked(circuit, bsk_bytes=10**9, ksk_bytes=10**9)


def without_limits(machine: HardwareProfile) -> HardwareProfile:
    """The machine as if it could hold every set, so that only time is at stake."""
    if "largest_polynomial_size" not in machine.figures:
        return machine
    return with_figures(machine, largest_polynomial_size=2.0**18)


def total(estimated: Estimate | StageEstimate) -> float:
    """The sum of what the latency model has something to say of."""
    return sum(part for part in estimated.by_operation_s.values() if part is not None)


def doubled(circuit: CircuitProfile) -> CircuitProfile:
    """The same circuit with twice the steps in every stage."""
    content = circuit.model_dump()
    for stage in content["stages"]:
        stage["depth"] *= 2
        for use in (*stage["pbs"], *stage["key_switches"], *stage["linear"]):
            use["count"] *= 2
    stages = tuple(map(Stage.model_validate, content["stages"]))
    return unchecked(circuit, stages=stages)


def test_cpu_time_by_hand(saved_profile):
    stage = next(s for s in saved_profile.stages if s.name == "scores")
    alone = stage.changed(predecessors=(), linear=(), key_switches=())
    nothing = dict.fromkeys(("bsk_bytes", "ksk_bytes", "input_bytes", "output_bytes"), 0)
    only = unchecked(saved_profile, stages=(alone,), **nothing)
    machine = with_figures(
        CPU, threads=4, thread_efficiency=0.5, fourier_unit_s=2e-10, external_product_unit_s=1e-21
    )
    (use,) = stage.pbs
    p = use.parameters
    transforms = (p.glwe_dimension + 1) * (p.level_count + 1)
    fourier = p.polynomial_size * math.log2(p.polynomial_size) + p.polynomial_size
    one = 2e-10 * p.lwe_dimension * transforms * fourier
    expected = one * math.ceil(use.count / 4) / 0.5
    assert estimate(only, machine).latency_s == pytest.approx(expected)


def test_a_full_gpu_takes_work_over_rate(saved_profile):
    stage = max(saved_profile.stages, key=lambda s: s.pbs_count)
    estimated = estimate(saved_profile, H100)
    part = next(s for s in estimated.by_stage if s.stage == stage.name)
    work = sum(use.count * pbs_units(use.parameters) for use in stage.pbs)
    rate = H100.figures["saturated_rate_units_per_s"].value
    assert part.by_operation_s["pbs"] == pytest.approx(work / rate)
    assert part.bottleneck is Bottleneck.COMPUTE


def alone(*, lookups: int = 30, input_bytes: int = 0, **content: object) -> CircuitProfile:
    """A circuit of one stage with its lookups in 2 steps, and no keys."""
    pbs = {"lwe_dimension": 700, "glwe_dimension": 1, "polynomial_size": 1024, "level_count": 2}
    switch = {"input_lwe_dimension": 1024, "output_lwe_dimension": 700, "level_count": 3}
    stage = {
        "name": "only",
        "pbs": [{"parameters": {**pbs, "base_log": 10}, "count": lookups}],
        "key_switches": [{"parameters": {**switch, "base_log": 4}, "count": lookups}],
        "depth": 2,
        "parallel_width": lookups // 2,
    }
    sizes = dict.fromkeys(("bsk_bytes", "ksk_bytes", "output_bytes"), 0)
    only = Stage.model_validate({**stage, **content})
    about = {"name": "alone", "stages": (only,), "max_bit_width": 4, "input_bytes": input_bytes}
    return unchecked(load_profile(SAVED_PROFILE), **about, **sizes)


# n * ((k+1)(l+1)(N log2 N + N) + (k+1)^2 l N) and in*l + in*l*(out+1) + (in*l - 1)(out+1) + 1
PBS_UNITS = 700 * (2 * 3 * (1024 * 10 + 1024) + 4 * 2 * 1024)
KEY_SWITCH_UNITS = 3072 + 3072 * 701 + 3071 * 701 + 1
BSK_BYTES, KSK_BYTES = 700 * 4 * 2 * 1024 * 8, 3072 * 701 * 8


def test_a_gpu_that_waits_for_a_chain_by_hand():
    machine = with_figures(
        H100,
        saturated_rate_units_per_s=1e15,
        key_switch_rate_units_per_s=1e15,
        single_pbs_rate_units_per_s=2e10,
        single_key_switch_rate_units_per_s=5e10,
        step_overhead_s=1e-6,
    )
    estimated = estimate(alone(), machine)
    one = 700 * 1e-6 + PBS_UNITS / 2e10 + KEY_SWITCH_UNITS / 5e10
    assert estimated.latency_s == pytest.approx(2 * one)
    assert estimated.bottleneck is Bottleneck.PARALLEL_WIDTH


@pytest.mark.parametrize(
    ("bandwidth", "pbs_step_s", "switch_step_s", "bottleneck"),
    [
        (1e15, 10 * PBS_UNITS / 1e12, 10 * KEY_SWITCH_UNITS / 1e12, Bottleneck.COMPUTE),
        (1e9, BSK_BYTES / 1e9, KSK_BYTES / 1e9, Bottleneck.MEMORY_BANDWIDTH),
    ],
)
def test_batch_steps_of_a_pipeline_by_hand(bandwidth, pbs_step_s, switch_step_s, bottleneck):
    machine = with_figures(
        STRIX,
        work_rate_units_per_s=1e12,
        batch=10,
        key_switch_work_share=0.5,
        memory_bandwidth_bytes_per_s=bandwidth,
    )
    estimated = estimate(alone(), machine)
    # Two steps of 15 lookups each need two batches of 10.
    assert estimated.latency_s == pytest.approx(4 * (pbs_step_s + 0.5 * switch_step_s))
    assert estimated.bottleneck is bottleneck


KEY_SWITCHES_ONLY = {"pbs": [], "depth": 2, "parallel_width": 15}


def test_key_switches_without_pbs_on_a_cpu_by_hand():
    machine = with_figures(CPU, threads=4, thread_efficiency=0.5, key_switch_unit_s=1e-10)
    estimated = estimate(alone(**KEY_SWITCHES_ONLY), machine)
    # 30 in 2 steps: 15 in each, on 4 threads at half their speed.
    one = KEY_SWITCH_UNITS * 1e-10
    assert estimated.latency_s == pytest.approx(2 * 4 * one / 0.5)
    assert estimated.critical_path_s == pytest.approx(2 * one)


@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_key_switches_that_no_pbs_hides_take_all_their_time_in_a_pipeline(share):
    machine = with_figures(
        STRIX,
        work_rate_units_per_s=1e12,
        batch=10,
        key_switch_work_share=share,
        memory_bandwidth_bytes_per_s=1e15,
    )
    estimated = estimate(alone(**KEY_SWITCHES_ONLY), machine)
    assert estimated.latency_s == pytest.approx(4 * 10 * KEY_SWITCH_UNITS / 1e12)
    assert estimated.low_s > 0


def test_loops_of_one_value_leave_a_cpu_one_thread():
    """Seven lookups in three steps, one tensor operation each: seven times one lookup."""
    machine = with_figures(CPU, threads=4, thread_efficiency=0.5)
    one = estimate(alone(lookups=1, depth=1, parallel_width=1), machine).latency_s
    shape = {"lookups": 7, "depth": 3, "parallel_width": 3}
    in_loops = estimate(alone(**shape, loops=[{"width": 1, "times": 7}]), machine)
    assert in_loops.latency_s == pytest.approx(7 * one)
    two_loops = [{"width": 5, "times": 1}, {"width": 1, "times": 2}]
    mixed = estimate(alone(**shape, loops=two_loops), machine)
    assert mixed.latency_s == pytest.approx((2 / 0.5 + 2) * one)
    gpu = [estimate(alone(**shape, loops=loops), H100) for loops in ([], two_loops)]
    assert gpu[0].latency_s == gpu[1].latency_s


def test_loops_hold_all_lookups():
    with pytest.raises(ValueError, match="loops over 6 lookups aren't those of 7 PBS"):
        alone(lookups=7, depth=3, parallel_width=3, loops=[{"width": 6, "times": 1}])


@pytest.mark.parametrize("machine", [H100, STRIX, CPU], ids=lambda machine: machine.name)
def test_the_range_widens_beyond_what_is_known(machine):
    circuit = alone(key_switches=[])
    narrow = with_figures(machine, trusted_polynomial_size=1024, extrapolation_per_doubling=2)
    wide = with_figures(machine, trusted_polynomial_size=256, extrapolation_per_doubling=2)
    inside, outside = estimate(circuit, narrow), estimate(circuit, wide)
    assert outside.latency_s == pytest.approx(inside.latency_s)
    assert outside.high_s == pytest.approx(4 * inside.high_s)
    assert outside.low_s <= inside.low_s
    assert outside.sources == {Source.ASSUMED: pytest.approx(1)}


@pytest.mark.parametrize(
    ("machine", "unknown"),
    [(CPU, set()), (H100, {"keys"}), (STRIX, {"keys", "transfer"})],
    ids=lambda value: value.name if isinstance(value, HardwareProfile) else "",
)
def test_what_a_model_leaves_out_is_unknown_rather_than_zero(machine, unknown):
    estimated = estimate(alone(), machine)
    for part in (estimated, *estimated.by_stage):
        assert {name for name, value in part.by_operation_s.items() if value is None} == unknown


def test_a_narrow_stage_leaves_a_wide_machine_idle(saved_profile):
    for machine in (H100, STRIX):
        by_name = {part.stage: part for part in estimate(saved_profile, machine).by_stage}
        inverse = by_name["softmax.inverse"]
        assert inverse.bottleneck in (Bottleneck.PARALLEL_WIDTH, Bottleneck.MEMORY_BANDWIDTH)
        scores = next(s for s in saved_profile.stages if s.name == "scores")
        per_pbs = by_name["scores"].latency_s / scores.pbs_count
        assert inverse.latency_s / 6 > 1.5 * per_pbs


@pytest.mark.parametrize("name", MACHINES)
@given(circuit=profiles())
def test_every_estimate_adds_up_and_lies_in_its_range(name, circuit):
    estimated = estimate(fitting(circuit), without_limits(MACHINES[name]))
    assert 0 < estimated.low_s <= estimated.latency_s <= estimated.high_s
    assert sum(part.latency_s for part in estimated.by_stage) == pytest.approx(estimated.latency_s)
    assert total(estimated) == pytest.approx(estimated.latency_s)
    assert sum(estimated.sources.values()) == pytest.approx(1)
    for part in estimated.by_stage:
        assert total(part) == pytest.approx(part.latency_s)
        assert 0 <= part.busy_s <= part.latency_s * (1 + 1e-9)
    at_work = sum(part.busy_s for part in estimated.by_stage)
    assert at_work + estimated.idle_s == pytest.approx(estimated.latency_s)
    assert 0 <= estimated.utilization <= 1 + 1e-9
    assert estimated.critical_path_s is not None
    assert estimated.critical_path_s <= estimated.latency_s * (1 + 1e-9)


@pytest.mark.parametrize("name", MACHINES)
@given(circuit=profiles())
def test_twice_the_steps_take_twice_the_time(name, circuit):
    circuit, machine = fitting(circuit), without_limits(MACHINES[name])
    if "launch_s" in machine.figures:  # kernels of linear operations are as many
        machine = with_figures(machine, launch_s=1e-18)
    fixed = {ALL_KEYS, HOST_TRANSFER, IN_AND_OUT}
    once, twice = (
        sum(p.latency_s for p in estimate(c, machine).by_stage if p.stage not in fixed)
        for c in (circuit, doubled(circuit))
    )
    assert twice == pytest.approx(2 * once)


@pytest.mark.parametrize("name", MACHINES)
@settings(max_examples=40)
@given(circuit=profiles())
def test_no_time_depends_on_the_base_of_a_decomposition(name, circuit):
    """Published sets often leave it out: ``fhecost.validation.published`` may put any there."""
    machine, content = without_limits(MACHINES[name]), circuit.model_dump()
    for stage in content["stages"]:
        for use in (*stage["pbs"], *stage["key_switches"]):
            use["parameters"]["base_log"] = 1
    other = CircuitProfile.model_validate({**consistent(content), "hash": ""})
    one, another = (estimate(fitting(each), machine).latency_s for each in (circuit, other))
    assert another == pytest.approx(one)


GOOD = re.compile(
    "threads|devices|clock_hz|butterfly_units|.*_(units|bytes)_per_s|on_chip_key_bytes"
)
"""Cores, clock, rates and bandwidth, by the names of their figures."""


def good_figures() -> list[tuple[str, str]]:
    """The good things of every machine that its model computes with."""
    return [
        (name, figure)
        for name, machine in MACHINES.items()
        for figure in machine.figures
        if GOOD.fullmatch(figure)
        # Only a design that is given by its butterflies has its speed from its clock.
        and (figure != "clock_hz" or "butterfly_units" in machine.figures)
    ]


@pytest.mark.parametrize(("machine", "figure"), good_figures())
@settings(max_examples=40)
@given(circuit=profiles(), factor=st.integers(2, 64))
def test_more_of_a_good_thing_is_never_slower(machine, figure, circuit, factor):
    circuit, base = fitting(circuit), without_limits(MACHINES[machine])
    better = with_figures(base, **{figure: base.figures[figure].value * factor})
    assert estimate(circuit, better).latency_s <= estimate(circuit, base).latency_s * (1 + 1e-9)


@pytest.mark.parametrize(("machine", "figure"), good_figures())
def test_a_good_thing_makes_a_difference(machine, figure):
    """So that no case of the property above holds because its figure says nothing."""
    linear = {"operation": "clear_addition", "lwe_dimension": 1024, "count": 99}
    circuit = alone(lookups=10**5, linear=[linear], input_bytes=10**6)
    base = MACHINES[machine]
    if figure.startswith("tuned_"):
        # Of sets that have a kernel of their own.
        use = circuit.stages[0].pbs[0]
        tuned = use.parameters.changed(polynomial_size=2048, level_count=1)
        circuit = alone(lookups=10**5, pbs=[use.changed(parameters=tuned)])
    if figure == "on_chip_key_bytes":
        # Where the memory is fast, a key that comes from it is never waited for.
        base = with_figures(base, memory_bandwidth_bytes_per_s=1e9)
    value = base.figures[figure].value
    least = 1 if figure in ("threads", "devices") else value / 1e6
    poor, rich = (with_figures(base, **{figure: given}) for given in (least, 64 * value))
    assert estimate(circuit, poor).latency_s > 1.01 * estimate(circuit, rich).latency_s


def published(machine: HardwareProfile) -> HardwareProfile:
    """The machine as if all its figures were published."""
    figures = {
        name: figure.model_copy(update={"source": Source.PUBLISHED, "ref": "a test"})
        for name, figure in machine.figures.items()
    }
    return machine.changed(figures=figures)


@pytest.mark.parametrize("name", MACHINES)
@settings(max_examples=10)
@given(circuit=profiles(), factor=st.sampled_from([0.5, 2]))
def test_a_time_that_a_figure_lengthens_rests_on_it(name, circuit, factor):
    circuit, machine = fitting(circuit), published(without_limits(MACHINES[name]))
    as_it_is = estimate(circuit, machine)
    assert set(as_it_is.sources) == {Source.PUBLISHED}
    for figure, known in machine.figures.items():
        value = known.value * factor
        if value < 1 and figure in ("devices", "batch", "threads", "extrapolation_per_doubling"):
            continue
        if figure.startswith("tuned_") and not figure.endswith("_s"):
            continue  # Which sets have a kernel of their own.
        if known.value == 0 or ((value > 1 and "share" in figure) or "efficiency" in figure):
            continue
        if not value.is_integer() and figure in ("devices", "batch", "threads"):
            continue
        supposed = estimate(circuit, with_figures(machine, **{figure: value}))
        if supposed.latency_s > 1.001 * as_it_is.latency_s:
            assert Source.ASSUMED in supposed.sources, figure


@given(circuit=profiles(), factor=st.integers(2, 64))
def test_less_thread_efficiency_is_never_faster(circuit, factor):
    circuit = fitting(circuit)
    efficiency = CPU.figures["thread_efficiency"].value
    worse = with_figures(CPU, thread_efficiency=efficiency / factor)
    assert estimate(circuit, CPU).latency_s <= estimate(circuit, worse).latency_s * (1 + 1e-9)


def test_a_set_beyond_the_largest_n_is_refused_by_name(saved_profile):
    small = with_figures(STRIX, largest_polynomial_size=4096)
    with pytest.raises(ImpossibleError) as caught:
        estimate(saved_profile, small)
    message = str(caught.value)
    assert message.startswith("strix: can't hold the parameter set n=")
    assert f"N={saved_profile.largest_polynomial_size} " in message
    assert "largest N is 4,096" in message
    assert "fewer bits" in message


def test_all_skips_what_cant_run_and_says_so(saved_profile):
    small = with_figures(STRIX, largest_polynomial_size=4096)
    report = estimate_all(saved_profile, [CPU, small], skip_impossible=True)
    assert [e.hardware for e in report.estimates] == [CPU.name]
    (refusal,) = report.refusals
    assert refusal.hardware == "strix"
    assert refusal.reason.startswith("can't hold")
    with pytest.raises(ImpossibleError, match="no machine can run the circuit: strix: can't hold"):
        estimate_all(saved_profile, [small], skip_impossible=True)
