"""What a step of a run had of the processors, read from counters of the system."""

import os
import subprocess
import sys
import threading
import time

import pytest

from fhecost.measurement.cpu_use import CpuUse, Look, look
from fhecost.measurement.probe_beside import ProbeBeside

ALONE = CpuUse(
    cpus=2, wall_s=10.0, own_s=19.0, waited_s=0.2, others_s=0.3, stolen_s=0.0, throttled_s=0.0
)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"waited_s": None, "others_s": None, "stolen_s": None, "throttled_s": None}, None),
        ({"others_s": 8.0, "own_s": 12.0}, "other programs had 40 % of the processors"),
        ({"waited_s": 9.0, "own_s": 11.0}, "it had 55 % of the processors' time"),
        ({"stolen_s": 3.0}, "other virtual machines took 3.00 s"),
        ({"throttled_s": 5.0, "waited_s": 5.0}, "a quota held it back for 5.00 s"),
    ],
)
def test_who_took_more_than_a_tenth_is_said(changes, said):
    disturbances = ALONE.changed(**changes).disturbances
    assert len(disturbances) == (said is not None)
    if said is not None:
        assert said in disturbances[0]


def test_the_share_is_of_what_it_was_ready_for():
    assert ALONE.changed(own_s=3.0, waited_s=1.0).share == pytest.approx(0.75)
    assert ALONE.changed(waited_s=None).share is None
    assert ALONE.changed(own_s=0.0, waited_s=0.0).share is None


def stat_line(cpu, user, idle, steal=0):
    return f"cpu{cpu} {user} 10 20 {idle} 5 1 2 {steal} 50 0\n"


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A machine of four threads on two cores; this process may use the first of them."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0}, raising=False)
    for cpu, siblings in ((0, "0,2"), (1, "1,3"), (2, "0,2"), (3, "1,3")):
        folder = tmp_path / "cpu" / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(siblings + "\n")
    (tmp_path / "self" / "task" / "1").mkdir(parents=True)
    (tmp_path / "self" / "task" / "2").mkdir(parents=True)
    (tmp_path / "self" / "cgroup").write_text("0::/job\n")
    (tmp_path / "cgroup" / "job").mkdir(parents=True)

    def set_to(users, *, waited=(0, 0), steal=0, throttled=0):
        lines = [stat_line(cpu, user, 1000, steal) for cpu, user in enumerate(users)]
        (tmp_path / "stat").write_text("cpu  1 2 3 4 5 6 7 8 9 10\n" + "".join(lines))
        for thread, nanoseconds in zip((1, 2), waited, strict=True):
            path = tmp_path / "self" / "task" / str(thread) / "schedstat"
            path.write_text(f"5000 {nanoseconds} 7\n")
        (tmp_path / "cgroup" / "job" / "cpu.stat").write_text(
            f"usage_usec 9\nnr_throttled 3\nthrottled_usec {throttled}\n"
        )
        return look(tmp_path / "self", tmp_path / "stat", tmp_path / "cpu", tmp_path / "cgroup")

    return set_to


def between(before, after, wall_s, own_s):
    """The use between two looks that were ``wall_s`` apart."""
    timed = {**vars(after), "at_s": before.at_s + wall_s, "own_s": before.own_s + own_s}
    return before.until(Look(**timed))


def test_others_are_counted_on_its_processors_and_their_siblings(system):
    before = system((100, 100, 100, 100), waited=(1_000_000, 0))
    # In 2 s: 1.5 s of this process, 0.4 s of another beside it, 1 s on its sibling.
    after = system(
        (290, 999, 200, 999), waited=(201_000_000, 300_000_000), steal=25, throttled=700_000
    )
    use = between(before, after, wall_s=2.0, own_s=1.5)
    assert use.cpus == 2
    assert use.others_s == pytest.approx(1.9 + 1.0 - 1.5)
    assert use.others_share == pytest.approx(1.4 / 4)
    assert use.waited_s == pytest.approx(0.5)
    assert use.stolen_s == pytest.approx(0.5)
    assert use.throttled_s == pytest.approx(0.7)
    assert len(use.disturbances) == 3


def test_of_a_step_of_some_ticks_others_have_what_they_had_until_later(system):
    before, after = system((100,) * 4), system((100,) * 4)
    assert between(before, after, wall_s=0.05, own_s=0.05).others_s is None
    later = Look(**{**vars(system((150,) * 4)), "at_s": before.at_s + 0.5, "own_s": before.own_s})
    soon = Look(**{**vars(after), "at_s": before.at_s + 0.05, "own_s": before.own_s})
    # 1 s of work on two processors within 0.5 s: all of it.
    assert before.until(soon, later).others_share == pytest.approx(1.0)


def test_what_the_system_does_not_tell_is_unknown_and_no_zero(tmp_path):
    nothing = [tmp_path / name for name in ("self", "stat", "cpu", "cgroup")]
    use = look(*nothing).until(look(*nothing))
    assert use.own_s >= 0
    assert (use.waited_s, use.others_s, use.stolen_s, use.throttled_s) == (None,) * 4
    assert use.disturbances == ()


@pytest.mark.slow
@pytest.mark.skipif(look().waited_s is None, reason="this system doesn't count waiting")
def test_a_second_program_on_the_same_processor_is_seen():
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})
    try:
        busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        time.sleep(0.3)
        before = look()
        while time.perf_counter() < before.at_s + 1.0:
            pass
        use = before.until(look())
    finally:
        busy.kill()
        busy.wait()
        os.sched_setaffinity(0, cpus)
    assert use.share < 0.75
    assert use.others_s > 0.25
    assert use.disturbances


def test_the_probe_runs_beside_work_that_takes_long_enough():
    with ProbeBeside(first_s=0.01, each_s=0.01) as probe:
        time.sleep(1.0)
    assert len(probe.seconds) > 1
    assert all(0.001 < seconds < 5 for seconds in probe.seconds)
    with ProbeBeside() as probe:
        pass
    assert probe.seconds == []


def test_work_that_fails_ends_the_probe_too():
    threads = threading.active_count()
    with pytest.raises(RuntimeError, match="work"), ProbeBeside(first_s=0.001):
        raise RuntimeError("the work failed")
    assert threading.active_count() == threads
