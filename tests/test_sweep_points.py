"""Sweeps: which points an experiment has, and what a bad one is told."""

import pytest

import fhecost
from fhecost.errors import UsageError
from fhecost.heads.compact import compact_setting
from fhecost.heads.saved_setting import SavedSetting, save_setting
from fhecost.sweep.plan import plan_of
from tests.conftest import ROOT
from tests.sweeps import SMALL, write

__all__ = ["write"]


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
