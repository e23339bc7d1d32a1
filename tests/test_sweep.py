"""Sweeps: what points come to, and how results are printed."""

import json
import pickle
import subprocess
import sys
from dataclasses import dataclass, replace
from importlib.util import find_spec

import jsonschema
import pytest

import fhecost
from fhecost.circuit_request import PredictedShape
from fhecost.errors import UsageError
from fhecost.heads.fast import fast_setting
from fhecost.heads.other_error import at_p_error
from fhecost.heads.stated import StatedShape
from fhecost.heads.variants import VARIANTS, Variant
from fhecost.schemas import schema_path
from fhecost.sweep.records import SweepResult
from fhecost.sweep.run import run_sweep
from tests.sweeps import here, small, undisturbed, write

__all__ = ["here", "small", "undisturbed", "write"]


def test_a_point_is_what_the_other_commands_say_of_it(small, tmp_path):
    report = run_sweep(small, tmp_path / "r.jsonl", processes=2)
    assert (report.points, report.done, report.failed) == (8, 8, 0)
    shape = fhecost.find_shape("gpt2")
    for result in report.results:
        point = result.point
        request = fhecost.ShapeRequest(
            shape, "head", point.seq_len, point.bits, point.variant, heads=1
        )
        profile = fhecost.find_circuit(PredictedShape(request))
        made = fhecost.estimate(profile, fhecost.find_hardware(point.hardware))
        assert result.counted.pbs_count == profile.pbs_count
        assert result.counted.hash == result.estimate.circuit_hash == profile.hash
        assert (result.estimate.latency_s, result.estimate.high_s) == (made.latency_s, made.high_s)
        assert result.provenance.hardware_hash == made.hardware_hash


def test_results_are_lines_of_their_schema_in_the_order_of_the_points(undisturbed):
    schema = json.loads(schema_path("sweep_result").read_text())
    lines = [json.loads(line) for line in undisturbed.splitlines()]
    for line in lines:
        jsonschema.validate(line, schema)
        assert json.loads(SweepResult.model_validate(line).line) == line
    found = [(one["point"]["seq_len"], one["point"]["bits"]) for one in lines]
    assert found == [(2, 2)] * 2 + [(2, 3)] * 2 + [(3, 2)] * 2 + [(3, 3)] * 2


def test_what_can_not_be_is_said_and_stops_nothing(write, tmp_path):
    grid = {"model": "gpt2", "variant": "reference", "bits": [3, 8]}
    path = write(
        {"steps": ["count", "estimate"], "grid": {**grid, "hardware": ["strix", "epyc-zen4-2"]}}
    )
    report = run_sweep(path, tmp_path / "r.jsonl", processes=1)
    assert (report.done, report.impossible, report.failed) == (1, 3, 0)
    small, whole, *wide = report.results
    assert whole.estimate is not None
    # The machine can't hold it; the circuit is known all the same.
    assert small.status == "impossible"
    assert small.reason.startswith("strix: ")
    assert small.counted == whole.counted
    assert small.estimate is None
    # There is no such circuit.
    assert {(one.status, one.counted) for one in wide} == {("impossible", None)}
    assert "no parameter set" in wide[0].reason


@pytest.mark.parametrize("variant", ["compact", "reference"])
def test_lookups_that_may_err_more_often_cost_less(write, tmp_path, variant):
    grid = {"model": "gpt2", "seq_len": 2, "variant": variant, "p_error": [None, 1e-6, 1e-3]}
    path = write({"steps": "count", "grid": {**grid, "bits": 3}})
    report = run_sweep(path, tmp_path / "r.jsonl", processes=1)
    usual, rare, often = (one.counted for one in report.results)
    assert usual.pbs_count == rare.pbs_count == often.pbs_count
    assert often.complexity < rare.complexity
    assert rare.p_error <= 1e-6 < often.p_error <= 1e-3


