"""A calibration that measures: what it measures, how it goes on, what it says of other programs."""

import json
import warnings

import pytest

from fhecost.errors import FieldError, ImpossibleError
from fhecost.hardware.estimator import estimate
from fhecost.hardware.reading import read_hardware
from fhecost.measurement import forked
from fhecost.measurement.broken_off import broken_off_path
from fhecost.measurement.calibration import calibrate, raw_times_file
from fhecost.measurement.calibration_run import measure_for_calibration
from fhecost.measurement.calibration_steps import calibration_steps
from fhecost.measurement.cpu_use import Look
from fhecost.measurement.fit import fit_cpu
from fhecost.measurement.noise import noise_of
from fhecost.measurement.quiet import wait_for_quiet
from fhecost.measurement.records import load_microbenchmark
from fhecost.report.calibration_document import calibration_document, expected_line
from fhecost.report.render import as_markdown, as_table
from tests.imagined_steps import CONSTANTS, EFFICIENCY, LINEAR_S, PROBE_S, ImaginedMachine

MEMORY = 24 * 2**30


@pytest.fixture(autouse=True)
def _no_waiting_for_disks(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda handle: None)


@pytest.fixture
def machine(monkeypatch):
    return ImaginedMachine(monkeypatch)


@pytest.fixture
def kept(tmp_path):
    return tmp_path / "mine.yaml"


@pytest.mark.parametrize("thorough", [False, True])
@pytest.mark.parametrize("threads", [1, 2, 6, 64, 192])
def test_the_constants_of_a_known_machine_are_found(monkeypatch, threads, thorough):
    ImaginedMachine(monkeypatch, threads)
    figures = calibrate(thorough=thorough).figures
    for name, value in CONSTANTS.items():
        assert figures[name].value == pytest.approx(value, rel=1e-3), name
    assert figures["threads"].value == threads
    # A thread alone has nothing to share.
    assert figures["thread_efficiency"].value == pytest.approx(
        1.0 if threads == 1 else EFFICIENCY, rel=1e-3
    )
    assert figures["linear_element_s"].value == pytest.approx(LINEAR_S, rel=2e-3)
    assert figures["keygen_product_unit_s"].value == pytest.approx(1.6e-9, rel=1e-2)
    assert figures["bsk_copies"].value == pytest.approx(2.0, rel=1e-3)
    assert figures["trusted_polynomial_size"].value == (32768 if thorough else 16384)
    assert figures["run_s"].value == pytest.approx(1e-3, rel=0.05)
    assert figures["probe_s"].value == PROBE_S


@pytest.mark.parametrize(("thorough", "low_s", "high_s"), [(False, 60, 90), (True, 360, 660)])
def test_it_takes_what_is_promised(thorough, low_s, high_s):
    for threads in (2, 8, 64):
        steps = calibration_steps(threads, thorough, MEMORY)
        assert low_s <= sum(step.expected_s for step in steps) <= high_s
        # Nothing that a kill can lose takes longer than a quarter of it.
        assert max(step.expected_s for step in steps) < high_s / 4


def test_a_machine_with_little_memory_leaves_out_what_it_cant_hold():
    sizes = {
        step.case.polynomial_size
        for step in calibration_steps(2, True, 4 * 2**30)
        if hasattr(step.case, "polynomial_size")
    }
    assert 32768 not in sizes
    assert 8192 in sizes


@pytest.mark.parametrize("steps", [0, 1, 4, 8, 20])
def test_a_kill_loses_one_step(machine, kept, steps):
    machine.broken_off_after = steps
    with pytest.raises(KeyboardInterrupt):
        calibrate(keep=kept)
    assert not kept.exists()
    assert not raw_times_file(kept).exists()
    machine.broken_off_after = None
    calibrate(keep=kept)
    raw = load_microbenchmark(raw_times_file(kept))
    assert len(machine.steps) == len(raw.conditions) - 2 == len(calibration_steps(2, False, MEMORY))
    assert len(raw.resumed) == (1 if steps else 0)
    assert not broken_off_path(raw_times_file(kept)).exists()
    assert read_hardware(kept).figures["fourier_unit_s"].ref == "mine.raw.json"


def other_day(machine, part):
    machine.day = "2026-01-02"


def other_machine(machine, part):
    content = json.loads(part.read_text())
    content["raw"]["machine"]["processor"] = "another"
    part.write_text(json.dumps(content))


def other_concrete(machine, part):
    content = json.loads(part.read_text())
    content["raw"]["versions"]["concrete-python"] = "2.9"
    part.write_text(json.dumps(content))


def other_version(machine, part):
    content = json.loads(part.read_text())
    content["fhecost_version"] = "0.0.1"
    part.write_text(json.dumps(content))


