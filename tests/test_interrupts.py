"""Ctrl-C at any moment: one line, status 130, within two seconds, and nothing is left running."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from fhecost.caches import verify_cache
from tests.conftest import ROOT, SAVED_PROFILE

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork")

PROMISED_S = 2.0
PATIENCE_S = 240.0

DEAF = """
import ctypes, sys
from fhecost.interrupts import say_kept, supervised

def work():
    libc = ctypes.PyDLL(None)  # keeps Python's lock, as much compiled code does
    say_kept("three rows are kept")
    print("begun", flush=True)
    libc.signal(2, 0)
    libc.sleep(60)

supervised(work)
"""
"""What compiled code does at its worst: it looks at no signal, and takes the handler away."""


@pytest.fixture
def begin(tmp_path):
    """Begin a command in a process group of its own, as a shell does; it ends with the test."""
    begun = []

    def start(*command):
        process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"},
            start_new_session=True,
        )
        begun.append(process)
        return process

    yield start
    for process in begun:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=PATIENCE_S)


def interrupted(process, whole_group=True):
    """What is on stdout and stderr after Ctrl-C, or a ``kill -INT`` of the one process."""
    begun = time.monotonic()
    if whole_group:
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    process.wait(PATIENCE_S)
    seconds = time.monotonic() - begun
    # Where other programs have most of the machine, this one takes longer.
    crowd = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    assert seconds < PROMISED_S * crowd
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, err
    assert len(err.splitlines()) == 1, err
    assert err.startswith("fhecost: interrupted"), err
    assert_all_gone(process.pid)
    return out, err


def assert_all_gone(group):
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        with suppress(ProcessLookupError):
            os.killpg(group, 0)
            time.sleep(0.05)
            continue
        return
    pytest.fail("a process goes on")


def wait_for(found, process):
    """Until ``found()`` is true; the process must go on for so long."""
    end = time.monotonic() + PATIENCE_S
    while not found():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("whole_group", [True, False], ids=["terminal", "kill"])
def test_compiled_code_that_hears_nothing_is_ended(begin, whole_group):
    process = begin("-c", DEAF)
    assert process.stdout.readline() == "begun\n"
    _, err = interrupted(process, whole_group)
    assert err == "fhecost: interrupted; three rows are kept\n"


@pytest.mark.parametrize("after_s", [0.08, 0.2, 0.4, 0.8])
def test_imports_are_interrupted_in_one_line(begin, tmp_path, after_s):
    process = begin("-m", "fhecost", "report", "--profile", SAVED_PROFILE, "-o", "page.html")
    # The interpreter itself must be up: before, nobody can hear.
    wait_for(lambda: _has_child(process.pid), process)
    time.sleep(after_s)
    if process.poll() is None:
        interrupted(process)
        assert not (tmp_path / "page.html").exists()


def _has_child(pid):
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return not path.exists() or bool(path.read_text())


def test_a_status_and_a_signal_of_the_child_are_those_of_the_command(begin):
    code = "from fhecost.interrupts import supervised\nimport os, sys\nsupervised(lambda: {})\n"
    for what, status, says in (
        ("sys.exit(7)", 7, ""),
        ("None", 0, ""),
        ("os.kill(os.getpid(), 9)", 137, "fhecost: the process was killed, perhaps for its memory"),
        ("os.kill(os.getpid(), 11)", 139, "fhecost: the process was ended by SIGSEGV"),
    ):
        ended = begin("-c", code.format(what))
        _, err = ended.communicate(timeout=PATIENCE_S)
        assert (ended.returncode, err.strip()) == (status, says)


def test_a_child_ends_with_what_it_is_supervised_by(begin):
    process = begin("-c", DEAF)
    process.stdout.readline()
    process.kill()
    process.communicate(timeout=PATIENCE_S)
    assert_all_gone(process.pid)


def test_accuracy_says_which_rows_are_kept_and_goes_on_from_them(begin, tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    monkeypatch.setenv("FHECOST_CACHE", str(tmp_path / "cache"))
    command = (
        "-m", "fhecost", "accuracy", "--heads", "0", "--bits", "2,3,4,5,6", "--seq-len", "4",
        "--format", "json",
    )  # fmt: skip
    process = begin(*command)
    wait_for(lambda: list((tmp_path / "cache").rglob("accuracy/**/*.json")), process)
    out, err = interrupted(process)
    assert out == ""
    assert " rows are kept, and the same command goes on from there" in err
    assert verify_cache().damaged == []


@pytest.mark.slow
def test_generate_says_the_tokens_that_were_there(begin):
    pytest.importorskip("concrete")
    process = begin(
        "-m", "fhecost", "generate", "The clerk who", "--mode", "simulate", "--tokens", "40",
    )  # fmt: skip
    time.sleep(12)
    interrupted(process)


@pytest.mark.slow
def test_measure_says_what_is_kept_and_goes_on(begin, tmp_path):
    pytest.importorskip("concrete")
    command = ("-m", "fhecost", "measure", "ks", "--quick", "--minutes", "0.02", "--save")
    process = begin(*command, "raw.json")
    wait_for(lambda: (tmp_path / "raw.json.part").is_file(), process)
    _, err = interrupted(process)
    assert "raw.json; --resume goes on from there" in err
    assert json.loads((tmp_path / "raw.json.part").read_text())["operation"] == "ks"


@pytest.mark.slow
def test_optimize_keeps_its_study(begin, tmp_path):
    pytest.importorskip("optuna")
    process = begin(
        "-m", "fhecost", "optimize", "--budget", "10m", "--verify", "0", "--study", "study.db",
    )  # fmt: skip
    wait_for(lambda: (tmp_path / "study.db").is_file(), process)
    time.sleep(3)
    _, err = interrupted(process)
    assert "all trials are kept in study.db, and the same command goes on from there" in err


@pytest.mark.slow
def test_a_head_that_is_measured_is_ended(begin, tmp_path):
    pytest.importorskip("concrete")
    process = begin(
        "-m", "fhecost", "measure", "head", "--seq-len", "2", "--bits", "3", "--record",
        "runs.jsonl",
    )  # fmt: skip
    time.sleep(15)
    if process.poll() is None:
        interrupted(process)
        assert not (tmp_path / "runs.jsonl").exists() or not (tmp_path / "runs.jsonl").read_text()
