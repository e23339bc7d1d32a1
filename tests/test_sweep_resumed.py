"""Sweeps: no result is lost, and none is computed twice."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

import fhecost
from fhecost.engine.here import Here
from fhecost.engine.outcome import Lost
from fhecost.errors import UsageError
from fhecost.json_lines import kept_lines
from fhecost.sweep import run
from fhecost.sweep.results_file import load_results
from fhecost.sweep.run import run_sweep
from tests.conftest import ROOT
from tests.sweeps import SMALL, here, small, undisturbed, write
from tests.test_nothing_lost import room_for

__all__ = ["here", "small", "undisturbed", "write"]


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

    monkeypatch.setattr(run, "runner", lambda *_, **__: nullcontext(OneIsLost()))
    report = run_sweep(small, path)
    assert (report.done, report.failed) == (6, 2)
    assert [one.status for one in report.results] == ["done"] * 2 + ["failed"] * 2 + ["done"] * 4
    assert report.results[2].reason == "its process was killed"
    monkeypatch.setattr(run, "runner", lambda *_, **__: nullcontext(Here()))
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