def test_settings_are_those_of_the_variant_with_some_changed(write, tmp_path):
    head = {"model": "gpt2", "seq_len": 2, "bits": 4}
    grid = {**head, "settings": {"value_rank": [8, 32]}}
    path = write({"steps": "count", "grid": grid})
    report = run_sweep(path, tmp_path / "r.jsonl", processes=1)
    few, usual = (one.counted for one in report.results)
    assert few.pbs_count < usual.pbs_count
    shipped = run_sweep(write({"steps": "count", "grid": head}), tmp_path / "s.jsonl")
    # The shipped setting at 4 bits keeps 32 columns.
    assert usual.pbs_count == shipped.results[0].counted.pbs_count
    assert usual.complexity == shipped.results[0].counted.complexity


def test_settings_of_a_llama_start_from_those_of_heads_that_turn(write, tmp_path):
    """From 5 bits on these keep more columns than a GPT-2's."""
    head = {"model": "tinyllama", "variant": "fast", "seq_len": 2, "bits": 5}
    setting, _ = fast_setting(5, turns=True)
    grid = {**head, "settings": {"value_shift": setting.value_shift}}
    paths = (
        write({"steps": "count", "grid": grid}),
        write({"steps": "count", "grid": head}, "s.yaml"),
    )
    changed, shipped = (
        run_sweep(path, tmp_path / f"{path.stem}.jsonl", processes=1).results[0].counted
        for path in paths
    )
    assert changed.pbs_count == shipped.pbs_count
    assert changed.complexity == shipped.complexity


@pytest.mark.parametrize("name", ["compact", "reference", "compact-attention", "fast"])
def test_another_error_is_another_variant_that_goes_to_other_processes(name):
    variant = pickle.loads(pickle.dumps(at_p_error(VARIANTS[name], 1e-3)))
    assert variant.name == f"{name}@0.001"
    stated = StatedShape(width=64, dimension=16, heads=4, seq_len=2, n_bits=4)
    heads = variant.state(stated, None).heads
    assert heads.rules == replace(VARIANTS[name].state(stated, None).heads.rules, p_error=1e-3)


def test_a_request_takes_a_variant_as_well_as_its_name():
    shape = fhecost.find_shape("gpt2")
    by_name, by_itself = (
        fhecost.find_circuit(PredictedShape(fhecost.ShapeRequest(shape, "head", 2, 3, variant)))
        for variant in ("compact", VARIANTS["compact"])
    )
    assert by_name == by_itself


def test_heads_whose_rules_are_fixed_have_no_other_error(write):
    @dataclass(frozen=True)
    class Fixed:
        rules = VARIANTS["reference"].heads.rules

    with pytest.raises(UsageError, match="p_error: the variant mine has its own, which is fixed"):
        at_p_error(Variant("mine", Fixed, len, None), 1e-3)
    with pytest.raises(UsageError, match=r"p_error 0\.5: must be above 0 and below 0.5"):
        at_p_error(VARIANTS["fast"], 0.5)


def test_accuracy_is_that_of_the_command(write, tmp_path):
    pytest.importorskip("torch", reason="needs the extra [gpt2]")
    (tmp_path / "s.txt").write_text("The rain had stopped before we reached the farm.\n")
    grid = {"variant": "compact", "seq_len": 4, "heads": [0, "all"], "bits": [3]}
    path = write({"steps": ["count", "accuracy"], "grid": grid, "sentences": "s.txt"})
    report = run_sweep(path, tmp_path / "r.jsonl", processes=1)
    judged = fhecost.measure_accuracy(
        bits=[3], seq_lens=[4], heads=[0, "all"], variant="compact", sentences=tmp_path / "s.txt"
    )
    assert tuple(one.accuracy for one in report.results) == judged.rows
    for result, heads in zip(report.results, ((0,), "all"), strict=True):
        request = fhecost.HeadRequest(heads=heads, seq_len=4, bits=3, variant="compact")
        profile = fhecost.find_circuit(fhecost.PredictedHeads(request))
        assert result.counted.hash == profile.hash


