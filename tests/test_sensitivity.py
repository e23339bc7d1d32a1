"""Which figure of a machine matters for a circuit."""

import pytest

import fhecost
from fhecost.hardware.sensitivity import sensitivity


@pytest.fixture(scope="module")
def of_cpu(saved_profile):
    return sensitivity(saved_profile, fhecost.find_hardware("epyc-zen4-2"))


def test_each_figure_is_changed_alone(of_cpu, saved_profile):
    machine = fhecost.find_hardware("epyc-zen4-2")
    found = {one.figure: one for one in of_cpu.figures}
    for name in ("external_product_unit_s", "fourier_unit_s", "key_switch_unit_s"):
        value = machine.figures[name].value
        more = fhecost.estimate(saved_profile, fhecost.with_figures(machine, {name: 1.1 * value}))
        assert found[name].more.latency_s == more.latency_s > of_cpu.latency_s
        assert found[name].less.latency_s < of_cpu.latency_s
        assert found[name].lowest.value == machine.figures[name].low


def test_a_count_takes_the_next_step(of_cpu):
    threads = next(one for one in of_cpu.figures if one.figure == "threads")
    assert (threads.less.value, threads.value, threads.more.value) == (1, 2, 3)
    assert threads.more.latency_s < of_cpu.latency_s < threads.less.latency_s


def test_the_strongest_is_first_and_what_changes_nothing_is_left_out(of_cpu):
    swings = [one.swing(of_cpu.latency_s) for one in of_cpu.figures]
    assert swings == sorted(swings, reverse=True)
    assert min(swings) > 0
    assert "memory_bytes" not in {one.figure for one in of_cpu.figures}


def test_a_value_with_which_it_cant_run_is_the_strongest(saved_profile):
    machine = fhecost.find_hardware("h100")
    needed = saved_profile.bsk_bytes + saved_profile.ksk_bytes
    tight = fhecost.with_figures(machine, {"memory_bytes": 1.05 * needed})
    found = sensitivity(saved_profile, tight)
    memory = next(one for one in found.figures if one.figure == "memory_bytes")
    assert memory.less.latency_s is None
    assert memory.swing(found.latency_s) == found.figures[0].swing(found.latency_s) == float("inf")
