"""Run records, and predictions held against them."""

import json
import statistics

import jsonschema
import numpy as np
import pytest
from pydantic import ValidationError

from fhecost.errors import ImpossibleError, UsageError
from fhecost.hardware.library import find_hardware, load_hardware
from fhecost.measurement.cpu_use import CpuUse
from fhecost.measurement.machine import Machine
from fhecost.measurement.records import load_microbenchmark
from fhecost.measurement.run_record import RunRecord, RunTimes, append_record, load_records, predict
from fhecost.provenance import Figure
from fhecost.report.render import as_table
from fhecost.report.validation_document import validation_document
from fhecost.schemas import schema_path
from fhecost.validation.comparison import check_tolerance, summarize_errors, validate
from tests.conftest import ROOT


@pytest.fixture
def machine():
    return find_hardware("epyc-zen4-2")


def machine_of(hardware):
    """The machine that ``hardware`` was calibrated on, as a measurement there would say."""
    return Machine(
        processor="AMD EPYC", family="cpu family 25 model 17 stepping 1", threads=2,
        memory_bytes=25_000_000_000, system="Linux", python="3.11.7", load_average=0.1,
        cpu=hardware.calibrated_on,
    )  # fmt: skip


@pytest.fixture
def make_record(saved_profile, machine):
    """A record of a run that took ``factor`` times what is predicted for it."""
    usual_s = machine.figures["probe_s"].value

    def make(factor=1.0, threads=2, wrong=0, pace=1.0):
        prediction = predict(saved_profile, machine, threads)
        seconds = factor * prediction.warm_s
        return RunRecord(
            fhecost_version="0",
            name="made up",
            started=prediction.made,
            machine=machine_of(machine),
            versions={},
            profile=saved_profile,
            profile_hash=saved_profile.hash,
            predictions=(prediction,),
            times=RunTimes(
                threads=threads,
                keygen_s=10.0,
                encrypt_s=0.1,
                cold_s=1.2 * seconds,
                warm_s=(0.9 * seconds, seconds, 3 * seconds),
                decrypt_s=0.1,
                probe_s=(pace * usual_s,) * 2,
                start_memory_bytes=300_000_000,
                keygen_peak_memory_bytes=2_000_000_000,
                peak_memory_bytes=3_000_000_000,
            ),
            load_after=1.0,
            values=20,
            wrong_values=wrong,
        )

    return make


def test_errors_are_predicted_over_median_less_one(make_record, machine):
    report = validate([make_record(1.0), make_record(1.25), make_record(0.8)], machine)
    warm = [row for row in report.rows if row.quantity == "warm"]
    assert [row.error for row in warm] == pytest.approx([0.0, -0.2, 0.25])
    assert report.summary["warm"].median_abs_error == pytest.approx(0.2)
    assert report.summary["warm"].worst_abs_error == pytest.approx(0.25)
    assert all(row.predicted_before == row.predicted for row in warm)


def use(wall_s, others=0.0):
    """What a step had of two processors, of which others had a part."""
    return CpuUse(
        cpus=2, wall_s=wall_s, own_s=2 * wall_s * (1 - others), others_s=2 * wall_s * others
    )


def beside_others(record, *others):
    """``record`` with that part of the processors taken from each of its warm runs."""
    times = record.times
    runs = zip(times.warm_s, others, strict=True)
    return record.changed(times=times.changed(warm_cpu=tuple(use(*run) for run in runs)))


def test_warm_runs_beside_others_are_not_in_the_median(make_record):
    record = make_record()
    seconds = sorted(record.times.warm_s)
    assert record.times.warm_median_s == seconds[1]
    assert beside_others(record, 0, 0, 0.4).times.warm_median_s == sum(seconds[:2]) / 2
    assert beside_others(record, 0.2, 0.3, 0.4).times.warm_median_s == seconds[1]


def test_a_record_says_who_else_was_at_work(make_record):
    record = make_record()
    assert record.times.not_alone == ()
    (said,) = beside_others(record, 0, 0, 0.4).times.not_alone
    assert said == "warm run 3: other programs had 40 % of the processors"
    with pytest.raises(ValidationError, match="says 1 of 3 warm runs"):
        record.times.changed(warm_cpu=(use(1.0),))