@pytest.mark.slow
def test_compiled_at_another_p_error_is_what_the_closed_form_says(write, tmp_path):
    pytest.importorskip("concrete", reason="needs the extra [concrete]")
    grid = {"seq_len": 2, "bits": 3, "variant": ["compact", "reference", "fast"], "p_error": 1e-3}
    path = write({"steps": ["count", "compile"], "grid": grid})
    report = run_sweep(path, tmp_path / "r.jsonl")
    assert report.done == 3, [one.reason for one in report.results]
    for result in report.results:
        compiled, counted = result.compiled, result.counted
        # Of so short a reference head the closed form takes two lookups for constants, whatever
        # the error; what is asked here is whether Concrete was told of it.
        off = 2 if result.point.variant == "reference" else 0
        assert abs(compiled.pbs_count - counted.pbs_count) <= off
        assert compiled.complexity == pytest.approx(counted.complexity, rel=0.01)
        assert counted.p_error == pytest.approx(compiled.p_error, rel=1e-6)
        assert 9e-4 < compiled.p_error <= 1e-3


@pytest.mark.slow
def test_a_measured_run_stands_beside_what_was_predicted(write, tmp_path):
    pytest.importorskip("concrete", reason="needs the extra [concrete]")
    grid = {"seq_len": 2, "bits": 2, "hardware": "epyc-zen4-2"}
    options = {"measure": {"warm_runs": 1}}
    path = write({"steps": ["measure", "estimate"], "grid": grid, **options})
    report = run_sweep(path, tmp_path / "r.jsonl")
    (result,) = report.results
    assert result.status == "done", result.reason
    assert len(result.measured.times.warm_s) == 1
    assert result.measured.wrong_values <= result.measured.values
    assert result.measured.predicted.hardware == "epyc-zen4-2"
    assert result.compiled.hash == result.estimate.circuit_hash


@pytest.mark.parametrize("field", ["processes", "dask"])
def test_measured_runs_go_one_at_a_time(write, tmp_path, field):
    path = write({"steps": "measure", "grid": {"bits": 3}})
    with pytest.raises(UsageError, match=f"{field} 2: runs that are measured go one at a time"):
        run_sweep(path, tmp_path / "r.jsonl", **{field: 2})


def test_formats(run_fhecost, small, tmp_path, undisturbed):
    table = run_fhecost("sweep", "small.yaml")
    assert table.returncode == 0, table.stderr
    assert (tmp_path / "small.jsonl").read_bytes() == undisturbed
    assert "small: 8 points: 8 done, 0 impossible, 0 failed" in table.stdout
    assert max(map(len, table.stdout.splitlines())) <= 80
    printed = run_fhecost("sweep", "small.yaml", "--resume", "--format", "json")
    content = json.loads(printed.stdout)
    jsonschema.validate(content, json.loads(schema_path("sweep").read_text()))
    assert [SweepResult.model_validate(one).line for one in content["results"]] == [
        line.decode() for line in undisturbed.splitlines()
    ]
    csv = run_fhecost("sweep", "small.yaml", "--resume", "--format", "csv").stdout.splitlines()
    assert csv[0].startswith("model,scope,layer,heads,seq_len,bits,variant,mode,hardware,")
    assert len(csv) == 9


def test_parquet_holds_the_same_figures(run_fhecost, small, tmp_path, undisturbed):
    if find_spec("pyarrow") is None:
        pytest.skip("needs the extra [parquet]")
    finished = run_fhecost("sweep", "small.yaml", "--format", "parquet")
    assert (finished.returncode, finished.stdout) == (0, "small.parquet\n"), finished.stderr
    # It may not load beside the NumPy that is installed here.
    reading = (
        "import sys, json; sys.modules['numpy'] = None\n"
        "from pyarrow import parquet\n"
        "print(json.dumps(parquet.read_table('small.parquet').to_pylist()))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", reading], cwd=tmp_path, capture_output=True, check=True, text=True
    )
    rows = json.loads(ran.stdout)
    for row, line in zip(rows, map(json.loads, undisturbed.splitlines()), strict=True):
        assert row["seq_len"] == line["point"]["seq_len"]
        assert row["hardware"] == line["point"]["hardware"]
        assert row["counted.pbs_count"] == line["counted"]["pbs_count"]
        assert row["estimate.latency_s"] == line["estimate"]["latency_s"]
