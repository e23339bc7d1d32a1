"""What a process may use of a machine: affinity, quotas and memory of control groups."""

import json
import os
import subprocess
import sys
import time

import pytest

from fhecost.hardware.at_work import others_at_work
from fhecost.hardware.estimator import estimate
from fhecost.hardware.library import find_hardware
from fhecost.hardware.limits import Limits, read_limits, this_limits, within
from fhecost.hardware.profile import FurtherPbs
from fhecost.measurement.machine import this_machine
from fhecost.provenance import Figure, Source

GIB = 2**30


def tree(folder, process, files):
    """A ``/proc/self/cgroup`` and a ``/sys/fs/cgroup`` below ``folder``."""
    (folder / "cgroup").write_text(process)
    for name, content in files.items():
        path = folder / "sys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    return folder / "cgroup", folder / "sys"


V1 = "4:memory:/docker/x\n2:cpu,cpuacct:/docker/x\n1:name=systemd:/\n0::/\n"


@pytest.mark.parametrize(
    ("process", "files", "quota", "memory"),
    [
        # A container of the second version sees its own group as the root.
        ("0::/\n", {"cpu.max": "100000 100000", "memory.max": str(2 * GIB)}, 1.0, 2 * GIB),
        ("0::/\n", {"cpu.max": "max 100000", "memory.max": "max"}, None, None),
        # The tightest group on the way up holds.
        (
            "0::/user/job\n",
            {"user/job/cpu.max": "300000 100000", "user/cpu.max": "150000 100000"},
            1.5, None,
        ),
        # A path of the host, which isn't there inside the container.
        ("0::/kubepods/pod1/abc\n", {"cpu.max": "50000 100000"}, 0.5, None),
        # The first version, and both at once.
        (
            V1,
            {
                "cpu,cpuacct/docker/x/cpu.cfs_quota_us": "200000",
                "cpu,cpuacct/docker/x/cpu.cfs_period_us": "100000",
                "memory/docker/x/memory.limit_in_bytes": str(GIB),
            },
            2.0, GIB,
        ),
        (
            "2:cpu:/\n4:memory:/\n0::/\n",
            {
                "cpu/cpu.cfs_quota_us": "-1",
                "cpu/cpu.cfs_period_us": "100000",
                "memory/memory.limit_in_bytes": "9223372036854771712",
            },
            None, None,
        ),
        ("2:cpu:/\n", {"cpu/cpu.cfs_quota_us": "100000"}, None, None),
        ("", {}, None, None),
        ("nonsense\n0::/../../etc\n", {"cpu.max": "garbage here"}, None, None),
    ],
)  # fmt: skip
def test_quota_and_memory_are_read_from_either_version(tmp_path, process, files, quota, memory):
    found = read_limits(4, *tree(tmp_path, process, files))
    assert found == Limits(threads=4, quota_cpus=quota, memory_bytes=memory)


def test_what_is_not_there_limits_nothing(tmp_path):
    assert read_limits(None, tmp_path / "a", tmp_path / "b") == Limits()
    assert Limits().available is None


@pytest.mark.parametrize(
    ("threads", "quota", "available", "share"),
    [(2, None, 2, 1.0), (2, 1.0, 1, 1.0), (2, 0.5, 1, 0.5), (4, 1.5, 2, 0.75), (2, 8.0, 2, 1.0)],
)
def test_no_more_threads_are_started_than_there_is_time_for(threads, quota, available, share):
    limits = Limits(threads=threads, quota_cpus=quota)
    assert limits.available == available
    assert limits.thread_share == pytest.approx(share)


@pytest.fixture(scope="module")
def machine():
    return find_hardware("epyc-zen4-2")


def test_a_machine_without_limits_stays_as_it_is(machine):
    assert within(machine, Limits(threads=2)) is machine
    assert within(machine, Limits()) is machine


def test_one_thread_of_two_is_estimated_and_said(machine, saved_profile):
    one = within(machine, Limits(threads=1))
    assert one.assumptions[-1] == "of 2 threads this process may use 1"
    both_s, one_s = (estimate(saved_profile, each).latency_s for each in (machine, one))
    assert 1.5 < one_s / both_s <= 2
    container = within(machine, Limits(threads=2, quota_cpus=1.0))
    assert "a quota of 1 processor" in container.assumptions[-1]
    assert estimate(saved_profile, container).latency_s == one_s


def test_a_quota_of_half_a_processor_doubles_every_time(machine, saved_profile):
    one, half = (within(machine, Limits(threads=2, quota_cpus=quota)) for quota in (1.0, 0.5))
    of_one, of_half = estimate(saved_profile, one), estimate(saved_profile, half)
    assert of_half.latency_s == pytest.approx(2 * of_one.latency_s)
    assert of_half.high_s == pytest.approx(2 * of_one.high_s)
    assert of_half.preparation.keygen_s == pytest.approx(2 * of_one.preparation.keygen_s)
    assert of_half.preparation.peak_memory_bytes == of_one.preparation.peak_memory_bytes
    assert any("2 times as long" in said for said in of_half.assumptions)