def test_runs_that_were_not_alone_are_reported_apart(make_record, machine):
    alone, beside = make_record(1.0), beside_others(make_record(2.0), 0.5, 0.5, 0.5)
    report = validate([alone, beside], machine)
    assert report.summary["warm"].n == 1
    assert report.summary["warm"].median_abs_error == pytest.approx(0.0)
    assert report.summary["baseline"].n == 1
    assert report.summary["memory"].n == 2
    assert report.summary_not_alone["warm"].worst_abs_error == pytest.approx(0.5)
    assert set(report.summary_not_alone) == {"warm"}
    assert len(report.not_alone) == 3
    assert "run 2, made up, warm run 1: other programs had 50 %" in report.not_alone[0]
    check_tolerance(report, 0.1)
    page = as_table(validation_document(report))
    assert "NOT ALONE" in page
    assert "warm, not alone" in page
    with pytest.raises(ImpossibleError, match="no warm run had the machine to itself"):
        check_tolerance(validate([beside], machine), 0.1)


def test_the_baseline_has_the_best_constant_of_these_runs(make_record, machine):
    """Runs of one circuit that took 1, 1 and 2 times as long: two of three fit exactly."""
    report = validate([make_record(1.0), make_record(1.0), make_record(2.0)], machine)
    errors = [row.baseline_error for row in report.rows if row.quantity == "warm"]
    assert errors == pytest.approx([0.0, 0.0, -0.5])
    assert report.summary["baseline"].median_abs_error == pytest.approx(0.0)


def test_threads_of_the_run_are_those_of_the_prediction(saved_profile, machine):
    alone, both = (predict(saved_profile, machine, threads).warm_s for threads in (1, 2))
    assert 1.5 < alone / both <= 2


def test_a_machine_that_is_slower_by_its_own_probe_is_expected_to_be(make_record, machine):
    """The probe took 1.25 times as long as at the calibration, and so did the run."""
    report = validate([make_record(1.25, pace=1.25)], machine)
    for row in report.rows:
        assert row.pace == pytest.approx(1.0 if row.quantity == "memory" else 1.25)
    warm = report.rows[0]
    assert warm.error == pytest.approx(0.0)
    assert warm.error_at_calibration_speed == pytest.approx(-0.2)
    assert report.warm_at_calibration_speed.median_abs_error == pytest.approx(0.2)


def test_a_prediction_is_stretched_by_the_probe(saved_profile, machine):
    usual_s = machine.figures["probe_s"].value
    calm, slow = (predict(saved_profile, machine, 2, factor * usual_s) for factor in (1.0, 1.5))
    assert calm == predict(saved_profile, machine, 2).changed(made=calm.made)
    assert slow.pace == pytest.approx(1.5)
    assert slow.warm_s == pytest.approx(1.5 * calm.warm_s)
    assert slow.preparation.keygen_s == pytest.approx(1.5 * calm.preparation.keygen_s)
    assert slow.preparation.peak_memory_bytes == calm.preparation.peak_memory_bytes


def test_circuits_that_are_no_heads_are_predicted_by_a_machine_that_has_seen_none():
    """Eight circuits without lookups and twelve shallow ones, as they were run on one machine."""
    folder = ROOT / "experiments" / "runs" / "xeon"
    (machine,) = load_hardware("foreign-machine", [folder])
    records = load_records(folder / "foreign.jsonl")
    report = validate(records, machine)
    assert len(records) == len({record.name for record in records}) == 20
    assert sum(not record.profile.pbs_count for record in records) == 8
    calibrated = load_microbenchmark(folder / "foreign-calibration.json").started
    for record in records:
        assert record.started > calibrated
        assert record.calibration == machine
        # What was written down before the run is what the machine says today.
        (said,) = record.predictions
        assert said.warm_s == pytest.approx(predict(record.profile, machine, 2).warm_s)
        assert record.wrong_values == 0
    errors = [abs(row.error) for row in report.rows if row.quantity == "warm"]
    for chosen in (
        errors,
        [e for e, record in zip(errors, records, strict=True) if record.profile.pbs_count],
        [e for e, record in zip(errors, records, strict=True) if not record.profile.pbs_count],
    ):
        assert statistics.median(chosen) <= 0.10
        assert max(chosen) <= 0.25


