"""Memory of runs: copies of inputs and outputs, values and keys, held against every record."""

import statistics

import pytest

from fhecost.circuits.profile import CircuitProfile, LinearUse, Stage
from fhecost.errors import ImpossibleError
from fhecost.hardware.estimator import estimate
from fhecost.hardware.library import find_hardware
from fhecost.hardware.run_memory import run_memory
from fhecost.measurement.run_record import load_records
from fhecost.validation.comparison import validate
from tests.conftest import ROOT, load_script

RUNS = ROOT / "experiments" / "runs"


def fitted():
    """What ``experiments/memory/fit.py`` derives."""
    return load_script(ROOT / "experiments" / "memory" / "fit.py", "memory_fit").derived()


def test_the_figures_are_those_of_the_raw_measurements():
    figures = run_memory()
    for name, value in fitted().items():
        assert getattr(figures, name).value == pytest.approx(value, rel=0.02), name
    assert figures.returned_bytes.value == 4 * 1024 * 1024 * 8  # DEFAULT_MMAP_THRESHOLD_MAX


def test_memory_of_every_committed_run_is_within_12_percent():
    """No figure is fitted to one of them; each is held against the calibration of its machine."""
    errors = {}
    for path in sorted([*RUNS.glob("*.jsonl"), *RUNS.glob("xeon/*.jsonl")]):
        of_xeon = path.parent.name == "xeon" and load_records(path)[0].calibration is None
        machine = ("full", [RUNS / "xeon"]) if of_xeon else ()
        report = validate([path], *machine)
        for row in report.rows:
            if row.quantity == "memory":
                errors[path.name, row.run, row.name] = row.error
    assert len(errors) >= 70
    assert {name: error for name, error in errors.items() if abs(error) > 0.12} == {}
    assert statistics.median(map(abs, errors.values())) < 0.03
    flagship = [error for (file, *_), error in errors.items() if file == "gpt2-124m.jsonl"]
    assert max(map(abs, flagship)) < 0.03


def circuit(input_bytes, bsk_bytes=0, width=0):
    """``input_bytes`` of inputs, and additions of them."""
    addition = LinearUse(operation="encrypted_addition", lwe_dimension=512, count=1)
    return CircuitProfile(
        name="sum", source="a test",
        stages=(Stage(name="sum", linear=(addition,), parallel_width=max(1, width)),),
        bsk_bytes=bsk_bytes, ksk_bytes=0, input_bytes=input_bytes, output_bytes=0,
        max_bit_width=4, complexity=513.0, p_error=0.0, global_p_error=0.0,
    )  # fmt: skip


def test_inputs_are_there_seven_times_before_the_keys_are_made_ready():
    figures = run_memory()
    held = figures.bytes_beside(circuit(10**9), 1e9)
    assert held == pytest.approx(figures.input_copies.value * 1e9, rel=0.01)
    # With larger keys it is what they and the inputs take while the circuit runs.
    more = figures.bytes_beside(circuit(10**9), 8e9)
    assert more == pytest.approx(8e9 + figures.computing_input_copies.value * 1e9, rel=0.01)


def test_what_small_inputs_had_is_kept_by_the_c_library():
    figures = run_memory()
    held = figures.bytes_beside(circuit(10**7), 1e9)
    assert held == pytest.approx(1e9 + figures.small_input_copies.value * 1e7, rel=0.01)


def test_a_machine_without_room_for_the_copies_is_refused():
    machine = find_hardware("epyc-zen4-2")
    made = estimate(circuit(3 * 10**9), machine)
    assert made.preparation.peak_memory_bytes > 7 * 3e9
    with pytest.raises(ImpossibleError, match=r"need at least 28\.\d GB"):
        estimate(circuit(4 * 10**9), machine)
