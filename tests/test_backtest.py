"""Published figures held against predictions, and the fits to them."""

import importlib.util
import json
from typing import ClassVar

import jsonschema
import pytest

from fhecost.data import data_folder
from fhecost.errors import UsageError
from fhecost.hardware import registry
from fhecost.hardware.library import find_hardware, load_hardware
from fhecost.hardware.pipelined import PipelinedLatencyModel
from fhecost.schemas import schema_path
from fhecost.validation.backtest import backtest
from fhecost.validation.published import (
    PUBLISHED_FOLDER,
    PublishedOperation,
    PublishedRecord,
    read_operation,
    read_records,
)

SET = {"n": 500, "k": 1, "N": 1024, "pbs_level": 2}


@pytest.fixture(scope="module")
def fits():
    path = data_folder(PUBLISHED_FOLDER) / "fits.py"
    spec = importlib.util.spec_from_file_location("fits", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def report():
    return backtest(read_records(), load_hardware("all"))


@pytest.mark.parametrize(
    ("kind", "goal"), [("cpu", 0.1), ("gpu", 0.2), ("fpga", 0.2), ("asic", 0.2)]
)
def test_what_no_profile_was_fitted_to_is_predicted(report, kind, goal):
    summary = report.summary[kind]
    assert summary.n == sum(row.kind == kind and not row.fitted for row in report.rows) > 0
    assert summary.median_abs_error <= goal
    assert summary.median_abs_error < summary.baseline_median_abs_error


def test_no_row_repeats_another_and_every_record_is_accounted_for(report):
    rows = [(row.hardware, row.name) for row in report.rows]
    assert len(rows) == len(set(rows))
    left = sum(len(reason.records) for reason in report.not_judged)
    assert len(report.rows) + left == len(read_records())


def test_every_record_that_a_machine_is_fitted_to_is_there():
    names = {record.name for record in read_records()}
    for machine in load_hardware("all"):
        if machine.published is not None:
            assert set(machine.published.fitted_to) <= names


@pytest.mark.parametrize("name", ["m6i-metal", "hpc7a-96xlarge", "hpc8a-96xlarge"])
def test_constants_of_cpus_are_their_fits(fits, name):
    constants = fits.fit_cpu_constants(fits.fitted_operations(name))
    figures = find_hardware(name).figures
    named = ("fourier_unit_s", "external_product_unit_s", "key_switch_unit_s")
    assert [figures[figure].value for figure in named] == pytest.approx(constants, rel=2e-3)


@pytest.mark.parametrize("name", ["h100", "h100-tfhe-rs-1.4"])
def test_constants_of_gpus_are_their_fits(fits, name):
    constants = fits.fit_gpu_constants(fits.fitted_operations(name))
    figures = find_hardware(name).figures
    named = ("step_overhead_s", "single_pbs_rate_units_per_s", "spilled_rate_share")
    assert [figures[figure].value for figure in named] == pytest.approx(constants, rel=5e-3)


def record(**changes):
    content = {
        "name": "Strix set IX", "metric": "bootstrapping throughput", "value": 70_000,
        "unit": "PBS/s", "params": SET, "source": "a paper",
    }  # fmt: skip
    return PublishedRecord.model_validate({**content, **changes})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kind": "derived"}, "derived by others"),
        ({"metric": "latency MB-PBS (single op)"}, "multi-bit"),
        ({"metric": "area"}, "no time or throughput"),
        ({"unit": "PBS/W"}, "value or a unit"),
        ({"value": "fast"}, "value or a unit"),
        ({"value": -1.0}, "value or a unit"),
        ({"params": {**SET, "pbs_level": None}}, "no whole parameter set"),
        ({"params": {**SET, "N": 1000}}, "no whole parameter set"),
        ({"params": None}, "no whole parameter set"),
        ({"metric": "latency KS-PBS (single op)", "unit": "ms"}, "no whole parameter set"),
    ],
)
def test_what_cant_be_predicted_says_why(changes, reason):
    read = read_operation(record(**changes))
    assert isinstance(read, str)
    assert reason in read


