"""Names on the command line: guesses at what was meant, capitals, completion, kinds."""

import json
import os
import subprocess
import sys

import pytest

from fhecost.cli import completion
from fhecost.errors import did_you_mean
from fhecost.hardware.library import load_hardware, of_kinds
from fhecost.heads.variants import VARIANTS
from fhecost.models.shape import SHAPES


@pytest.mark.parametrize(
    ("name", "known", "says"),
    [
        ("strixx", ["strix", "h100"], "; did you mean strix?"),
        ("H1O0", ["strix", "h100"], "; did you mean h100?"),
        ("something", ["strix", "h100"], ""),
    ],
)
def test_what_is_like_a_name_is_proposed(name, known, says):
    assert did_you_mean(name, known) == says


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("estimat",), "did you mean estimate?"),
        (("hardware", "shaw", "h100"), "did you mean show?"),
        (("hardware", "show", "stirx"), "did you mean strix?"),
        (("estimate", "--no-compile", "--variant", "compat"), "did you mean compact?"),
        (("estimate", "--no-compile", "--model", "gtp2", "--scope", "layer"), "mean gpt2?"),
        (("estimate", "--varian", "fast"), "--variant"),
        (("hardware", "list", "--kind", "tpu"), "--kind tpu: must be among cpu, gpu, fpga, asic"),
    ],
)
def test_an_unknown_name_is_guessed_at(run_fhecost, arguments, says):
    finished = run_fhecost(*arguments)
    assert finished.returncode == 2
    (line,) = finished.stderr.splitlines()
    assert says in line


def test_machines_have_their_names_in_any_case(run_fhecost):
    assert [one.name for one in load_hardware(["STRIX", "H100"])] == ["strix", "h100"]
    assert len(load_hardware("strix")) == len(load_hardware(["strix", "Strix"])) == 1
    assert "strix" in run_fhecost("hardware", "show", "Strix").stdout
    everywhere = run_fhecost("hardware", "list", "--kind", "ASIC", "--format", "json").stdout
    machines = json.loads(everywhere)["machines"]
    assert machines
    assert {one["kind"] for one in machines} == {"asic"}


def test_the_list_shows_kind_year_and_what_can_be_had(run_fhecost):
    text = run_fhecost("hardware", "list").stdout
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    joined = " ".join(text.split())
    for machine in load_hardware("all"):
        assert machine.title.split(",")[0] in joined
        row = next(line for line in text.splitlines() if line.startswith(f"{machine.name} "))
        kind, year, availability, trust, *_ = row.split()[1:]
        assert [kind, year, availability] == [machine.kind, str(machine.year), machine.availability]
        assert sum(map(int, trust.split("/"))) == len(machine.figures)
    gpus = of_kinds(load_hardware("all"), ["gpu"])
    assert {one.kind for one in gpus} == {"gpu"}


def test_the_help_names_all_variants(run_fhecost):
    # The registry takes long to load; what the help says of it is held to it here.
    assert tuple(VARIANTS) == completion.VARIANTS
    shown = "".join(run_fhecost("estimate", "--help").stdout.split("│")).split()
    assert all(f"{name}," in shown for name in VARIANTS)


@pytest.mark.parametrize(
    ("typed", "proposed"),
    [
        ("fhecost est", ["estimate"]),
        ("fhecost estimate --hardware st", ["strix"]),
        ("fhecost compare --hardware h100,str", ["h100,strix"]),
        ("fhecost compare --base str", ["strix"]),
        ("fhecost estimate --variant reference-", ["reference-rounded"]),
        ("fhecost project --model gpt3", ["gpt3-175b"]),
        ("fhecost hardware show fl", ["flashtfhe"]),
    ],
)
def test_a_shell_completes_commands_and_names(tmp_path, typed, proposed):
    words = typed.split()
    environment = {
        **os.environ,
        "_FHECOST_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(words) - 1),
    }
    finished = subprocess.run(
        [sys.executable, "-m", "fhecost"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.stdout.split() == proposed, finished.stderr


def test_the_shell_gets_a_script_to_complete_by(run_fhecost):
    shown = run_fhecost("--show-completion", "bash").stdout
    assert "_FHECOST_COMPLETE" in shown


def test_models_are_proposed_by_name():
    assert completion.models("gpt2-") == [name for name in SHAPES if name.startswith("gpt2-")]
    assert completion.machines("al") == ["all"]
    assert completion.kinds("gpu,f") == ["gpu,fpga"]
    assert "all" not in completion.machines("h100,")
