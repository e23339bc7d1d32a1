"""What was finished stays: full disks, torn lines, killed processes, folders left behind."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from fhecost.errors import UsageError
from fhecost.files import check_can_write, write_atomically, write_result
from fhecost.json_lines import append_line, read_json_lines

LINES = ['{"a": 1}', json.dumps({"text": "x" * 6000}), '{"b": [1, 2]}']


@contextmanager
def room_for(size):
    """No file may grow beyond ``size`` bytes: a write takes what fits, the next one fails.

    Python ignores the signal that goes with it; Concrete, once it is loaded, ends the process.
    """
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def values(path):
    return [value for _, value in read_json_lines(path)]


@pytest.mark.parametrize("room", range(0, 6100, 1000))
def test_a_line_that_does_not_fit_leaves_the_file_as_it_was(tmp_path, room):
    path = tmp_path / "lines.jsonl"
    append_line(path, LINES[0])
    before = path.read_bytes()
    with room_for(len(before) + room), pytest.raises(UsageError, match="File too large"):
        append_line(path, json.dumps("x" * 6100))
    assert path.read_bytes() == before
    append_line(path, LINES[2])
    assert values(path) == [json.loads(LINES[0]), json.loads(LINES[2])]


def test_a_write_that_takes_a_part_goes_on(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, bytes(data[:7])))
    for line in LINES:
        append_line(tmp_path / "lines.jsonl", line)
    assert (tmp_path / "lines.jsonl").read_text() == "".join(f"{line}\n" for line in LINES)


def test_a_line_that_is_not_on_the_disk_is_none(tmp_path, monkeypatch):
    path = tmp_path / "lines.jsonl"
    append_line(path, LINES[0])

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="No space left"):
        append_line(path, LINES[1])
    assert values(path) == [{"a": 1}]


@pytest.mark.parametrize("kept", range(1, len(LINES[1]), 1499))
def test_a_torn_line_is_left_out_with_a_warning_and_joins_no_other(tmp_path, kept):
    path = tmp_path / "lines.jsonl"
    path.write_text(f"{LINES[0]}\n{LINES[1][:kept]}")
    append_line(path, LINES[2])
    with pytest.warns(UserWarning, match=r"lines.jsonl: left out: line 2: not JSON"):
        assert values(path) == [json.loads(LINES[0]), json.loads(LINES[2])]


def test_what_a_missing_line_feed_has_joined_is_told_apart(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_text(LINES[0] + LINES[2] + " " + LINES[0])
    assert values(path) == [json.loads(line) for line in (LINES[0], LINES[2], LINES[0])]
    path.write_text(LINES[0] + LINES[2][:5])
    with pytest.warns(UserWarning, match="line 1: not JSON"):
        assert values(path) == [{"a": 1}]


def test_a_letter_that_is_torn_harms_its_own_line_alone(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_bytes(LINES[0].encode() + b"\n" + '"é'.encode()[:-1])
    append_line(path, LINES[2])
    with pytest.warns(UserWarning, match="line 2"):
        assert values(path) == [json.loads(LINES[0]), json.loads(LINES[2])]


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1e"])
def test_a_text_with_an_end_of_line_of_another_kind_comes_back(tmp_path, end):
    path = tmp_path / "lines.jsonl"
    written = [{"text": f"before{end}after"}] * 2
    for value in written:
        append_line(path, json.dumps(value, ensure_ascii=False))
    assert values(path) == written


def _append_some(path, number):
    for index in range(20):
        append_line(path, json.dumps({"writer": number, "index": index, "rest": "x" * 9000}))


def test_writers_at_the_same_time_lose_nothing(tmp_path):
    path = tmp_path / "lines.jsonl"
    with ProcessPoolExecutor(4) as pool:
        list(pool.map(_append_some, [path] * 4, range(4)))
    found = [(value["writer"], value["index"]) for value in values(path)]
    assert sorted(found) == [(writer, index) for writer in range(4) for index in range(20)]


def test_a_file_of_torn_lines_alone_is_refused(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_text("no\nlines\n")
    with pytest.raises(UsageError, match=r"line 1: not JSON: .* \(and 1 more\)"):
        read_json_lines(path)


# Before long work.


@pytest.mark.parametrize("appended", [True, False])
def test_a_file_that_can_not_be_written_is_known_before(appended):
    path = Path("/proc/version")
    if not path.is_file():
        pytest.skip("needs a file that nobody can write")
    with pytest.raises(UsageError, match="/proc/version: can't be written"):
        check_can_write(*([] if appended else [path]), appended=[path] if appended else [])


def test_a_full_disk_is_known_before(tmp_path):
    with room_for(1000), pytest.raises(UsageError, match="File too large"):
        check_can_write(tmp_path / "new.json")


def test_trying_changes_nothing(tmp_path):
    there = tmp_path / "there.jsonl"
    there.write_text("{}\n")
    check_can_write(tmp_path / "new.json", appended=[there])
    assert [path.name for path in tmp_path.iterdir()] == ["there.jsonl"]
    assert there.read_text() == "{}\n"


def test_a_record_to_a_file_that_can_not_be_written_is_refused_at_once(run_fhecost):
    begun = time.monotonic()
    finished = run_fhecost("measure", "head", "--record", "/proc/version")
    assert (finished.returncode, finished.stdout) == (2, "")
    assert "/proc/version: can't be written" in finished.stderr
    assert time.monotonic() - begun < 10


# After it.


def test_a_result_that_can_not_be_written_is_kept_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("FHECOST_CACHE", str(tmp_path / "cache"))
    with pytest.raises(UsageError, match=r"/dev/full: can't be written: .*; it is kept in") as told:
        write_result(Path("/dev/full"), "worth minutes")
    kept = Path(str(told.value).rpartition(" ")[2])
    assert kept.parent == tmp_path / "cache" / "unsaved"
    assert kept.read_text() == "worth minutes"


def test_where_the_cache_is_full_too_there_is_the_temporary_folder(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("not a folder")
    monkeypatch.setenv("FHECOST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(UsageError, match="it is kept in") as told:
        write_result(Path("/dev/full"), "worth minutes")
    assert Path(str(told.value).rpartition(" ")[2]).parent == tmp_path


def test_an_interrupted_write_leaves_no_file(tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    path.write_text("before")

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, "after")
    assert [one.name for one in tmp_path.iterdir()] == ["result.json"]
    assert path.read_text() == "before"


def test_what_a_killed_write_has_left_goes_with_a_later_one(tmp_path):
    path = tmp_path / "result[1].json"
    old, new, own = (
        tmp_path / name
        for name in (
            ".result[1].json.abcdefgh.unfinished",
            ".result[1].json.ijklmnop.unfinished",
            ".result[1].json.own",
        )
    )
    for one in (old, new, own):
        one.write_text("x")
    for one in (old, own):
        os.utime(one, (1000, 1000))
    write_atomically(path, "whole")
    assert sorted(tmp_path.iterdir()) == sorted([path, new, own])


# Children and folders.

PARENT = """
import subprocess, sys, time
from fhecost.processes import child_command, child_environment, temporary_folder
folder = temporary_folder("work-")
(folder / "file").write_text("x")
child = subprocess.Popen(
    child_command("sleeper"), env=child_environment(folder), stdout=subprocess.PIPE, text=True
)
print(child.stdout.readline().strip(), child.pid, flush=True)
{}
"""
SLEEPER = """
import tempfile, time
tempfile.mkdtemp()
print("sleeping", flush=True)
time.sleep(600)
"""


def is_there(pid):
    """Whether a process runs; one that has ended and is still listed doesn't."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    return False


