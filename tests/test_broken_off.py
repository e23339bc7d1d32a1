"""A microbenchmark that is broken off, and goes on."""

import json
import statistics
from types import SimpleNamespace

import numpy as np
import pytest

from fhecost.errors import FieldError, UsageError
from fhecost.measurement import microbenchmark as module
from fhecost.measurement.broken_off import BrokenOff, broken_off_path
from fhecost.measurement.cases import LookupCase
from fhecost.measurement.microbenchmark import run_microbenchmark, step_count
from fhecost.measurement.records import LookupSample, TransferSample, load_microbenchmark
from fhecost.measurement.single_circuits import SingleCircuit
from tests.test_measurement import imagined_keys, imagined_machine

ROUNDS = 15


class BrokenOffError(Exception):
    """Stands for a process that is killed."""


@pytest.fixture
def bench(monkeypatch, tmp_path):
    """Circuits that take no time, whose compilations, runs and keys are counted."""
    pytest.importorskip("concrete.fhe", reason="needs the extra [concrete]")
    counted = SimpleNamespace(compiled=[], runs=0, keys=0, path=tmp_path / "raw.json", clock=0.0)
    known = imagined_machine().lookups

    def compile_case(case):
        counted.compiled.append(case)
        if case == LookupCase(2, 4, 512, 2):
            return None  # a set that Concrete doesn't offer

        def run(_):
            counted.runs += 1

        circuit = SimpleNamespace(keygen=lambda: None, encrypt=lambda values: values, run=run)
        number = len(repr(case)) + hash(case) % 1000
        sets = known[hash(case) % len(known)]
        return SingleCircuit(
            circuit, np.zeros(1), sets.pbs, sets.key_switch, LookupSample, {"elements": number}
        )

    def run_once(*_):
        counted.keys += 1
        return imagined_keys()[0].times, None

    def probe_seconds():
        counted.clock += 1.0
        return counted.clock

    monkeypatch.setattr(module, "compile_case", compile_case)
    monkeypatch.setattr(module, "run_once", run_once)
    monkeypatch.setattr(module, "probe_seconds", probe_seconds)
    moved = TransferSample(threads=1, seconds=(1.0,), input_bytes=8, output_bytes=8, elements=1)
    monkeypatch.setattr(module, "time_transfers", lambda progress: (moved,))
    monkeypatch.setattr(module, "transfers_step_count", lambda: 0)
    # Never settled: every circuit has all its rounds, so that the number of them is known.
    monkeypatch.setattr(module, "is_tight", lambda times: False)
    return counted


def stopping_after(steps):
    """A progress that breaks off when so many steps are done."""
    left = iter(range(steps))

    def progress(_):
        if next(left, None) is None:
            raise BrokenOffError

    return progress


def all_steps(**options):
    done = []
    raw = run_microbenchmark("pbs", quick=True, progress=done.append, **options)
    return raw, done


def shape(raw):
    """What was measured, without the times themselves."""
    samples = [(one.threads, one.elements, len(one.seconds)) for one in raw.lookups]
    return samples, len(raw.keys)


@pytest.mark.parametrize("steps", [0, 1, 5, 7, 12, 21, 22, 24, 30, 36])
def test_it_goes_on_where_it_was_broken_off(bench, steps):
    whole, done = all_steps()
    assert len(done) == step_count("pbs", quick=True)
    runs, keys = bench.runs, bench.keys
    bench.runs = bench.keys = 0
    with pytest.raises(BrokenOffError):
        run_microbenchmark("pbs", quick=True, keep=bench.path, progress=stopping_after(steps))
    assert not bench.path.exists()
    resumed, again = all_steps(keep=bench.path, resume=True)
    assert shape(resumed) == shape(whole)
    assert len(again) == len(done)
    # Nothing twice: each key and each round was made in the one sitting or the other.
    assert (bench.runs, bench.keys) == (runs, keys)
    assert len(resumed.resumed) == 1
    assert load_microbenchmark(bench.path) == resumed
    assert not broken_off_path(bench.path).exists()


def test_rounds_of_both_sittings_keep_their_probes(bench):
    with pytest.raises(BrokenOffError):
        run_microbenchmark("pbs", quick=True, keep=bench.path, progress=stopping_after(30))
    part = BrokenOff.model_validate_json(broken_off_path(bench.path).read_text())
    before = {place: begun.probes_s for place, begun in part.begun.items()}
    rounds = {len(probes) for probes in before.values()}
    assert rounds < set(range(1, ROUNDS))
    raw, _ = all_steps(keep=bench.path, resume=True)
    for sample in raw.lookups:
        assert len(sample.probes_s) == len(sample.seconds) == ROUNDS
        assert sample.probes_s[: min(rounds)] in {
            probes[: min(rounds)] for probes in before.values()
        }
    # The clock of this test goes on: later rounds have later probes.
    first, last = raw.lookups[0].probes_s[0], raw.lookups[0].probes_s[-1]
    assert first < statistics.median(raw.lookups[0].probes_s) < last


def test_what_was_broken_off_is_not_written_over(bench):
    with pytest.raises(BrokenOffError):
        run_microbenchmark("ks", quick=True, keep=bench.path, progress=stopping_after(4))
    before = broken_off_path(bench.path).read_bytes()
    with pytest.raises(UsageError, match=r"raw.json.part: from a run that was broken off; go on"):
        run_microbenchmark("ks", quick=True, keep=bench.path)
    assert broken_off_path(bench.path).read_bytes() == before


def _other_machine(content):
    content["raw"]["machine"]["processor"] = "another"


def _other_version(content):
    content["raw"]["versions"]["concrete-python"] = "2.9"


@pytest.mark.parametrize(
    ("operation", "change", "message"),
    [
        ("pbs", lambda content: None, "what was broken off is fhecost measure ks --quick"),
        ("ks", _other_machine, "it began where processor was another, here it is "),
        ("ks", _other_version, "it began with concrete-python 2.9, here is 2.11"),
    ],
)
def test_times_of_something_else_are_not_gone_on_with(bench, operation, change, message):
    with pytest.raises(BrokenOffError):
        run_microbenchmark("ks", quick=True, keep=bench.path, progress=stopping_after(4))
    part = broken_off_path(bench.path)
    content = json.loads(part.read_text())
    change(content)
    part.write_text(json.dumps(content))
    with pytest.raises(FieldError, match=message):
        run_microbenchmark(operation, quick=True, keep=bench.path, resume=True)


def test_there_must_be_something_to_go_on_with(bench):
    with pytest.raises(FieldError, match=r"resume: there is no .*raw.json.part"):
        run_microbenchmark("ks", quick=True, keep=bench.path, resume=True)
    with pytest.raises(FieldError, match="resume: goes with the file"):
        run_microbenchmark("ks", quick=True, resume=True)


def test_the_command_names_its_own_options(run_fhecost, tmp_path):
    (tmp_path / "raw.json.part").write_text("{}")
    for arguments, message in (
        (("--resume",), "--resume: goes with the file"),
        (("--save", "raw.json"), "raw.json.part: from a run that was broken off"),
        (("--save", "raw.json", "--resume"), "raw.json.part: operation: field required"),
    ):
        finished = run_fhecost("measure", "ks", "--quick", *arguments)
        assert finished.returncode == 2
        assert message in finished.stderr
