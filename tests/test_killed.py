"""kill -9 at any moment: what was finished is there, nothing is left behind, the next run works.

The moments are random with a fixed seed, and cover each command from its start to its end.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fhecost.accuracy.records import AccuracyReport
from fhecost.caches import verify_cache
from fhecost.hardware.library import read_hardware
from fhecost.measurement.broken_off import BrokenOff
from fhecost.measurement.calibration_run import AFTER, BEFORE, BegunCalibration
from fhecost.measurement.records import load_microbenchmark, save_microbenchmark
from fhecost.measurement.run_record import load_records
from fhecost.sweep.results_file import load_results
from tests.conftest import SAVED_PROFILE
from tests.test_measurement import imagined_keys, imagined_machine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc"),
]

MARK = "FHECOST_TEST_OF_KILLS"
PATIENCE_S = 5.0


def _records(folder: Path) -> list[Any]:
    path = folder / "runs.jsonl"
    return [record.started for record in load_records(path)] if path.is_file() else []


def _rounds(folder: Path) -> list[Any]:
    """Each round of each circuit, in the file of the whole or beside it."""
    if (folder / "raw.json").is_file():
        whole = load_microbenchmark(folder / "raw.json")
        return [second for one in whole.lookups for second in one.seconds]
    part = folder / "raw.json.part"
    if not part.is_file():
        return []
    found = BrokenOff.model_validate_json(part.read_text())
    begun = (times for one in found.begun.values() for times in one.seconds.values())
    return [
        second
        for times in (*(one.seconds for one in found.raw.lookups), *begun)
        for second in times
    ]


def _machine(folder: Path) -> list[Any]:
    path = folder / "mine.yaml"
    return [read_hardware(path).name] if path.is_file() else []


def _steps(folder: Path) -> list[Any]:
    """The steps of a calibration that are done, in the file for all or in that of some."""
    whole, part = folder / "own.raw.json", folder / "own.raw.json.part"
    if whole.is_file():
        raw = load_microbenchmark(whole)
    elif part.is_file():
        raw = BegunCalibration.model_validate_json(part.read_text()).raw
    else:
        return []
    return [one.step for one in raw.conditions if one.step not in (BEFORE, AFTER)]


def _kept(folder: Path) -> list[Any]:
    """The entries of the cache, which all verify."""
    report = verify_cache()
    assert report.damaged == []
    return [path.name for path in (folder / "cache").rglob("*.json")]


def _trials(folder: Path) -> list[Any]:
    """The finished trials of the study."""
    import optuna

    path = folder / "study.db"
    if not path.is_file():
        return []
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    (study,) = optuna.get_all_study_names(f"sqlite:///{path}")
    loaded = optuna.load_study(study_name=study, storage=f"sqlite:///{path}")
    return [one.number for one in loaded.trials if one.state.is_finished()]


def _page(folder: Path) -> list[Any]:
    path = folder / "page.html"
    if not path.is_file():
        return []
    assert path.read_text().rstrip().endswith("</html>")
    return ["page"]


@dataclass(frozen=True)
class Command:
    """A command, how often it is killed, and what of its results is finished in a folder.

    ``resumed`` are further options where the file ``begun`` says that something was broken off. A
    result ``replaced`` by the next run is taken away once it is whole.
    """

    arguments: tuple[str, ...]
    kills: int
    finished: Callable[[Path], list[Any]]
    resumed: tuple[str, ...] = ()
    begun: str = ""
    replaced: str | None = None


def _points(folder: Path) -> list[Any]:
    """The keys of the finished points; a torn line is none."""
    path = folder / "points.jsonl"
    if not path.is_file() or not path.stat().st_size:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [result.key for result in load_results(path)]


POINTS = """
steps: [count, compile, estimate]
grid: {seq_len: 2, bits: [2, 3], p_error: [1e-3, 1e-2], hardware: h100}
"""
SMALL = ("--seq-len", "2", "--bits", "2", "--variant", "fast")
COMMANDS = {
    "measure head": Command(
        ("measure", "head", *SMALL, "--runs", "1", "--record", "runs.jsonl"), 8, _records
    ),
    "measure ks": Command(
        ("measure", "ks", "--quick", "--minutes", "0.02", "--save", "raw.json"),
        7, _rounds, ("--resume",), "raw.json.part", "raw.json",
    ),
    "calibrate": Command(("calibrate", "known.json", "-o", "mine.yaml"), 4, _machine),
    "calibrate, measuring": Command(
        ("calibrate", "-o", "own.yaml"), 4, _steps, replaced="own.raw.json"
    ),
    "accuracy": Command(
        ("accuracy", "--heads", "0", "--bits", "3,4,5,6", "--seq-len", "4", "--format", "json"),
        7, _kept,
    ),
    "optimize": Command(
        ("optimize", "--trials", "2", "--verify", "0", "--study", "study.db",
         "--hardware", "epyc-zen4-2"), 7, _trials
    ),
    "report": Command(("report", "--profile", str(SAVED_PROFILE), "-o", "page.html"), 6, _page),
    "sweep": Command(
        ("sweep", "points.yaml"), 7, _points, ("--resume",), "points.jsonl", "points.jsonl"
    ),
}  # fmt: skip


def test_fifty_moments():
    assert sum(command.kills for command in COMMANDS.values()) == 50


def _marked(mark: str) -> list[int]:
    """The processes that were begun, directly or not, with ``mark`` in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            state = (path.parent / "stat").read_text().rpartition(") ")[2][0]
            if state not in "ZX" and f"{MARK}={mark}".encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def _bytes_of(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _left(mark: str, temporary: Path) -> list[Any]:
    """What is left of a run after a while: processes and files."""
    end = time.monotonic() + PATIENCE_S
    while True:
        left = [*_marked(mark), *temporary.iterdir()]
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.05)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.filterwarnings("error")
def test_nothing_is_lost_and_nothing_left(name, tmp_path, monkeypatch):
    for package in ("concrete", "transformers", "optuna", "plotly"):
        pytest.importorskip(package)
    command = COMMANDS[name]
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("FHECOST_CACHE", str(tmp_path / "cache"))
    work = tmp_path / "work"
    work.mkdir()
    raw = imagined_machine().changed(keys=tuple(imagined_keys()))
    save_microbenchmark(raw, work / "known.json")
    (work / "points.yaml").write_text(POINTS)

    def begin(number):
        mark = f"{tmp_path} {number}"
        resumed = command.resumed if command.begun and (work / command.begun).exists() else ()
        return subprocess.Popen(
            [sys.executable, "-m", "fhecost", *command.arguments, *resumed],
            cwd=work,
            env={
                **os.environ,
                "TMPDIR": str(temporary),
                # Torch's own, of which there is one for good.
                "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "torch"),
                MARK: mark,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ), mark

    def whole():
        """A run that is left alone: how long it took, and what it printed."""
        start = time.monotonic()
        process, mark = begin("whole")
        with process:
            out, errors = process.communicate()
        assert process.returncode == 0, errors
        assert _left(mark, temporary) == []
        return time.monotonic() - start, out

    # The cache of the first run would leave nothing to be killed in.
    usual_s, _ = whole()
    undisturbed = _bytes_of(work / "points.jsonl")
    for path in (*work.iterdir(), *(tmp_path / "cache").rglob("*.json")):
        if path.name not in ("known.json", "points.yaml"):
            path.unlink()
    finished = command.finished(tmp_path if name == "accuracy" else work)
    moments = random.Random(24)
    for number in range(command.kills):
        process, mark = begin(number)
        with process:
            # Not communicate(): children hold the pipes as long as they live.
            with suppress(subprocess.TimeoutExpired):
                process.wait(moments.uniform(0.0, usual_s))
            process.send_signal(signal.SIGKILL)
            process.wait()
            left = _left(mark, temporary)
        assert left == [], mark
        before, finished = finished, command.finished(tmp_path if name == "accuracy" else work)
        assert finished[: len(before)] == before or set(before) <= set(finished), mark
        if command.replaced is not None and process.returncode == 0:
            (work / command.replaced).unlink()
            finished = []
        # Beside what was asked for there is nothing.
        assert not [path.name for path in work.iterdir() if path.name.startswith(".")], mark
    _, out = whole()
    after = command.finished(tmp_path if name == "accuracy" else work)
    assert set(finished) <= set(after)
    assert after
    if name == "accuracy":
        assert len(AccuracyReport.model_validate(json.loads(out)).rows) == 4
    # However often it was broken off.
    assert _bytes_of(work / "points.jsonl") == undisturbed
    if name == "measure ks":
        assert not (work / "raw.json.part").exists()
