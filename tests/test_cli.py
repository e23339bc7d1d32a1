"""The command line as a user calls it: output, exit status, one line an error."""

import csv
import io
import json
import os
import subprocess
import sys

import jsonschema
import pytest
import typer

from fhecost.cli import app
from fhecost.schemas import schema_path
from fhecost.version import VERSION
from tests.conftest import SAVED_PROFILE

FROM_PROFILE = ("estimate", "--profile", SAVED_PROFILE)


def assert_fails(finished, status, message):
    """One line on stderr, nothing on stdout, no traceback."""
    assert finished.returncode == status, finished.stderr
    assert finished.stdout == ""
    lines = finished.stderr.strip().splitlines()
    assert len(lines) == 1, finished.stderr
    assert lines[0].startswith("fhecost: ")
    assert message in lines[0]


def children_s():
    """CPU seconds of all processes that have ended."""
    used = os.times()
    return used.children_user + used.children_system


@pytest.mark.parametrize("group", ["hardware", "models", "cache"])
def test_the_line_of_a_group_names_all_its_commands(group):
    inside = typer.main.get_command(app).commands[group]
    assert inside.help.split(": ")[1].rstrip(".").split(", ") == list(inside.commands)


def test_json_of_an_estimate_has_what_it_promises(run_fhecost):
    finished = run_fhecost(*FROM_PROFILE, "--format", "json")
    assert finished.returncode == 0, finished.stderr
    report = json.loads(finished.stdout)
    jsonschema.validate(report, json.loads(schema_path("estimate").read_text()))
    assert report["schema_version"] == 2
    circuit = report["circuit"]
    assert circuit["source"] == "compiled Concrete circuit"
    assert circuit["pbs_count"] == sum(
        use["count"] for stage in circuit["stages"] for use in stage["pbs"]
    )
    assert {"key_switch_count", "max_bit_width", "complexity"} <= set(circuit)
    assert [e["hardware"] for e in report["estimates"]] == ["here", "epyc-zen4-2", "h100", "strix"]
    for estimate in report["estimates"]:
        assert estimate["low_s"] <= estimate["latency_s"] <= estimate["high_s"]
        assert {"bottleneck", "by_stage", "sources", "assumptions", "references"} <= set(estimate)
        assert sum(estimate["sources"].values()) == pytest.approx(1)