def thorough(machine, part):
    content = json.loads(part.read_text())
    content["thorough"] = True
    part.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "change", [other_day, other_machine, other_concrete, other_version, thorough]
)
def test_what_doesnt_belong_together_is_begun_anew(machine, kept, change):
    machine.broken_off_after = 5
    with pytest.raises(KeyboardInterrupt):
        calibrate(keep=kept)
    change(machine, broken_off_path(raw_times_file(kept)))
    machine.broken_off_after = None
    machine.steps.clear()
    calibrate(keep=kept)
    assert len(machine.steps) == len(calibration_steps(2, False, MEMORY))
    assert not load_microbenchmark(raw_times_file(kept)).resumed


def test_a_damaged_beginning_is_said_and_begun_anew(machine, kept):
    broken_off_path(raw_times_file(kept)).write_text('{"thorough": false')
    with pytest.warns(UserWarning, match=r"mine.raw.json.part: not JSON.*timed anew"):
        calibrate(keep=kept)
    assert kept.exists()


def test_what_is_left_is_said_before_and_meanwhile(machine):
    said, done = [], []
    measure_for_calibration(progress=done.append, expect=said.append)
    steps = calibration_steps(2, False, MEMORY)
    assert done[0].startswith("looking for other programs")
    assert done[1:] == [step.name for step in steps]
    # The probe of this machine is as fast as the known one's.
    assert said[0] == pytest.approx(sum(step.expected_s for step in steps), rel=0.03)
    # Before others are waited for, before the first step, and after each.
    assert len(said) == len(steps) + 2
    assert said[-1] == 0
    # The steps took no time, so that less and less is to be expected.
    assert said == sorted(said, reverse=True)


def test_a_step_beside_others_is_done_again(machine, kept):
    # A step that is disturbed, and the same again.
    machine.others = iter([0.5, 0.0])
    made = calibrate(keep=kept)
    raw = load_microbenchmark(raw_times_file(kept))
    assert len(machine.steps) == len(calibration_steps(2, False, MEMORY)) + 1
    assert len(machine.waits) == 2
    assert noise_of(raw).alone
    assert not made.assumptions
    assert len(raw.lookups[0].seconds) == 3  # those of the first time don't count


def test_others_that_stay_are_said(machine, kept, monkeypatch):
    machine.others = iter([0.4] * 1000)
    monkeypatch.setattr("fhecost.measurement.calibration_run._WAIT_S", -1.0)
    made = calibrate(keep=kept)
    noise = noise_of(load_microbenchmark(raw_times_file(kept)))
    assert noise.disturbed == noise.steps == len(machine.steps)
    (said,) = made.assumptions
    assert said == (
        f"not alone in {noise.steps} of {noise.steps} steps; in the worst, other programs had 40 % "
        "of the processors"
    )
    assert said in " ".join(as_table(calibration_document(raw_times_file(kept))).split())


def test_memory_that_ends_leaves_a_step_out(machine):
    machine.out_of_memory_at = 16384
    with pytest.warns(UserWarning, match="N=16384 l=1 is left out: .*out of memory"):
        made = calibrate()
    assert made.figures["trusted_polynomial_size"].value == 4096


def test_a_step_that_fails_is_an_error(machine, monkeypatch, kept):
    def run(*_):
        raise ImpossibleError("a run ended with status 1: no message")

    monkeypatch.setattr(machine, "run", run)
    with pytest.raises(ImpossibleError, match="a run ended with status 1"):
        calibrate(keep=kept)
    assert not kept.exists()


def test_raw_times_and_thorough_dont_go_together(machine, run_fhecost, tmp_path):
    raw = measure_for_calibration()
    with pytest.raises(FieldError, match="thorough: goes without raw times"):
        calibrate(raw, thorough=True)
    (tmp_path / "raw.json").write_text("{}")
    finished = run_fhecost("calibrate", "raw.json", "--thorough", "-o", "mine.yaml")
    assert finished.returncode == 2
    assert "--thorough: goes without raw times" in finished.stderr


def test_earlier_times_are_kept_with_the_machine_that_they_made(machine, kept):
    for machine.day in ("2026-01-01", "2026-02-02"):
        calibrate(keep=kept)
    assert sorted(path.name for path in (kept.parent / "earlier").iterdir()) == [
        "mine-2026-01-01T102030.raw.json",
        "mine-2026-01-01T102030.yaml",
    ]
    assert read_hardware(kept).calibrated.startswith("2026-02-02")


def test_the_document_says_how_good_the_fit_is(machine, kept):
    calibrate(keep=kept)
    document = calibration_document(raw_times_file(kept))
    text = as_table(document)
    for said in (
        *("lookups on one thread", "lookups on 2 threads", "key generation", "N up to 16,384"),
        "probe before 50.0 ms, during 50.0 ms to 50.0 ms, after 50.0 ms",
    ):
        assert said in text.replace("\n", " "), said
    assert max(map(len, text.splitlines())) <= 80
    assert "| fourier_unit_s |" in as_markdown(document)


