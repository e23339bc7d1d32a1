"""Sweeps: which points an experiment has, what they come to, and that no result is lost."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import jsonschema
import pytest
import yaml

import fhecost
from fhecost.circuit_request import PredictedShape
from fhecost.engine.here import Here
from fhecost.engine.outcome import Lost
from fhecost.errors import UsageError
from fhecost.heads.compact import compact_setting
from fhecost.heads.fast import fast_setting
from fhecost.heads.other_error import at_p_error
from fhecost.heads.saved_setting import SavedSetting, save_setting
from fhecost.heads.stated import StatedShape
from fhecost.heads.variants import VARIANTS, Variant
from fhecost.json_lines import kept_lines
from fhecost.schemas import schema_path
from fhecost.sweep import run
from fhecost.sweep.plan import plan_of
from fhecost.sweep.records import SweepResult
from fhecost.sweep.results_file import load_results
from fhecost.sweep.run import run_sweep
from tests.conftest import ROOT
from tests.test_nothing_lost import room_for

SMALL = {
    "title": "small",
    "steps": ["count", "estimate"],
    "grid": {
        "model": "gpt2",
        "variant": "compact",
        "seq_len": [2, 3],
        "bits": [2, 3],
        "hardware": ["h100", "strix"],
    },
}
"""Eight points of four circuits, in closed form."""


@pytest.fixture
def write(tmp_path):
    """Write an experiment's file."""

    def written(content, name="small.yaml"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    return written


@pytest.fixture
def small(write):
    return write(SMALL)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The file of results of the small experiment, in bytes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(SMALL))
    run_sweep(path, folder / "r.jsonl", processes=2)
    return (folder / "r.jsonl").read_bytes()


@pytest.fixture
def here(monkeypatch):
    """Tasks in this process, where a test can see and change what they do."""
    monkeypatch.setattr(run, "runner", lambda *_, **__: _Within(Here()))


class _Within:
    def __init__(self, place):
        self.place = place

    def __enter__(self):
        return self.place

    def __exit__(self, *_):
        pass


# Which points.


def points(content):
    return [one.point for one in fhecost.Experiment.model_validate(content).placed()]


def test_a_grid_is_all_combinations_and_the_machine_changes_first():
    found = points(SMALL)
    assert [(one.seq_len, one.bits, one.hardware) for one in found] == [
        (length, bits, machine)
        for length in (2, 3)
        for bits in (2, 3)
        for machine in ("h100", "strix")
    ]
    assert {one.model for one in found} == {"gpt2"}
    # What isn't said is as the command line has it.
    assert {(one.layer, one.heads, one.mode) for one in found} == {(0, (0,), "disable")}


def test_each_point_of_a_list_goes_with_each_combination():
    found = points(
        {
            "steps": "count",
            "points": [{"model": "gpt2"}, {"heads": [0, 2], "layer": 1}],
            "grid": {"bits": [2, 3], "settings": {"input_bits": [4, 5]}},
        }
    )
    assert [(p.model, p.heads, p.layer, p.bits, p.settings["input_bits"]) for p in found] == [
        (*of, bits, wide)
        for of in (("gpt2", (0,), 0), ("embedded", (0, 2), 1))
        for bits in (2, 3)
        for wide in (4, 5)
    ]


def test_heads_of_a_grid_are_groups():
    found = points({"steps": "count", "grid": {"heads": [1, "all", [0, 2]]}})
    assert [one.heads for one in found] == [(1,), "all", (0, 2)]


def test_all_machines_are_a_point_each(write):
    path = write({"steps": ["count", "estimate"], "grid": {"model": "gpt2", "hardware": "all"}})
    machines = [one.machine.name for one in plan_of(path).points]
    assert machines == [one.name for one in fhecost.load_hardware("all")]


def test_paths_are_from_the_folder_of_the_file(write, tmp_path, monkeypatch):
    folder = tmp_path / "beside"
    folder.mkdir()
    machine = (ROOT / "hardware" / "strix.yaml").read_text()
    (folder / "mine.yaml").write_text(machine)
    setting = SavedSetting(settings=(compact_setting(3),))
    save_setting(setting, folder / "mine.json")
    path = write(
        {
            "steps": ["count", "estimate"],
            "grid": {"model": "gpt2", "variant": "mine.json", "hardware": "mine"},
            "hardware_path": ".",
        },
        "beside/x.yaml",
    )
    (planned,) = plan_of(path).points
    # The result says what was in the file, which may change.
    assert planned.point.variant == setting
    assert planned.machine.name == "mine"