def test_an_estimate_from_a_profile_imports_neither_torch_nor_concrete():
    code = (
        "import sys\n"
        "from fhecost.cli import main\n"
        f"try: main(['estimate', '--profile', {str(SAVED_PROFILE)!r}, '--format', 'json'])\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        "heavy = loaded & {'torch', 'concrete', 'transformers', 'scipy', 'plotly', 'networkx'}\n"
        "assert not heavy, heavy\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize("arguments", [("--help",), (*FROM_PROFILE, "--format", "json")])
def test_start_up_takes_less_than_a_second(run_fhecost, arguments):
    """Of CPU, the best of several: the promise is about fhecost, not about what else runs."""
    times = []
    for _ in range(3):
        start = children_s()
        assert run_fhecost(*arguments).returncode == 0
        times.append(children_s() - start)
    assert min(times) < 1.0


def test_the_table_fits_80_columns_and_names_every_machine(run_fhecost):
    finished = run_fhecost(*FROM_PROFILE)
    assert finished.returncode == 0, finished.stderr
    assert max(map(len, finished.stdout.splitlines())) <= 80
    for machine in ("epyc-zen4-2", "h100", "strix"):
        assert machine in finished.stdout


def test_csv_and_markdown(run_fhecost):
    read = list(csv.DictReader(io.StringIO(run_fhecost(*FROM_PROFILE, "--format", "csv").stdout)))
    rows = [row for row in read if not row["refused_because"]]
    assert [row["hardware"] for row in rows] == ["here", "epyc-zen4-2", "h100", "strix"]
    assert [row["hardware"] for row in read[len(rows) :]] == ["hpu-v80"]
    report = json.loads(run_fhecost(*FROM_PROFILE, "--format", "json").stdout)
    assert [float(row["latency_s"]) for row in rows] == [
        estimate["latency_s"] for estimate in report["estimates"]
    ]
    markdown = run_fhecost(*FROM_PROFILE, "--format", "markdown").stdout
    assert "| machine | latency |" in markdown


def test_an_output_file_is_the_printed_text(run_fhecost, tmp_path):
    printed = run_fhecost(*FROM_PROFILE, "--format", "csv").stdout
    finished = run_fhecost(*FROM_PROFILE, "--format", "csv", "-o", tmp_path / "out.csv")
    assert (finished.returncode, finished.stdout) == (0, "")
    assert (tmp_path / "out.csv").read_text() == printed


def test_a_saved_profile_gives_the_same_estimate(run_fhecost, tmp_path):
    saved = tmp_path / "again.json"
    assert run_fhecost(*FROM_PROFILE, "--save-profile", saved).returncode == 0
    assert saved.read_text() == SAVED_PROFILE.read_text()


def test_the_api_gives_what_the_command_prints(run_fhecost, saved_profile):
    import fhecost

    report = fhecost.estimate_all(
        saved_profile, fhecost.load_hardware("default"), skip_impossible=True
    )
    printed = run_fhecost(*FROM_PROFILE, "--format", "json").stdout
    assert json.loads(report.model_dump_json()) == json.loads(printed)
    assert fhecost.estimate_circuit(fhecost.SavedCircuit(SAVED_PROFILE)) == report


def test_a_head_is_estimated_in_one_call(saved_profile, monkeypatch, tmp_path):
    """Compiling stands aside: what is promised is the way from the request to the report."""
    import fhecost
    from fhecost.gpt2 import head_circuit

    request, asked = fhecost.HeadRequest(bits=3), []

    def profile_heads(given, progress):
        asked.append(given)
        progress("compiling")
        return saved_profile

    monkeypatch.setattr(head_circuit, "profile_heads", profile_heads)
    steps, kept = [], tmp_path / "kept.json"
    report = fhecost.estimate_circuit(
        fhecost.CompiledHeads(request), progress=steps.append, keep_profile=kept
    )
    assert report == fhecost.estimate_circuit(fhecost.SavedCircuit(SAVED_PROFILE))
    assert (asked, steps) == ([request], ["compiling"])
    assert kept.read_text() == SAVED_PROFILE.read_text()
    (alone,) = fhecost.estimate_circuit(fhecost.CompiledHeads(request), ["h100"]).estimates
    assert alone.hardware == "h100"


def test_an_unknown_machine_is_found_before_the_head_is_compiled(monkeypatch):
    import fhecost
    from fhecost.gpt2 import head_circuit

    monkeypatch.setattr(head_circuit, "profile_heads", lambda *_: pytest.fail("compiled"))
    with pytest.raises(fhecost.UsageError, match="h200: unknown machine"):
        fhecost.estimate_circuit(fhecost.CompiledHeads(fhecost.HeadRequest()), ["h200"])


def test_every_public_name_is_there():
    import fhecost

    for name in fhecost.__all__:
        assert getattr(fhecost, name) is not None


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ((*FROM_PROFILE, "--hardware", "h200"), 2, "h200: unknown machine; there are "),
        (("estimate", "--profile", "absent.json"), 2, "absent.json: can't be read: No such file"),
        (("estimate", "--bits", "9"), 2, "--bits 9: must be from 2 to 8"),
        (("estimate", "--seq-len", "300"), 2, "--seq-len 300: must be from 2 to 256"),
        (("estimate", "--layer", "12"), 2, "--layer 12: the model has layers 0 to 3"),
        (("estimate", "--variant", "x"), 2, "--variant x: unknown; there is reference"),
        (("estimate", "--model", "./nothing"), 2, "--model ./nothing: not a folder"),
        (("hardware", "show", "h200"), 2, "unknown machine"),
        (("hardware", "show", "all"), 2, "all: name one machine; there are "),
        (("hardware", "check", "absent.yaml"), 2, "absent.yaml: can't be read"),
        ((*FROM_PROFILE, "-o", "no/such/folder.txt"), 2, "can't be written: there is no folder"),
        (
            (*FROM_PROFILE, "-o", "x.json", "--save-profile", "./x.json"),
            2,
            "x.json: named for two outputs",
        ),
        (("measure", "pbs", "-o", "x", "--save", "x"), 2, "x: named for two outputs"),
        ((*FROM_PROFILE, "--bits", "4"), 2, "--bits: the circuit is that of --profile"),
        (
            (*FROM_PROFILE, "--seq-len", "6", "--model", "embedded", "--text", "a"),
            2,
            "--model, --text, --seq-len: the circuit is that of --profile",
        ),
        (
            (*FROM_PROFILE, "--layer", "0", "--heads", "0", "--variant", "reference"),
            2,
            "--layer, --heads, --variant: the circuit is that of --profile",
        ),
        (("estimate", "--nonsense"), 2, "estimate: no such option: --nonsense; see fhecost "),
        (("estimate", "--bit", "3"), 2, "--bits"),
        (("estimate", "--bits", "x"), 2, "invalid value for '--bits': "),
        (("estimate", "--format", "xml"), 2, "'table', 'json', 'csv', 'markdown'"),
        (("hardware", "show"), 2, "hardware show: missing argument"),
        (("hardware", "shew"), 2, "no such command 'shew'; there is check, list, new, show"),
        (
            ("estimat",),
            2,
            "no such command 'estimat'; there is accuracy, backtest, cache, calibrate, ",
        ),
        (("estimate", "again"), 2, "unexpected extra argument"),
    ],
)
def test_bad_usage_is_one_line_and_status_2(run_fhecost, tmp_path, arguments, status, message):
    prints_figures = arguments[0] == "estimate" or arguments[:2] == ("hardware", "show")
    output = ("-o", "out.txt") if prints_figures and "-o" not in arguments else ()
    assert_fails(run_fhecost(*arguments, *output), status, message)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_profile_is_named_by_its_field(run_fhecost, edited_profile):
    path = edited_profile(lambda content: content["stages"][1]["pbs"][0].update(count=-3))
    assert_fails(run_fhecost("estimate", "--profile", path), 2, f"{path}: stages.1.pbs.0.count: ")
    path.write_text("{nothing")
    assert_fails(run_fhecost("estimate", "--profile", path), 2, f"{path}: not JSON: line 1")