def test_a_batch_is_read_with_its_unit():
    params = {**SET, "ks_level": 3}
    read = read_operation(
        record(metric="latency of a batch: 9 KS - PBS", value=2.0, unit="ms", params=params)
    )
    assert isinstance(read, PublishedOperation)
    assert (read.count, read.value) == (9, 0.002)
    assert read.key_switch.input_lwe_dimension == 1024


def test_a_record_that_repeats_a_fitted_one_is_no_test():
    fitted = record(name="Strix set I throughput", value=74_696)
    again = record(name="Strix ASIC I", value=74_696)
    other = record(name="Strix set I again", value=60_000)
    judged = backtest([again, other, fitted], [find_hardware("strix")])
    assert [(row.name, row.fitted) for row in judged.rows] == [
        ("Strix set I throughput", True),
        ("Strix set I again", False),
    ]
    # 74,696 predicted where 60,000 are published: four fifths of the time.
    assert judged.rows[1].error == pytest.approx(60_000 / 74_696 - 1, abs=0.01)
    assert judged.not_judged[0].reason.startswith("repeats another record")


class PbsOnly(PipelinedLatencyModel):
    """A latency model that says nothing of key switches."""

    left_out: ClassVar = frozenset({"key_switch", "keys", "transfer"})

    def costs(self, circuit, figures, case):
        return [c for c in super().costs(circuit, figures, case) if c.operation == "pbs"]


def test_what_a_model_leaves_out_is_not_predicted_as_zero(monkeypatch):
    monkeypatch.setitem(registry._OWN, "pbs-only", PbsOnly())
    machine = find_hardware("strix").changed(latency_model="pbs-only")
    alone = record(name="Strix set IX")
    both = record(
        name="Strix set IX, KS-PBS",
        metric="latency KS-PBS (single op)",
        unit="ms",
        params={**SET, "ks_level": 3},
    )
    report = backtest([alone, both], [machine])
    assert [row.name for row in report.rows] == ["Strix set IX"]
    (left,) = report.not_judged
    assert left.records == ("Strix set IX, KS-PBS",)
    assert left.reason == "strix: its latency model leaves out what was timed"


def test_facts_of_ones_own(run_fhecost, tmp_path):
    path = tmp_path / "mine.json"
    mine = {
        "name": "Strix set IX", "metric": "bootstrapping throughput", "value": 60_000,
        "unit": "PBS/s", "params": SET, "source": "my paper",
    }  # fmt: skip
    path.write_text(json.dumps([mine]))
    finished = run_fhecost("backtest", "--facts", path, "--format", "json")
    content = json.loads(finished.stdout)
    jsonschema.validate(content, json.loads(schema_path("backtest").read_text()))
    (row,) = content["rows"]
    assert (row["kind"], row["hardware"], row["source"], row["fitted"]) == (
        "asic", "strix", "my paper", False
    )  # fmt: skip
    assert content["summary"]["asic"]["n"] == 1
    assert content["summary"]["cpu"]["n"] == 0
    assert content["summary"]["cpu"]["median_abs_error"] is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "not JSON"),
        ("{}", "must be a list of records"),
        ('[{"name": "a"}]', "record 0: metric: field required"),
        ('[{"name": "a", "metric": "area"}]', "none of the records is about"),
    ],
)
def test_broken_facts_are_named(tmp_path, content, message):
    path = tmp_path / "mine.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=message):
        backtest(read_records([path]), load_hardware("all"))


def test_the_table_fits_80_columns(run_fhecost):
    lines = run_fhecost("backtest").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert any("PREDICTED, never fitted to" in line for line in lines)
    assert "kind,hardware" in run_fhecost("backtest", "--format", "csv").stdout
    assert "| cpu |" in run_fhecost("backtest", "--format", "markdown").stdout