BAD = {
    "not YAML": ("steps: [", "not YAML: line 1"),
    "no mapping": ("- 1", "not an experiment: the top level must be a mapping"),
    "a key twice": ("steps: count\nsteps: count", "'steps' is twice"),
    "no steps": ({"grid": {"bits": 3}}, "steps: field required"),
    "another step": ({"steps": ["cont"], "grid": {"bits": 3}}, "steps.0: input should be 'count'"),
    "a step twice": ({"steps": ["count"] * 2, "grid": {"bits": 3}}, "steps: one is named twice"),
    "no points": ({"steps": "count"}, "grid: there are no points: name fields in grid, or points"),
    "no field": (
        {"steps": "count", "grid": {"bitz": 3}},
        "grid.bitz: no such field; there are model, scope, layer",
    ),
    "no field of a point": (
        {"steps": "count", "points": [{"bitz": 3}]},
        "points.0.bitz: no such field; there are model,",
    ),
    "no field at the top": ({"step": "count"}, "no such field; there are title, steps, grid"),
    "no number": ({"steps": "count", "grid": {"bits": [3, "4"]}}, "grid.bits.1: input should be"),
    "bits": ({"steps": "count", "grid": {"bits": [3, 9]}}, "grid.bits.1: must be from 2 to 8"),
    "a length": (
        {"steps": "count", "grid": {"seq_len": [2, 257]}},
        "grid.seq_len.1: must be from 2 to 256, the model's context, not 257",
    ),
    "a layer": (
        {"steps": "count", "points": [{"layer": 4}]},
        "points.0.layer: the model has layers 0 to 3, not 4",
    ),
    "heads": (
        {"steps": "count", "grid": {"heads": [0, [1, 4]]}},
        "grid.heads.1: the layer has heads 0 to 3, not 4",
    ),
    "no heads": (
        {"steps": "count", "grid": {"heads": ["first"]}},
        "grid.heads.0: must be a head from 0, several as [0, 2], or all",
    ),
    "a variant": ({"steps": "count", "grid": {"variant": "fats"}}, "grid.variant.0: unknown;"),
    "a variant's file": (
        {"steps": "count", "grid": {"variant": "none.json"}},
        "grid.variant.0: ",
    ),
    "a variant's settings": (
        {"steps": "count", "grid": {"variant": [{"settings": [{}]}]}},
        "grid.variant.0: settings.0.input_bits: field required",
    ),
    "no setting": (
        {"steps": "count", "grid": {"settings": {"inputs": 3}}},
        "grid.settings: no setting 'inputs'; there are input_bits,",
    ),
    "a setting": (
        {"steps": "count", "grid": {"settings": {"input_bits": [4, 40]}}},
        "grid.settings: input_bits must be from 2 to 20, not 40",
    ),
    "bits of settings": (
        {"steps": "count", "grid": {"bits": 30, "settings": {"input_bits": 4}}},
        "grid.bits.0: must be from 2 to 8, not 30",
    ),
    "settings of another variant": (
        {"steps": "count", "grid": {"variant": "reference", "settings": {"input_bits": 4}}},
        "grid.settings: the variant reference has none to change; fast and compact have",
    ),
    "p_error": (
        {"steps": "count", "grid": {"p_error": [0.1, 0.5]}},
        "grid.p_error.1: input should be less than 0.5",
    ),
    "a model": ({"steps": "count", "grid": {"model": "nowhere"}}, "grid.model.0: no shape"),
    "no weights": (
        {"steps": "count", "grid": {"model": "gpt2", "widths": "calibrated"}},
        "grid.widths.0: model gpt2 has no weights at hand",
    ),
    "a layer of a shape": (
        {"steps": "count", "points": [{"model": "gpt2", "layer": 1}]},
        "points.0.layer: a shape alone has no layer; leave it out",
    ),
    "a variant of a layer": (
        {"steps": "count", "grid": {"scope": ["layer"], "variant": "fast"}},
        "grid.variant.0: scope layer has all heads, compact; leave it out",
    ),
    "a compiled layer": (
        {"steps": "compile", "grid": {"scope": "layer"}},
        "grid.scope.0: only heads go with compile",
    ),
    "a machine": (
        {"steps": ["count", "estimate"], "grid": {"hardware": ["h100", "h10"]}},
        "grid.hardware.1: h10: unknown machine; there are 8xh100",
    ),
    "no machine": ({"steps": ["count", "estimate"], "grid": {"bits": 3}}, "steps: estimate needs"),
    "no circuit": ({"steps": "estimate", "grid": {"hardware": "h100"}}, "estimate needs a circuit"),
    "a machine for nothing": (
        {"steps": "count", "points": [{"hardware": "h100"}]},
        "points.0.hardware: is for estimate, which isn't among the steps",
    ),
    "a mode for nothing": (
        {"steps": "count", "grid": {"mode": "simulate"}},
        "grid.mode: is for accuracy, which isn't among the steps",
    ),
    "sentences": (
        {"steps": "accuracy", "grid": {"bits": 3}, "sentences": "none.txt"},
        "sentences: ",
    ),
    "a folder of machines": (
        {"steps": ["count", "estimate"], "grid": {"hardware": "h100"}, "hardware_path": "none"},
        "hardware_path: not a folder",
    ),
    "a point twice": (
        {"steps": "count", "grid": {"bits": [3, 3]}},
        "grid.bits.1: the same as grid.bits.0",
    ),
    "a field twice": (
        {"steps": "count", "grid": {"bits": 3}, "points": [{"bits": 3}]},
        "points.0.bits: the grid has it too",
    ),
    "too many": (
        {"steps": "count", "grid": {"bits": [*range(1, 60)], "seq_len": [*range(1, 5000)]}},
        "grid: 294941 points are too many; up to 100000 go",
    ),
    "runs": (
        {"steps": "measure", "grid": {"bits": 3}, "measure": {"warm_runs": 0}},
        "measure.warm_runs: input should be greater than or equal to 1",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_experiment_is_one_line_that_names_file_and_field(write, name):
    content, line = BAD[name]
    path = write(content)
    with pytest.raises(UsageError) as caught:
        plan_of(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert line in said
    assert "\n" not in said


def test_the_command_says_it_with_status_2_and_leaves_no_file(run_fhecost, write, tmp_path):
    write({"steps": "count", "grid": {"bits": [3, 9]}}, "bad.yaml")
    finished = run_fhecost("sweep", "bad.yaml")
    assert (finished.returncode, finished.stdout) == (2, "")
    assert finished.stderr == "fhecost: bad.yaml: grid.bits.1: must be from 2 to 8, not 9\n"
    assert [path.name for path in tmp_path.iterdir()] == ["bad.yaml"]


@pytest.mark.parametrize(
    "path", sorted((ROOT / "experiments").glob("*.yaml")), ids=lambda p: p.stem
)
def test_every_shipped_experiment_has_its_points(path):
    pytest.importorskip("transformers", reason="needs the extra [gpt2]")
    pytest.importorskip("concrete", reason="needs the extra [concrete]")
    assert plan_of(path).points


# What they come to.


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


# Nothing is lost.


def computed(monkeypatch):
    """The points that are computed from now on."""
    found = []
    run_task = run.run_task
    monkeypatch.setattr(
        run,
        "run_task",
        lambda task: (found.extend(one.point for one in task.points), run_task(task))[1],
    )
    return found


@pytest.mark.parametrize("kept", range(9))
def test_a_finished_point_is_never_computed_twice(
    small, tmp_path, undisturbed, here, monkeypatch, kept
):
    path = tmp_path / "r.jsonl"
    lines = undisturbed.splitlines(keepends=True)
    # As they come, not in the order of the points, and the last one torn.
    torn = lines[0][:40] if 0 < kept < 8 else b""
    path.write_bytes(b"".join(lines[8 - kept :][::-1]) + torn)
    found = computed(monkeypatch)
    if torn:
        with pytest.warns(UserWarning, match="left out: line"):
            report = run_sweep(small, path, resume=True)
    else:
        report = run_sweep(small, path, resume=True)
    assert path.read_bytes() == undisturbed
    assert [(one.seq_len, one.bits, one.hardware) for one in found] == [
        (one.point.seq_len, one.point.bits, one.point.hardware)
        for one in report.results[: 8 - kept]
    ]


def test_results_that_are_there_are_not_written_over(small, tmp_path, undisturbed):
    path = tmp_path / "r.jsonl"
    path.write_bytes(undisturbed)
    with pytest.raises(UsageError, match="is there already: --resume goes on with it"):
        run_sweep(small, path)
    assert path.read_bytes() == undisturbed


def test_an_experiment_may_grow(small, write, tmp_path, undisturbed, here, monkeypatch):
    path = tmp_path / "r.jsonl"
    path.write_bytes(undisturbed)
    found = computed(monkeypatch)
    more = {**SMALL, "grid": {**SMALL["grid"], "bits": [4, 3]}}
    report = run_sweep(write(more), path, resume=True)
    assert [(one.bits, one.seq_len) for one in found] == [(4, 2)] * 2 + [(4, 3)] * 2
    assert [one.point.bits for one in report.results] == [4, 4, 3, 3] * 2
    # Those of 2 bits are of no point any more; they stay.
    assert [one.point.bits for one in load_results(path)] == [4, 4, 3, 3] * 2 + [2] * 4


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda line: line["provenance"].update(fhecost_version="0.0.1"), "fhecost 0.0.1, not "),
        (lambda line: line["provenance"].update(code="0" * 64), "another state of fhecost's code"),
        (lambda line: line["provenance"].update(hardware_hash="1"), "other figures of the machine"),
        (lambda line: line.update(steps=["count"]), "other steps or options"),
    ],
)
def test_results_of_something_else_are_refused(small, tmp_path, undisturbed, change, why):
    lines = [json.loads(line) for line in undisturbed.splitlines()]
    change(lines[2])
    lines[2]["key"] = "f" * 64
    path = tmp_path / "r.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(UsageError, match=f"holds results of these points with {why}"):
        run_sweep(small, path, resume=True)