def test_a_quota_between_processors_slows_threads_that_work_together(machine, saved_profile):
    slower = within(machine, Limits(threads=2, quota_cpus=1.5))
    ratio = slower.figures["thread_efficiency"].value / machine.figures["thread_efficiency"].value
    assert ratio == pytest.approx(0.75)
    two_s, some_s, one_s = (
        estimate(saved_profile, within(machine, Limits(threads=2, quota_cpus=quota))).latency_s
        for quota in (2.0, 1.5, 1.0)
    )
    assert two_s < some_s < one_s


def test_a_quota_slows_what_is_stated_of_other_kinds_of_pbs_too(machine):
    figures = {"bootstrap_batch_s": Figure(value=2.0, source=Source.MEASURED, ref="a test")}
    several = machine.changed(pbs={"batched": FurtherPbs(figures=figures)})
    half = within(several, Limits(threads=2, quota_cpus=0.5))
    assert half.pbs["batched"].figures["bootstrap_batch_s"].value == 4.0
    assert within(several, Limits(threads=1)).pbs == several.pbs


@pytest.mark.parametrize(("quota", "threads"), [(0.5, 1), (1.5, 2), (3.0, 2)])
def test_a_quota_at_the_calibration_is_not_taken_twice(machine, quota, threads):
    limits = Limits(threads=2, quota_cpus=quota)
    share = limits.thread_share
    figures = {**machine.figures, "threads": machine.figures["threads"].set_to(threads, "a test")}
    under = machine.changed(figures=figures, calibrated_thread_share=share if share < 1 else None)
    assert within(under, limits) is under


def test_a_calibration_under_a_quota_serves_without_it(machine):
    figures = {**machine.figures, "threads": machine.figures["threads"].set_to(1.0, "a test")}
    half = machine.changed(figures=figures, calibrated_thread_share=0.5)
    free = within(half, Limits(threads=1))
    assert free.figures["run_s"].value == pytest.approx(0.5 * machine.figures["run_s"].value)
    assert "50% of a thread at the calibration" in free.assumptions[-1]
    most = machine.changed(calibrated_thread_share=0.75)
    efficiency = within(most, Limits(threads=2)).figures["thread_efficiency"]
    assert machine.figures["thread_efficiency"].value < efficiency.value <= 1


def test_more_threads_than_were_calibrated_are_said(machine):
    more = within(machine, Limits(threads=8))
    assert more.figures == machine.figures
    assert "may use 8 threads, epyc-zen4-2 was calibrated with 2" in more.assumptions[-1]


def test_memory_that_is_not_there_is_refused(machine, saved_profile):
    from fhecost.errors import ImpossibleError

    little = within(machine, Limits(threads=2, memory_bytes=2**20))
    assert "may use 1.05 MB" in little.assumptions[-1]
    with pytest.raises(ImpossibleError):
        estimate(saved_profile, little)


def test_fewer_of_many_threads_run_at_least_as_fast_each(machine):
    figures = {**machine.figures}
    figures["threads"] = figures["threads"].set_to(64.0, "a test")
    some = within(machine.changed(figures=figures), Limits(threads=8)).figures
    assert some["threads"].value == 8
    assert some["thread_efficiency"].value == figures["thread_efficiency"].value
    assert some["thread_efficiency"].high == 1.0


def run_on_one_cpu(*command, environment):
    """The command in a child that may use one processor only, as under ``taskset -c``."""
    cpu = min(os.sched_getaffinity(0))
    return subprocess.run(
        command, env=environment, text=True, capture_output=True, check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {cpu}),
    )  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux alone has it")
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="there is but one processor")
def test_an_estimate_under_taskset_says_so(tmp_path):
    environment = {
        **os.environ, "FHECOST_CONFIG": str(tmp_path), "FHECOST_CACHE": str(tmp_path / "cache"),
    }  # fmt: skip
    profile = "tests/data/reference_head_l6_b3.json"
    finished = run_on_one_cpu(
        sys.executable, "-m", "fhecost", "estimate", "--profile", profile, "--format", "json",
        environment=environment,
    )  # fmt: skip
    report = json.loads(finished.stdout)
    here = report["estimates"][0]
    assert here["hardware"] == "here"
    assert any("threads this process may use 1" in said for said in here["assumptions"])


def test_the_limits_are_in_what_a_measurement_says_of_its_machine():
    machine = this_machine()
    assert machine.limits == this_limits()
    assert machine.threads == machine.limits.available


@pytest.mark.parametrize(
    ("running", "available", "seen"), [(1, 2, False), (2, 2, True), (2, 1, False), (3, 1, True)]
)
def test_others_at_work_are_seen_where_they_take_processors(
    tmp_path, monkeypatch, running, available, seen
):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    path = tmp_path / "loadavg"
    path.write_text(f"0.50 0.25 0.10 {running}/120 4711\n")
    assert others_at_work(available, path) is seen
    assert not others_at_work(available, tmp_path / "nothing")