def test_no_run_is_no_error():
    summary = summarize_errors([])
    assert summary.n == 0
    assert summary.median_abs_error is None


def test_a_missed_tolerance_is_said(make_record, machine):
    report = validate([make_record(1.0), make_record(1.25)], machine)
    check_tolerance(report, 0.21)
    with pytest.raises(ImpossibleError, match="1 of 2 warm runs are off by more than 10%"):
        check_tolerance(report, 0.1)
    with pytest.raises(UsageError, match="must be above 0"):
        check_tolerance(report, 0)


def test_wrong_results_are_named(make_record, machine):
    report = validate([make_record(), make_record(wrong=3)], machine)
    assert report.wrong_runs == ("run 2, made up: 3 of 20 values",)
    assert "WRONG RESULTS: run 2" in as_table(validation_document(report))


def test_records_are_lines_that_come_back_as_they_were(make_record, tmp_path):
    path = tmp_path / "runs.jsonl"
    records = [make_record(1.0), make_record(1.25)]
    for record in records:
        append_record(path, record)
    assert load_records(path) == records
    for line in path.read_text().splitlines():
        jsonschema.validate(json.loads(line), json.loads(schema_path("run_record").read_text()))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no run record"),
        ("{\n", "line 1: not JSON"),
        ('{"schema_version": 1}\n', "line 1: fhecost_version: "),
    ],
)
def test_a_broken_record_is_named_by_its_line(tmp_path, content, message):
    path = tmp_path / "runs.jsonl"
    path.write_text(content)
    with pytest.raises(UsageError, match=message):
        load_records(path)


def test_a_record_that_can_not_be_added_is_kept_elsewhere(make_record, monkeypatch, tmp_path):
    monkeypatch.setenv("FHECOST_CACHE", str(tmp_path))
    record = make_record()
    with pytest.raises(UsageError, match=r"/dev/full: can't be written: .*; it is kept in") as told:
        append_record("/dev/full", record)
    assert load_records(str(told.value).rpartition(" ")[2]) == [record]


@pytest.mark.parametrize("end", ["\u2028", "\u0085"])
def test_a_name_with_another_kind_of_line_end_comes_back(make_record, tmp_path, end):
    path = tmp_path / "runs.jsonl"
    record = make_record().changed(name=f"one{end}two")
    append_record(path, record)
    append_record(path, record)
    assert load_records(path) == [record, record]


def test_records_are_read_past_a_torn_one(make_record, tmp_path):
    """As a crash, or a full disk, of an earlier fhecost has left it: half a line without an end."""
    path = tmp_path / "runs.jsonl"
    record = make_record()
    append_record(path, record)
    with path.open("a") as stream:
        stream.write(record.model_dump_json()[:8192])
    append_record(path, record)
    with pytest.warns(UserWarning, match=r"runs.jsonl: left out: line 2: not JSON"):
        assert load_records(path) == [record, record]


def test_the_command_compares_draws_and_judges(run_fhecost, make_record, tmp_path):
    path = tmp_path / "runs.jsonl"
    for factor in (1.0, 1.25):
        append_record(path, make_record(factor))
    finished = run_fhecost(
        "validate", "--runs", "runs.jsonl", "--plot", "page.html", "--format", "json"
    )
    assert finished.returncode == 0, finished.stderr
    content = json.loads(finished.stdout)
    jsonschema.validate(content, json.loads(schema_path("validation").read_text()))
    assert set(content["summary"]) == {"warm", "cold", "keygen", "memory", "baseline"}
    assert "<script src=" not in (tmp_path / "page.html").read_text()
    table = run_fhecost("validate", "--runs", "runs.jsonl", "--tolerance", "0.1")
    assert table.returncode == 1
    assert "1 of 2 warm runs are off by more than 10%" in table.stderr
    assert max(map(len, table.stdout.splitlines())) <= 80