def gone(condition, patience_s=5.0):
    """Whether ``condition`` stops to hold before long."""
    end = time.monotonic() + patience_s
    while condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def heed_signals():
    """Those that a shell has its background jobs ignore, which children would take over."""
    for one in (signal.SIGINT, signal.SIGHUP):
        signal.signal(one, signal.SIG_DFL)


@pytest.fixture
def begin_parent(tmp_path):
    """Start a process that has a temporary folder and a child, then does ``what``."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])

    def begin(what):
        return subprocess.Popen(
            [sys.executable, "-c", PARENT.format(what)],
            env={**os.environ, "TMPDIR": str(folder), "PYTHONPATH": paths},
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=heed_signals,
        )

    begin.folder = folder
    return begin


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_child_and_folders_go_with_a_parent_that_is_ended(begin_parent, how):
    with begin_parent("time.sleep(600)") as parent:
        said, child = parent.stdout.readline().split()
        assert said == "sleeping"
        assert list(begin_parent.folder.iterdir())
        parent.send_signal(how)
    assert gone(lambda: is_there(child))
    assert gone(lambda: any(begin_parent.folder.iterdir()))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
@pytest.mark.parametrize("what", ["pass", "raise ValueError", "sys.exit(3)"])
def test_child_and_folders_go_with_a_parent_that_ends(begin_parent, what):
    with begin_parent(what) as parent:
        child = parent.stdout.readline().split()[1]
    assert gone(lambda: is_there(child))
    assert gone(lambda: any(begin_parent.folder.iterdir()))


COMPILING = """
import numpy as np
from fhecost.concrete.compilation import import_concrete
fhe = import_concrete()
table = fhe.LookupTable([1, 2, 3, 0])
circuit = fhe.Compiler(lambda x: table[x], {"x": "encrypted"}).compile([np.arange(4)])
circuit.server.save("server.zip")
server = fhe.Server.load("server.zip")
assert list(circuit.encrypt_run_decrypt(np.arange(4))) == [1, 2, 3, 0]
"""


def test_nothing_is_left_of_a_circuit(tmp_path):
    """Concrete itself keeps a folder of each circuit for good."""
    pytest.importorskip("concrete.fhe", reason="needs the extra [concrete]")
    folder = tmp_path / "temporary"
    folder.mkdir()
    environment = {**os.environ, "TMPDIR": str(folder), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", COMPILING],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert gone(lambda: any(folder.iterdir()))
