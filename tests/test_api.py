"""The Python API: its names, its page, and one call that gives what each command prints."""

import ast
import json
import pickle
import re
import runpy
import shlex
import subprocess
import sys

import numpy as np
import pytest

import fhecost
from fhecost.cli import main
from fhecost.cli.options import option_of
from fhecost.files import configuration_folder
from fhecost.gpt2.model import find_model, model_shape
from fhecost.hardware.profile import HardwareList
from fhecost.models.shape import EMBEDDED, head_numbers
from tests.conftest import ROOT, SAVED_PROFILE

MICROBENCHMARK = ROOT / "experiments" / "microbenchmarks" / "epyc-zen4-2.json"
SAVED = fhecost.SavedCircuit(str(SAVED_PROFILE))
LAYER = fhecost.ShapeRequest(fhecost.find_shape("gpt2"), "layer")


def test_type_checkers_see_the_public_names():
    """The imports that only they read are those of PUBLIC, in the form that exports a name."""
    tree = ast.parse((ROOT / "fhecost" / "__init__.py").read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.asname: node.module for node in block.body for alias in node.names}
    assert all(alias.name == alias.asname for node in block.body for alias in node.names)
    told = {name: f"fhecost.{m}" for m, names in fhecost.PUBLIC.items() for name in names.split()}
    assert seen == told
    assert set(fhecost.__all__) == {"__version__", *told}
    assert set(dir(fhecost)) == set(fhecost.__all__)


