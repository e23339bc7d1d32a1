"""The latency models: small cases by hand, and properties that hold for every circuit."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhecost.circuits.profile import CircuitProfile
from fhecost.circuits.work import pbs_units
from fhecost.errors import ImpossibleError
from fhecost.hardware.estimate import Bottleneck
from fhecost.hardware.estimation import estimate, estimate_all
from fhecost.hardware.library import load_hardware
from fhecost.hardware.profile import HardwareProfile
from fhecost.provenance import Figure, Source
from tests.test_profile import profiles

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
    return machine.model_copy(update={"figures": figures})


def fitting(circuit: CircuitProfile) -> CircuitProfile:
    """The circuit with keys that fit every machine, so that only time is at stake."""
    return CircuitProfile.model_validate(
        {**circuit.model_dump(), "bsk_bytes": 10**9, "ksk_bytes": 10**9, "hash": ""}
    )


def doubled(circuit: CircuitProfile) -> CircuitProfile:
    """The same circuit with twice the steps in every stage."""
    content = circuit.model_dump()
    for stage in content["stages"]:
        stage["depth"] *= 2
        for use in (*stage["pbs"], *stage["key_switches"], *stage["linear"]):
            use["count"] *= 2
    return CircuitProfile.model_validate({**content, "hash": ""})


def test_cpu_time_by_hand(saved_profile):
    stage = next(s for s in saved_profile.stages if s.name == "scores")
    only = CircuitProfile.model_validate(
        {
            **saved_profile.model_dump(),
            "stages": [
                {**stage.model_dump(), "predecessors": [], "linear": [], "key_switches": []}
            ],
            "bsk_bytes": 0,
            "ksk_bytes": 0,
            "hash": "",
        }
    )
    machine = with_figures(
        CPU, threads=4, thread_efficiency=0.5, fourier_unit_s=2e-10, external_product_unit_s=1e-30
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
    estimated = estimate(fitting(circuit), MACHINES[name])
    assert 0 < estimated.low_s <= estimated.latency_s <= estimated.high_s
    assert sum(part.latency_s for part in estimated.by_stage) == pytest.approx(estimated.latency_s)
    assert sum(estimated.by_operation_s.values()) == pytest.approx(estimated.latency_s)
    assert sum(estimated.sources.values()) == pytest.approx(1)
    for part in estimated.by_stage:
        assert sum(part.by_operation_s.values()) == pytest.approx(part.latency_s)


@pytest.mark.parametrize("name", MACHINES)
@given(circuit=profiles())
def test_twice_the_steps_take_twice_the_time(name, circuit):
    circuit = fitting(circuit)
    fixed = {"keys", "host transfer"}
    once, twice = (
        sum(p.latency_s for p in estimate(c, MACHINES[name]).by_stage if p.stage not in fixed)
        for c in (circuit, doubled(circuit))
    )
    assert twice == pytest.approx(2 * once)


@pytest.mark.parametrize(
    ("machine", "figure"),
    [
        ("epyc-zen4-2", "threads"),
        ("h100", "saturated_rate_units_per_s"),
        ("h100", "single_pbs_rate_units_per_s"),
        ("h100", "memory_bandwidth_bytes_per_s"),
        ("strix", "work_rate_units_per_s"),
        ("strix", "memory_bandwidth_bytes_per_s"),
    ],
)
@given(circuit=profiles(), factor=st.integers(2, 64))
def test_more_of_a_good_thing_is_never_slower(machine, figure, circuit, factor):
    circuit, base = fitting(circuit), MACHINES[machine]
    better = with_figures(base, **{figure: base.figures[figure].value * factor})
    assert estimate(circuit, better).latency_s <= estimate(circuit, base).latency_s * (1 + 1e-9)


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
    assert "fewer --bits" in message


@pytest.mark.parametrize("name", ["epyc-zen4-2", "h100"])
def test_keys_beyond_the_memory_are_refused(name, saved_profile):
    small = with_figures(MACHINES[name], memory_bytes=1e9)
    with pytest.raises(ImpossibleError, match=f"{name}: the keys need .* GB"):
        estimate(saved_profile, small)


def test_all_skips_what_cant_run_and_says_so(saved_profile):
    small = with_figures(STRIX, largest_polynomial_size=4096)
    report = estimate_all(saved_profile, [CPU, small], skip_impossible=True)
    assert [e.hardware for e in report.estimates] == [CPU.name]
    (refusal,) = report.refusals
    assert refusal.hardware == "strix"
    assert refusal.reason.startswith("can't hold")
    with pytest.raises(ImpossibleError, match="no machine can run the circuit: strix: can't hold"):
        estimate_all(saved_profile, [small], skip_impossible=True)
