"""Sweeps on Dask's workers: the same lines as here, and workers that die.

All of it is in processes of their own: Dask warns of sockets that it closes late.
"""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.sweeps import SMALL, undisturbed
from tests.test_nothing_lost import gone, is_there

__all__ = ["undisturbed"]

pytest.importorskip("distributed", reason="needs the extra [sweep]")


@pytest.fixture
def small(tmp_path):
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(SMALL))


def test_two_workers_give_the_same_lines_as_this_machine(run_fhecost, small, tmp_path, undisturbed):
    finished = run_fhecost("sweep", "small.yaml", "--dask", 2, "--format", "json")
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    assert (tmp_path / "small.jsonl").read_bytes() == undisturbed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.jsonl", "small.yaml"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--dask", 0), "--dask 0: must be at least 1"),
        (("--dask", 2, "--scheduler", "tcp://x:1"), "dask and scheduler: name one of them"),
        (("--scheduler", "nowhere"), "--scheduler nowhere: no Dask scheduler answers there: "),
        (
            ("--scheduler", "tcp://127.0.0.1:9"),
            "--scheduler tcp://127.0.0.1:9: no Dask scheduler answers there: ",
        ),
    ],
)
def test_a_cluster_that_can_not_be_is_one_line(run_fhecost, small, tmp_path, arguments, line):
    finished = run_fhecost("sweep", "small.yaml", *arguments)
    assert (finished.returncode, finished.stdout) == (2, "")
    assert line in finished.stderr
    assert len(finished.stderr.splitlines()) == 1
    assert not (tmp_path / "small.jsonl").exists()


def test_without_dask_one_line_says_how_to_get_it(small, tmp_path):
    code = (
        "import sys; sys.modules['distributed'] = None\n"
        "from fhecost.cli import main; main(['sweep', 'small.yaml', '--dask', '2'])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2
    assert ran.stderr == "fhecost: Dask needs: pip install 'fhecost[sweep]'\n"


def outcomes(work, tasks, before=""):
    """What becomes of tasks on two workers, in words, by a process of its own."""
    code = (
        "import json\n"
        "from pathlib import Path\n"
        "from fhecost.engine import dask_cluster\n"
        f"from tests.test_sweep_dask import {work} as work\n"
        f"{before}\n"
        "if __name__ == '__main__':\n"
        "    with dask_cluster.cluster_here(2) as pool:\n"
        f"        found = dict(pool.outcomes(work, {tasks}))\n"
        "    print(json.dumps({place: str(one) for place, one in found.items()}))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return {int(place): said for place, said in json.loads(ran.stdout).items()}


def killed(number):
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 3:
        raise ValueError("no three")
    return number


ALL_AT_ONCE = "import dask; dask.config.set({'distributed.scheduler.worker-saturation': 'inf'})"
"""Workers are sent all tasks, and a scheduler then counts all that wait at one as lost with it."""


@pytest.mark.parametrize("before", ["", ALL_AT_ONCE], ids=["as shipped", "all at once"])
def test_a_killed_worker_stops_no_other(before):
    found = outcomes("killed", list(range(5)), before)
    assert found.pop(2) == (
        "Lost(reason='2 workers ended while they were at it, perhaps for their memory')"
    )
    assert found.pop(3) == "Raised(error=ValueError('no three'))"
    assert found == {place: f"Finished(result={place})" for place in (0, 1, 4)}


def grows(number):
    """Task 1 takes memory until it is ended."""
    held = []
    while number == 1:
        held.append(bytearray(os.urandom(1 << 20)) * 16)
        time.sleep(0.02)
    return number


@pytest.mark.slow
def test_a_worker_out_of_memory_stops_no_other():
    found = outcomes(
        "grows", [0, 1, 2, 3], "dask_cluster.free_memory_bytes = lambda: 2 * 700 * 2**20"
    )
    assert found.pop(1).startswith("Lost(reason='2 workers ended")
    assert found == {place: f"Finished(result={place})" for place in (0, 2, 3)}


@pytest.fixture
def cluster(tmp_path):
    """A scheduler and two workers as a user starts them; returns its address and the workers."""
    told = tmp_path / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    about = {"cwd": tmp_path, "env": environment, "stderr": subprocess.DEVNULL}
    local = ["--host", "127.0.0.1"]
    scheduler = [*dask, "scheduler", *local, "--port", "0", "--no-dashboard"]
    started = [subprocess.Popen([*scheduler, "--scheduler-file", str(told)], **about)]
    assert gone(lambda: not told.exists(), 30)
    address = json.loads(told.read_text())["address"]
    worker = [*dask, "worker", address, *local, "--nthreads", "1", "--no-dashboard"]
    folder = ["--local-directory", str(tmp_path / "dask")]
    started += [subprocess.Popen([*worker, "--nworkers", "1", *folder], **about) for _ in range(2)]
    yield address, started
    for process in reversed(started):
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_cluster_of_ones_own_may_lose_a_worker(
    run_fhecost, small, tmp_path, undisturbed, cluster
):
    address, (_, first, _) = cluster
    finished = run_fhecost("sweep", "small.yaml", "--scheduler", address, "-o", "a.jsonl")
    assert finished.returncode == 0, finished.stderr
    assert (tmp_path / "a.jsonl").read_bytes() == undisturbed
    first.kill()
    finished = run_fhecost("sweep", "small.yaml", "--scheduler", address, "-o", "b.jsonl")
    assert finished.returncode == 0, finished.stderr
    assert (tmp_path / "b.jsonl").read_bytes() == undisturbed


@pytest.mark.slow
def test_five_hundred_points_take_less_than_a_minute_and_are_the_same_on_two_workers(
    run_fhecost, tmp_path
):
    (tmp_path / "x.yaml").write_text((ROOT / "experiments" / "lengths.yaml").read_text())
    begun = time.monotonic()
    finished = run_fhecost("sweep", "x.yaml", "-o", "here.jsonl")
    took_s = time.monotonic() - begun
    assert finished.returncode == 0, finished.stderr
    assert "500 points" in finished.stdout
    assert took_s < 60
    finished = run_fhecost("sweep", "x.yaml", "-o", "dask.jsonl", "--dask", 2)
    assert finished.returncode == 0, finished.stderr
    here, there = ((tmp_path / f"{name}.jsonl").read_bytes() for name in ("here", "dask"))
    assert len(here.splitlines()) == 500
    assert here == there


def children(pid):
    """All processes below ``pid``."""
    below = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(path.read_text().rpartition(") ")[2].split()[1])
            below.setdefault(parent, []).append(int(path.parent.name))
    found, left = [], [pid]
    while left:
        more = below.get(left.pop(), [])
        found += more
        left += more
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
def test_workers_go_with_a_sweep_that_is_killed(small, tmp_path, undisturbed):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = [sys.executable, "-m", "fhecost", "sweep", "small.yaml", "--resume"]
    for moment in (1.0, 2.0, 3.0, 4.0):
        process = subprocess.Popen(
            [*command, "--dask", "2"],
            cwd=tmp_path,
            env={**os.environ, "TMPDIR": str(temporary)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(moment)
        started = children(process.pid)
        process.kill()
        process.wait()
        assert gone(lambda started=started: any(map(is_there, started)), 10), moment
        assert gone(lambda: any(temporary.iterdir()), 20), moment
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "small.jsonl").read_bytes() == undisturbed
