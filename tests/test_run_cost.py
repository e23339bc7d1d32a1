"""What a run costs beside its operations: start, inputs and outputs, launches and copies."""

import pytest

from fhecost.circuits.profile import CircuitProfile, LinearUse, Stage
from fhecost.errors import UsageError
from fhecost.hardware.estimator import estimate
from fhecost.hardware.library import load_hardware
from fhecost.hardware.what_if import with_figures
from fhecost.measurement.machine import this_machine
from fhecost.measurement.records import Microbenchmark, TransferSample
from fhecost.measurement.transfer_fit import CONSTANTS, fit_transfers
from fhecost.report.profile_document import profile_document
from fhecost.report.render import as_table

CPU, H100, FPGA, ASIC = (
    load_hardware(name)[0] for name in ("epyc-zen4-2", "h100", "hpu-v80", "strix")
)
ADDITION = LinearUse(operation="encrypted_addition", lwe_dimension=512, count=1)


def addition(input_bytes: int = 8208, output_bytes: int = 4104) -> CircuitProfile:
    """``x + y``, which has no lookup and no key."""
    return CircuitProfile(
        name="x + y",
        source="a test",
        stages=(Stage(name="sum", linear=(ADDITION,), parallel_width=1),),
        bsk_bytes=0,
        ksk_bytes=0,
        input_bytes=input_bytes,
        output_bytes=output_bytes,
        max_bit_width=4,
        complexity=513.0,
        p_error=0.0,
        global_p_error=0.0,
    )


def test_a_run_on_a_cpu_costs_its_start_and_each_byte():
    figures = {name: figure.value for name, figure in CPU.figures.items()}
    run, taken, given, fresh = (figures[name] for name in CONSTANTS)
    for inputs, outputs in ((8208, 4104), (5000, 9_000_000)):
        made = estimate(addition(inputs, outputs), CPU)
        expected = run + taken * inputs + given * outputs + fresh * max(inputs, outputs)
        assert made.by_operation_s["transfer"] == pytest.approx(expected)
        assert made.latency_s > 0.5e-3


def test_a_machine_without_the_figures_says_that_it_leaves_them_out():
    without = {n: f for n, f in CPU.figures.items() if n not in ("run_s", "input_byte_s")}
    made = estimate(addition(), CPU.changed(figures=without))
    assert made.by_operation_s["transfer"] is None
    kernels = {name: figure for name, figure in H100.figures.items() if name != "launch_s"}
    made = estimate(addition(), H100.changed(figures=kernels))
    assert "unknown: what starting kernels takes" in made.assumptions
    assert not any("unknown" in said for said in estimate(addition(), H100).assumptions)


def test_a_gpu_starts_a_kernel_and_a_copy_each_way():
    figures = {name: figure.value for name, figure in H100.figures.items()}
    made = estimate(addition(), H100)
    assert made.latency_s > 2 * figures["host_link_start_s"] + figures["launch_s"]
    assert made.latency_s < 2.1 * figures["host_link_start_s"] + 1.1 * figures["launch_s"]
    assert made.low_s > 1e-5


def test_a_board_starts_a_copy_each_way_and_a_chip_without_a_link_says_nothing():
    start_s = FPGA.figures["host_link_start_s"].value
    assert estimate(addition(), FPGA).by_operation_s["transfer"] > 2 * start_s
    made = estimate(addition(), ASIC)
    assert made.by_operation_s["transfer"] is None
    # Such a chip's nanoseconds are no latency of a run, and the estimate says so.
    assert any("longer than the range says" in said for said in made.assumptions)
    assert not any("range says" in said for said in estimate(addition(), FPGA).assumptions)


def test_a_circuit_with_lookups_needs_no_such_word(saved_profile):
    assert not any("range says" in said for said in estimate(saved_profile, ASIC).assumptions)


def test_a_circuit_without_lookups_is_told_nothing_of_them(saved_profile):
    words = ("per TLU", "widest stage", "wait for each other")
    said = as_table(profile_document(addition()))
    assert "0 PBS, 0 KS, 1 linear operations; at most 4 bits; p_error 0.0e+00 for the" in said
    assert not any(word in said for word in words)
    with_lookups = as_table(profile_document(saved_profile))
    assert all(word in with_lookups for word in words)


def test_operations_that_are_no_circuit_are_no_run():
    assert estimate(addition(0, 0), CPU).by_operation_s["transfer"] == 0
    assert estimate(addition(0, 0), H100).by_operation_s["transfer"] == 0


def imagined(run_s: float, input_s: float, output_s: float, fresh_s: float) -> Microbenchmark:
    """Raw times of a machine with these constants, each torus element taking 1 ns."""
    sizes = [2**power for power in range(12, 26)]
    pairs = [(size, size) for size in sizes] + [(size, 4096) for size in sizes]
    pairs += [(4096, size) for size in sizes]
    samples = [
        TransferSample(
            threads=2,
            seconds=(
                run_s
                + input_s * pair[0]
                + output_s * pair[1]
                + fresh_s * max(pair)
                + 1e-9 * (pair[0] // 8),
            ),
            input_bytes=pair[0],
            output_bytes=pair[1],
            elements=pair[0] // 8,
        )
        for pair in pairs
    ]
    return Microbenchmark(
        started="2026-11-26T00:00:00+00:00",
        machine=this_machine(),
        versions={},
        lookups=(),
        linear=(),
        transfers=tuple(samples),
    )


def test_the_fit_finds_the_constants_of_a_machine():
    told = (1e-3, 2e-9, 0.5e-9, 3e-9)
    fit = fit_transfers(imagined(*told), 1e-9)
    assert [fit.constants[name] for name in CONSTANTS] == pytest.approx(told, rel=1e-6)
    assert fit.spread < 1e-6


def test_too_few_samples_or_impossible_ones_are_refused():
    whole = imagined(1e-3, 2e-9, 0.5e-9, 3e-9)
    with pytest.raises(UsageError, match="at least 5 circuits without lookups"):
        fit_transfers(whole.changed(transfers=whole.transfers[:4]), 1e-9)
    with pytest.raises(UsageError, match="longer than their linear operations"):
        fit_transfers(whole, 1.0)
    taken = tuple(one for one in whole.transfers if one.input_bytes > one.output_bytes)
    with pytest.raises(UsageError, match="more inputs than outputs, and with fewer"):
        fit_transfers(whole.changed(transfers=taken), 1e-9)


def test_what_is_supposed_of_a_run_counts():
    supposed = with_figures(CPU, {"run_s": 10e-3})
    assert estimate(addition(), supposed).latency_s > 10e-3