def test_a_set_that_strix_cant_hold_is_status_1_and_writes_nothing(
    run_fhecost, edited_profile, tmp_path
):
    def enlarge(content):
        content["stages"][1]["pbs"][0]["parameters"]["polynomial_size"] = 32768

    path = edited_profile(enlarge, whole=True)
    before = sorted(tmp_path.iterdir())
    finished = run_fhecost(
        "estimate", "--profile", path, "--hardware", "epyc-zen4-2,strix",
        "-o", "out.json", "--save-profile", "kept.json",
    )  # fmt: skip
    assert_fails(finished, 1, "strix: can't hold the parameter set")
    assert "N=32768" in finished.stderr
    assert sorted(tmp_path.iterdir()) == before
    everywhere = run_fhecost("estimate", "--profile", path)
    assert everywhere.returncode == 0
    assert "strix: no estimate: can't hold the parameter set" in everywhere.stdout


@pytest.mark.parametrize("arguments", [(), ("hardware",), ("measure",)])
def test_a_group_alone_shows_its_help(run_fhecost, arguments):
    finished = run_fhecost(*arguments)
    assert "Usage: " + " ".join(("fhecost", *arguments)) in finished.stdout
    assert finished.stderr == ""


def test_an_option_is_missing_its_value(run_fhecost):
    assert_fails(run_fhecost("estimate", "--bits"), 2, "'--bits' requires an argument")