def test_another_file_is_refused_by_its_line(small, tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text('{"schema_version": 1}\n')
    with pytest.raises(UsageError, match=r"r.jsonl: line 1: key: field required"):
        run_sweep(small, path, resume=True)
    assert path.read_text() == '{"schema_version": 1}\n'


def test_a_failed_point_is_a_result_and_is_tried_again_when_asked(
    small, tmp_path, undisturbed, here, monkeypatch
):
    path = tmp_path / "r.jsonl"

    class OneIsLost(Here):
        def outcomes(self, work, tasks):
            for place, outcome in super().outcomes(work, tasks):
                yield place, Lost("its process was killed") if place == 1 else outcome

    monkeypatch.setattr(run, "runner", lambda *_, **__: _Within(OneIsLost()))
    report = run_sweep(small, path)
    assert (report.done, report.failed) == (6, 2)
    assert [one.status for one in report.results] == ["done"] * 2 + ["failed"] * 2 + ["done"] * 4
    assert report.results[2].reason == "its process was killed"
    monkeypatch.setattr(run, "runner", lambda *_, **__: _Within(Here()))
    found = computed(monkeypatch)
    assert run_sweep(small, path, resume=True).failed == 2
    assert found == []
    assert run_sweep(small, path, retry_failed=True).failed == 0
    assert len(found) == 2
    assert path.read_bytes() == undisturbed


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (MemoryError(), "failed", "there isn't enough memory for this"),
        (KeyError("x"), "failed", "unexpected KeyError: 'x'"),
        (UsageError("no weights here"), "failed", "no weights here"),
        (fhecost.ImpossibleError("too wide"), "impossible", "too wide"),
    ],
)
def test_each_error_has_its_status(small, tmp_path, here, monkeypatch, error, status, reason):
    def fails(_):
        raise error

    monkeypatch.setattr("fhecost.sweep.tasks.find_circuit", fails)
    report = run_sweep(small, tmp_path / "r.jsonl")
    assert {(one.status, one.reason) for one in report.results} == {(status, reason)}