@pytest.mark.parametrize(
    ("seconds", "said"), [(74.0, "about 75 s;"), (126.0, "about 2 min 10 s;"), (3.0, "about 5 s;")]
)
def test_what_it_will_take_is_a_round_number(seconds, said):
    assert said in expected_line(seconds)


class Counters:
    """The system's counters, of two processors of which others have ``shares``, a second each."""

    def __init__(self, shares):
        self.shares = iter(shares)
        self.now = self.busy = 0.0
        self.slept = 0

    def look(self):
        counted = {"waited_s": None, "stolen_s": None, "throttled_s": None}
        return Look(at_s=self.now, own_s=0.0, cpus=frozenset({0, 1}), busy_s=self.busy, **counted)

    def sleep(self, seconds):
        self.slept += 1
        self.now += seconds
        self.busy += 2 * seconds * next(self.shares)


@pytest.mark.parametrize(
    ("shares", "most_s", "looks", "waited_s"),
    [
        ([0.0], 60, 1, 0),
        ([0.05], 60, 1, 0),
        ([0.5, 0.5, 0.0, 0.0], 60, 4, 3),
        ([0.5, 0.0, 0.5, 0.0, 0.0], 60, 5, 4),
        ([0.5] * 99, 3, 4, 3),
        ([0.5] * 99, 0, 1, 0),
    ],
)
def test_others_are_waited_for_within_limits(shares, most_s, looks, waited_s):
    counters, said = Counters(shares), []
    waited = wait_for_quiet(most_s, said.append, counters.look, counters.sleep)
    assert (waited, counters.slept) == (waited_s, looks)
    assert bool(said) == bool(waited_s)
    assert all("50 % of the processors" in line for line in said)


def test_a_system_that_doesnt_tell_is_said(machine, kept):
    calibrate(keep=kept)
    raw = load_microbenchmark(raw_times_file(kept))
    assert "isn't known" not in " ".join(noise_of(raw).lines())
    untold = [one.changed(cpu=one.cpu.changed(others_s=None)) for one in raw.conditions]
    noise = noise_of(raw.changed(conditions=untold))
    assert noise.alone
    assert "isn't known on this system" in " ".join(noise.lines())


@pytest.mark.slow
def test_a_fork_is_as_good_as_a_new_process():
    """The same circuit in a fork and in a process of its own: times alike, and memory too."""
    from fhecost.measurement.cases import LookupCase
    from fhecost.measurement.machine import available_threads
    from fhecost.measurement.single_circuits import compile_case
    from fhecost.measurement.timed_run import RunOptions, run_once

    pytest.importorskip("concrete.fhe", reason="needs the extra [concrete]")
    single = compile_case(LookupCase(3, 2, 1024, 1), 16)
    with forked.forks(available_threads()) as forks:
        made = [
            forks.run(single.circuit, [single.values], forked.Repeats(3, 2), 300.0)
            for _ in range(2)
        ]
    new, _ = run_once(single.circuit, [single.values], RunOptions(warm_runs=3))
    for one in made:
        assert len(one.alone_s) == 2
        assert one.times.warm_median_s == pytest.approx(new.warm_median_s, rel=0.5)
        assert one.times.peak_memory_bytes == pytest.approx(new.peak_memory_bytes, rel=0.1)
        assert one.times.start_memory_bytes == pytest.approx(new.start_memory_bytes, rel=0.1)


@pytest.mark.slow
def test_a_fork_that_fails_says_why():
    pytest.importorskip("concrete.fhe", reason="needs the extra [concrete]")
    from types import SimpleNamespace

    saved = SimpleNamespace(save=lambda path: path.write_bytes(b"no archive"))
    circuit = SimpleNamespace(server=saved, client=saved)
    with forked.forks(1) as forks, warnings.catch_warnings():
        with pytest.raises(ImpossibleError, match=r"a run ended with status 1: .*[Zz]ip"):
            forks.run(circuit, [], forked.Repeats(1), 60.0)
        with pytest.raises(ImpossibleError, match="took longer than"):
            forks.run(circuit, [], forked.Repeats(1), 0.0)


@pytest.mark.slow
def test_this_machine_is_calibrated(run_fhecost, tmp_path, saved_profile):
    pytest.importorskip("concrete.fhe", reason="needs the extra [concrete]")
    finished = run_fhecost("calibrate", "-o", "mine.yaml")
    assert finished.returncode == 0, finished.stderr
    assert "measuring this machine takes about" in finished.stderr
    assert "use it with --hardware mine" in finished.stderr
    for said in ("lookups on one thread", "fourier_unit_s", "probe before"):
        assert said in finished.stdout
    made = read_hardware(tmp_path / "mine.yaml")
    assert made.figures["trusted_polynomial_size"].value == 16384
    assert estimate(saved_profile, made).preparation.keygen_s > 0
    assert fit_cpu(load_microbenchmark(tmp_path / "mine.raw.json")).spread < 0.5