def test_a_broken_file_of_the_users_is_a_line_and_no_more(run_fhecost, tmp_path):
    folder = tmp_path / "config" / "hardware"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("title: mine\n")
    environment = {"FHECOST_CONFIG": str(tmp_path / "config")}
    finished = run_fhecost(*FROM_PROFILE, "--format", "csv", environment=environment)
    assert finished.returncode == 0
    assert finished.stdout == run_fhecost(*FROM_PROFILE, "--format", "csv").stdout
    (line,) = finished.stderr.splitlines()
    assert line.startswith(f"warning: {folder / 'mine.yaml'}: schema_version: field required")
    named = run_fhecost(*FROM_PROFILE, "--hardware", "strix,mine", environment=environment)
    assert_fails(named, 2, "mine.yaml: schema_version: field required")


def test_debug_shows_the_traceback(run_fhecost):
    finished = run_fhecost("estimate", "--bits", "9", "--debug")
    assert finished.returncode == 1
    assert "Traceback" in finished.stderr


def test_the_main_job_end_to_end_then_without_compiling(run_fhecost, tmp_path):
    """A sentence in, estimates out; the second time from the cache, importing no Concrete."""
    pytest.importorskip("concrete")
    pytest.importorskip("transformers")
    arguments = (
        "estimate", "--text", "The bell of the small church rang twice.", "--seq-len", "2",
        "--bits", "3", "--heads", "3", "--format", "json",
    )  # fmt: skip
    environment = {"FHECOST_CACHE": str(tmp_path / "cache")}
    first = run_fhecost(*arguments, environment=environment)
    assert first.returncode == 0, first.stderr
    report = json.loads(first.stdout)
    assert report["circuit"]["description"]["seq_len"] == 2
    assert report["circuit"]["versions"]["concrete-python"].startswith("2.11")
    assert report["estimates"]
    assert first.stderr == ""

    code = (
        "import sys\n"
        "from fhecost.cli import main\n"
        f"try: main({[str(a) for a in arguments]!r})\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        "assert not loaded & {'torch', 'concrete', 'transformers'}, loaded\n"
    )
    second = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 0, second.stderr
    assert second.stdout == first.stdout


def test_version(run_fhecost):
    assert run_fhecost("--version").stdout == f"fhecost {VERSION}\n"


@pytest.mark.parametrize("columns", [80, 100, 200])
def test_a_table_is_as_wide_as_it_is_asked_to_be(run_fhecost, columns):
    shown = run_fhecost("hardware", "list", environment={"COLUMNS": str(columns)}).stdout
    assert max(map(len, shown.splitlines())) <= columns
    whole = "FlashTFHE, 16 nm ASIC (synthesized and simulated by its authors)"
    assert any(line.endswith(whole) for line in shown.splitlines()) == (columns > 100)


def test_a_terminal_says_how_wide_it_is(tmp_path):
    pty = pytest.importorskip("pty")
    import fcntl
    import struct
    import termios

    shown = {}
    for columns in (80, 132):
        parent, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
        process = subprocess.Popen(
            [sys.executable, "-m", "fhecost", "hardware", "list"],
            stdout=child, stderr=subprocess.DEVNULL, cwd=tmp_path, env=environment,
        )  # fmt: skip
        os.close(child)
        text = b""
        while True:
            try:
                read = os.read(parent, 65536)
            except OSError:
                break
            if not read:
                break
            text += read
        os.close(parent)
        assert process.wait() == 0
        shown[columns] = text.decode().splitlines()
        assert max(map(len, shown[columns])) <= columns
    assert len(shown[132]) < len(shown[80])