def test_a_worker_with_other_code_is_told(small, tmp_path, here, monkeypatch):
    monkeypatch.setattr("fhecost.sweep.tasks.sweep_code", lambda: "0" * 64)
    report = run_sweep(small, tmp_path / "r.jsonl")
    assert {one.status for one in report.results} == {"failed"}
    assert "the worker has another state of fhecost's code" in report.results[0].reason


def test_there_is_at_least_one_process(run_fhecost, small):
    finished = run_fhecost("sweep", "small.yaml", "--processes", 0)
    assert finished.returncode == 2
    assert finished.stderr == "fhecost: --processes 0: must be at least 1\n"


def test_two_sweeps_do_not_write_to_one_file(small, tmp_path):
    path = tmp_path / "r.jsonl"
    with kept_lines(path), pytest.raises(UsageError, match="another process is adding to it"):
        run_sweep(small, path)
    assert not path.exists()


def test_a_full_disk_ends_the_sweep_and_the_next_goes_on(
    small, tmp_path, undisturbed, here, monkeypatch
):
    monkeypatch.setenv("FHECOST_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "r.jsonl"
    path.touch()
    first = len(undisturbed.splitlines()[0]) + 1
    with room_for(3 * first + 100), pytest.raises(UsageError, match="File too large") as told:
        run_sweep(small, path)
    assert "it is kept in" in str(told.value)
    assert "--resume goes on once there is room" in str(told.value)
    assert 1 <= len(path.read_bytes().splitlines()) <= 4
    run_sweep(small, path, resume=True)
    assert path.read_bytes() == undisturbed


def test_what_a_sweep_has_left_that_was_killed_while_it_put_lines_in_order_goes(
    small, tmp_path, undisturbed, here
):
    path = tmp_path / "r.jsonl"
    path.write_bytes(undisturbed)
    (tmp_path / ".r.jsonl.abcdefgh.unfinished").write_bytes(undisturbed[:100])
    os.utime(tmp_path / ".r.jsonl.abcdefgh.unfinished", (1e9, 1e9))
    (tmp_path / ".r.jsonl.ijklmnop.unfinished").touch()
    run_sweep(small, path, resume=True)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["r.jsonl", "small.yaml"]


def test_no_room_for_a_second_copy_leaves_the_order_as_it_came(
    small, tmp_path, undisturbed, here, monkeypatch
):
    def full(*_):
        raise UsageError("r.jsonl: can't be written: No space left on device")

    path = tmp_path / "r.jsonl"
    path.write_bytes(b"".join(undisturbed.splitlines(keepends=True)[::-1]))
    monkeypatch.setattr("fhecost.sweep.results_file.write_atomically", full)
    with pytest.warns(UserWarning, match="the results aren't put in order"):
        report = run_sweep(small, path, resume=True)
    assert report.done == 8


@pytest.mark.parametrize("place", ["/proc/results.jsonl", "missing/results.jsonl"])
def test_a_file_that_can_not_be_written_is_known_before(run_fhecost, small, place):
    finished = run_fhecost("sweep", "small.yaml", "-o", place)
    assert (finished.returncode, finished.stdout) == (2, "")
    assert f"{place}: can't be written" in finished.stderr


def test_a_pipe_is_no_file_of_results(small, tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(UsageError, match="pipe: can't be written: not a file"):
        run_sweep(small, path)


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


MOMENTS = [0.3, 0.6, 0.9, 1.2]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
def test_killed_and_resumed_it_ends_as_if_it_had_not_been(small, tmp_path, undisturbed):
    """kill -9, without waiting for anything."""
    command = [sys.executable, "-m", "fhecost", "sweep", "small.yaml", "--processes", "2"]
    for moment in MOMENTS:
        process = subprocess.Popen(
            [*command, *(["--resume"] if (tmp_path / "small.jsonl").exists() else [])],
            cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.wait()
    run_sweep(small, tmp_path / "small.jsonl", resume=True)
    assert (tmp_path / "small.jsonl").read_bytes() == undisturbed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.jsonl", "small.yaml"]


@pytest.mark.slow
def test_twelve_compiled_points_killed_five_times_are_those_of_an_undisturbed_sweep(tmp_path):
    pytest.importorskip("concrete", reason="needs the extra [concrete]")
    text = (ROOT / "experiments" / "wrong_lookups.yaml").read_text()
    (tmp_path / "x.yaml").write_text(text)
    command = [sys.executable, "-m", "fhecost", "sweep", "x.yaml"]

    def environment(name):
        # What one has compiled is none of the other's.
        return {**os.environ, "FHECOST_CACHE": str(tmp_path / name)}

    about = {"cwd": tmp_path, "stderr": subprocess.PIPE, "text": True}
    begun = time.monotonic()
    whole = subprocess.run(
        [*command, "-o", "whole.jsonl"],
        env=environment("one"), stdout=subprocess.DEVNULL, check=False, **about,
    )  # fmt: skip
    usual_s = time.monotonic() - begun
    assert whole.returncode == 0, whole.stderr
    finished = []
    for _ in range(5):
        process = subprocess.Popen(
            [*command, "-o", "killed.jsonl", *(["--resume"] if finished else [])],
            env=environment("two"), stdout=subprocess.DEVNULL, **about,
        )  # fmt: skip
        with process:
            time.sleep(usual_s / 4)
            process.kill()
        path = tmp_path / "killed.jsonl"
        finished.append(path.read_bytes().count(b"\n") if path.exists() else 0)
    assert finished == sorted(finished)
    assert finished[-1] > 0
    last = subprocess.run(
        [*command, "-o", "killed.jsonl", "--resume"],
        env=environment("two"), stdout=subprocess.DEVNULL, check=False, **about,
    )  # fmt: skip
    assert last.returncode == 0, last.stderr
    killed, undisturbed = ((tmp_path / f"{n}.jsonl").read_bytes() for n in ("killed", "whole"))
    assert killed == undisturbed
    assert {json.loads(line)["status"] for line in killed.splitlines()} == {"done"}