def test_without_a_record_there_is_a_line_that_says_so(machine):
    with pytest.raises(UsageError, match="runs: there is no run record; name a file"):
        validate([], machine)


def test_any_circuit_is_really_run_and_checked(machine):
    """Squares of 4-bit numbers, with real keys, on one thread."""
    fhe = pytest.importorskip("concrete.fhe", reason="needs the extra [concrete]")
    from fhecost.measurement.timed_run import RunOptions, measure_circuit

    values = np.arange(8)
    configuration = fhe.Configuration(dump_artifacts_on_unexpected_failures=False)
    circuit = fhe.Compiler(lambda x: x**2, {"x": "encrypted"}).compile([values], configuration)
    steps = []
    options = RunOptions(threads=1, warm_runs=1)
    record = measure_circuit(
        circuit, [values], values**2, hardware=[machine], options=options, progress=steps.append
    )
    assert record.wrong_values == 0
    assert record.values == 8
    assert record.times.threads == 1
    assert record.times.peak_memory_bytes > record.times.start_memory_bytes > 1e7
    assert record.predictions[0].made >= record.started
    assert steps[0] == "generating keys"
    assert measure_circuit(circuit, [values], values, options=options).wrong_values == 6


def test_a_run_is_held_against_the_calibration_that_it_carries(make_record, machine):
    """Twice as slow as a shipped machine, on a processor that nobody here knows."""
    figures = {
        name: Figure(value=2 * figure.value, source=figure.source, ref="made", rationale="up")
        if name.endswith("_s") and name != "probe_s"
        else figure
        for name, figure in machine.figures.items()
    }
    on = machine.calibrated_on.changed(model=99)
    other = machine.changed(name="theirs", figures=figures, calibrated_on=on)
    record = make_record(2.0)
    theirs = record.changed(machine=record.machine.changed(cpu=on), calibration=other)
    report = validate([make_record(), theirs])
    assert report.hardware == "epyc-zen4-2, theirs"
    warm = [row for row in report.rows if row.quantity == "warm"]
    assert [row.hardware for row in warm] == ["epyc-zen4-2", "theirs"]
    assert [row.error for row in warm] == pytest.approx([0.0, 0.0], abs=1e-9)
    assert report.other_machines == ()
    # A record is whole: what it carries comes back from its line.
    assert RunRecord.model_validate_json(theirs.model_dump_json()).calibration == other


def test_a_run_of_an_unknown_machine_needs_one_by_name(make_record, machine):
    record = make_record()
    cpu = machine.calibrated_on.changed(model=99)
    record = record.changed(machine=record.machine.changed(cpu=cpu))
    with pytest.raises(UsageError, match="run 1, made up: ran on AMD EPYC, family 25 model 99"):
        validate([record])


def test_a_machine_that_isnt_the_runs_is_said_and_its_probe_unheard(make_record, machine):
    """The run was twice as slow by its probe, but on a machine that has another probe."""
    record = make_record(2.0, pace=2.0)
    cpu = machine.calibrated_on.changed(model=1, instruction_sets=("avx2",))
    elsewhere = record.changed(machine=record.machine.changed(cpu=cpu))
    report = validate([elsewhere, make_record()], machine)
    assert [row.pace for row in report.rows if row.quantity == "warm"] == [1.0, 1.0]
    assert report.rows[0].error == pytest.approx(-0.5)
    (told,) = report.other_machines
    assert told.startswith("run 1, made up: model 17, not 1")
    assert report.summary["warm"].n == 1
    assert report.summary["warm"].worst_abs_error == pytest.approx(0.0)
    assert "NOT ITS MACHINE: epyc-zen4-2" in as_table(validation_document(report))
    alone = validate([elsewhere], machine)
    assert alone.summary["warm"].median_abs_error == pytest.approx(0.5)