def test_every_public_name_is_what_its_module_calls_it():
    for name in fhecost.__all__:
        if name != "__version__":
            assert getattr(fhecost, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        fhecost.nothing  # noqa: B018


def test_importing_loads_nothing():
    code = (
        "import sys, fhecost\n"
        "assert not {'numpy', 'pydantic', 'torch', 'concrete'} & set(sys.modules)\n"
        "[getattr(fhecost, name) for name in fhecost.__all__]\n"
        "assert not {'torch', 'concrete', 'transformers', 'typer'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_page_is_that_of_the_docstrings():
    made = runpy.run_path(str(ROOT / "docs" / "make_api.py"))
    assert (ROOT / "docs" / "api.md").read_text() == made["page"](), "run docs/make_api.py"
    named = {name for names in made["COMMANDS"].values() for name in names.split(", ")}
    assert named <= set(fhecost.__all__)


@pytest.fixture
def printed(capsys):
    """What a command prints as JSON."""

    def run(*arguments):
        main([*map(str, arguments), "--format", "json"])
        return without_none(json.loads(capsys.readouterr().out))

    return run


def without_none(content):
    """JSON without what isn't known: some commands write null for it, some leave it out."""
    if isinstance(content, dict):
        return {key: without_none(value) for key, value in content.items() if value is not None}
    return [without_none(item) for item in content] if isinstance(content, list) else content


def as_content(report):
    return without_none(json.loads(report.model_dump_json()))


COMMANDS = {
    "estimate": (
        ("estimate", "--profile", SAVED_PROFILE),
        lambda: fhecost.estimate_circuit(SAVED),
    ),
    "estimate by name": (
        ("estimate", "--profile", SAVED_PROFILE, "--hardware", "h100,strix"),
        lambda: fhecost.estimate_circuit(fhecost.find_circuit(SAVED), ["h100", "strix"]),
    ),
    "compare": (
        ("compare", "--profile", SAVED_PROFILE),
        lambda: fhecost.compare_circuit(SAVED),
    ),
    "compare with moves": (
        (
            "compare", "--profile", SAVED_PROFILE, "--kind", "cpu,gpu", "--sort", "price",
            "--what-if", "cores=64,devices=2", "--base", "strix",
        ),
        lambda: fhecost.compare_circuit(
            SAVED,
            kinds=["cpu", "gpu"],
            sort="price",
            what_if={"cores": 64, "devices": 2},
            base=fhecost.find_hardware("strix"),
        ),
    ),
    "project": (
        (
            "project", "--scope", "layer", "--seq-len", "4,2,1", "--years", "2026..2028",
            "--target", "100ms", "--variant", "compact",
        )[:-2],
        lambda: fhecost.project(
            LAYER, lengths=[1, 2, 4], years=range(2026, 2029), target_s=0.1
        ),
    ),
    "validate": (("validate",), fhecost.validate),
    "backtest": (("backtest",), fhecost.backtest),
    "backtest by name": (
        ("backtest", "--hardware", "h100,strix"),
        lambda: fhecost.backtest(hardware=["h100", "strix"]),
    ),
    "hardware list": (
        ("hardware", "list"),
        lambda: HardwareList(machines=tuple(fhecost.load_hardware())),
    ),
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_one_call_gives_what_the_command_prints(printed, command):
    arguments, call = COMMANDS[command]
    told = printed(*arguments)
    assert told == as_content(call())


def test_hardware_show_check_and_new(printed, capsys, tmp_path):
    strix = fhecost.find_hardware("strix")
    assert printed("hardware", "show", "strix") == as_content(strix)
    path = tmp_path / "mine.yaml"
    main(["hardware", "new", str(path), "--from", "strix"])
    assert path.read_text() == fhecost.hardware_template(strix)
    assert fhecost.hardware_faults(str(path)) == []
    path.write_text(path.read_text().replace("kind: asic", "kind: tpu"))
    (fault,) = fhecost.hardware_faults(path)
    with pytest.raises(SystemExit):
        main(["hardware", "check", str(path)])
    assert f"{path}: {fault}" in capsys.readouterr().err


def test_report(capsys, tmp_path):
    page, mine = tmp_path / "page.html", tmp_path / "mine.html"
    arguments = ["report", "--profile", str(SAVED_PROFILE), "-o", str(page), "--target", "1s"]
    main(arguments)
    assert capsys.readouterr().out == f"{page}\n"
    made = fhecost.make_report(SAVED, target_s=1.0)
    assert fhecost.write_report(made, mine, command=shlex.join(["fhecost", *arguments])) == []
    # plotly gives each figure an id by chance.
    told, given = (
        re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4,12}){4}", "", p.read_text()) for p in (page, mine)
    )
    assert told == given


def test_calibrate(capsys, tmp_path):
    main(["calibrate", str(MICROBENCHMARK), "--name", "same-again"])
    kept = configuration_folder() / "hardware" / "same-again.yaml"
    try:
        made = fhecost.calibrate(MICROBENCHMARK, "same-again", keep=tmp_path / "mine.yaml")
        assert (tmp_path / "mine.yaml").read_text() == kept.read_text()
        assert fhecost.find_hardware("same-again") == made
    finally:
        kept.unlink()
    raw = fhecost.load_microbenchmark(str(MICROBENCHMARK))
    fitted = fhecost.calibrate(raw)
    assert {name: figure.value for name, figure in fitted.figures.items()} == {
        name: figure.value for name, figure in made.figures.items()
    }
    with pytest.raises(fhecost.FieldError, match="name My Machine: must be small letters"):
        fhecost.calibrate(raw, "My Machine")


def test_measure_operations(printed, monkeypatch):
    """Without the minutes: what is measured is handed through as it is."""
    raw = fhecost.load_microbenchmark(MICROBENCHMARK)
    module = sys.modules[fhecost.run_microbenchmark.__module__]
    asked = []
    monkeypatch.setattr(module, "run_microbenchmark", lambda *a, **k: asked.append((a, k)) or raw)
    assert printed("measure", "ks", "--quick", "--minutes", "0.5") == without_none(
        json.loads(raw.model_dump_json())
    )
    ((operation,), options) = asked[0]
    assert (operation, options["quick"], options["minutes"]) == ("ks", True, 0.5)


def test_measure_head(printed, monkeypatch, saved_profile):
    """Without keys: the run stands aside, all else is as it is."""
    from fhecost.measurement import timed_run
    from fhecost.measurement.run_record import RunTimes
    from fhecost.quantization import IntArray

    times = RunTimes(
        threads=1, keygen_s=10, encrypt_s=0.1, cold_s=1.2, warm_s=(1.0, 1.1), decrypt_s=0.1,
        probe_s=(0.01,), start_memory_bytes=3, keygen_peak_memory_bytes=4, peak_memory_bytes=5,
    )  # fmt: skip
    asked = []

    class Compiled:
        heads = type("Heads", (), {"run": lambda self, values, operators: values})()
        inputset: tuple[IntArray, ...] = (np.arange(4),)
        circuit = None

        def profile(self):
            return saved_profile

    def run_once(circuit, inputs, options, progress):
        asked.append(options)
        return times, np.arange(4)

    monkeypatch.setattr(timed_run, "compile_heads", lambda *_: Compiled())
    monkeypatch.setattr(timed_run, "run_once", run_once)
    command = ("measure", "head", "--heads", "0,2", "--threads", "1", "--runs", "2")
    told = printed(*command, "--hardware", "epyc-zen4-2,strix")
    request = fhecost.HeadRequest(heads=[0, 2], seq_len=2, bits=3, variant="compact")
    record = fhecost.measure_heads(request, ["epyc-zen4-2", "strix"], threads=1, warm_runs=2)
    assert asked[0] == asked[1] == fhecost.RunOptions(threads=1, warm_runs=2)
    given = as_content(record)
    for one in (told, given):
        # The only figures that two runs can't share.
        one["started"] = one["load_after"] = None
        for prediction in one["predictions"]:
            prediction["made"] = None
    assert told == given


def test_accuracy(printed):
    pytest.importorskip("torch", reason="needs the extra [gpt2]")
    told = printed(
        "accuracy", "--bits", "3,4", "--seq-len", "4", "--heads", "0", "--heads", "1,2"
    )  # fmt: skip
    given = fhecost.measure_accuracy(bits=[3, 4], seq_lens=[4], heads=[0, (1, 2)])
    assert told == as_content(given)


def test_generate(printed):
    pytest.importorskip("torch", reason="needs the extra [gpt2]")
    told = printed("generate", "Cryptography is a", "--heads", "0,2", "--tokens", "2")
    given = fhecost.generate("Cryptography is a", heads=(0, 2), tokens=2)
    assert told == as_content(given)


def test_heads_are_numbers_or_all():
    shape = model_shape(find_model(EMBEDDED))
    assert head_numbers(shape, "all") == (0, 1, 2, 3)
    assert head_numbers(shape, [0, 2]) == head_numbers(shape, np.array([0, 2])) == (0, 2)
    with pytest.raises(fhecost.UsageError, match="heads 7: the layer has heads 0 to 3"):
        head_numbers(shape, [0, 7])
    with pytest.raises(fhecost.FieldError, match="heads 0,2: must be numbers, or all"):
        head_numbers(shape, "0,2")


def test_hardware_is_named_or_given():
    strix = fhecost.find_hardware("strix")
    changed = fhecost.with_figures(strix, {"devices": 2})
    assert fhecost.load_hardware(["h100", changed, "h100"]) == [
        fhecost.find_hardware("h100"),
        changed,
    ]
    assert fhecost.load_hardware("strix") == [fhecost.find_hardware(strix)]


def test_an_error_names_the_field_and_the_command_its_option(capsys):
    with pytest.raises(fhecost.FieldError) as caught:
        fhecost.profile_heads(fhecost.HeadRequest(seq_len=1))
    error = caught.value
    assert str(error) == "seq_len 1: must be from 2 to 256, the model's context"
    # As it comes out of a process of its own.
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.field, again.value) == (str(error), "seq_len", 1)
    with pytest.raises(SystemExit):
        main(["estimate", "--seq-len", "1"])
    assert capsys.readouterr().err == f"fhecost: --seq-len 1: {error.message}\n"
    for field, option in (("kinds", "--kind"), ("target_s", "--target"), ("what_if", "--what-if")):
        assert option_of(field) == option


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (
            lambda: fhecost.estimate_circuit("head.json"),
            "circuit: must be a circuit profile, a SavedCircuit of a file, CompiledHeads or "
            "PredictedHeads of a HeadRequest, or a PredictedShape of a ShapeRequest, not a str",
        ),
        (lambda: fhecost.load_hardware([]), "hardware: name at least one machine"),
        (lambda: fhecost.spread_lengths(10, 3), "lengths: 10 to 3 is no range of tokens"),
    ],
)
def test_a_first_mistake_is_one_clear_line(call, line):
    with pytest.raises(fhecost.FieldError) as caught:
        call()
    assert str(caught.value) == line


def test_paths_may_be_words(saved_profile, tmp_path):
    path = str(tmp_path / "head.json")
    fhecost.save_profile(saved_profile, path)
    assert fhecost.load_profile(path) == saved_profile
