"""Published figures held against predictions, and the fits to them."""

import json
import statistics
from typing import ClassVar

import jsonschema
import pytest

from fhecost.data import data_folder
from fhecost.errors import UsageError
from fhecost.hardware import registry
from fhecost.hardware.estimator import Estimator
from fhecost.hardware.library import find_hardware, load_hardware
from fhecost.hardware.pbs_choice import kinds_of, with_pbs
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
from tests.conftest import load_script

SET = {"n": 500, "k": 1, "N": 1024, "pbs_level": 2}


@pytest.fixture(scope="module")
def fits():
    return load_script(data_folder(PUBLISHED_FOLDER) / "fits.py")


@pytest.fixture(scope="module")
def report():
    return backtest(read_records(), load_hardware("all"))


@pytest.mark.parametrize(
    ("kind", "least", "median", "worst"),
    [
        ("cpu", 70, 0.1, 0.25),
        ("gpu", 100, 0.12, 0.4),
        ("fpga", 8, 0.12, 0.4),
        ("asic", 8, 0.12, 0.25),
    ],
)
def test_what_no_profile_was_fitted_to_is_predicted(report, kind, least, median, worst):
    summary = report.summary[kind]
    assert summary.n == sum(row.kind == kind and not row.fitted for row in report.rows) >= least
    assert summary.median_abs_error <= median
    assert summary.worst_abs_error <= worst
    assert summary.median_abs_error < summary.baseline_median_abs_error


def test_multi_bit_pbs_is_predicted_too(report):
    judged = [row for row in report.rows if "MB-PBS" in row.name and not row.fitted]
    assert len(judged) >= 20
    assert len({row.hardware for row in judged}) > 5
    assert statistics.median(abs(row.error) for row in judged) <= 0.12
    assert max(abs(row.error) for row in judged) <= 0.4


def per_second(machine, kind="classic"):
    """Lookups of 2_2 blocks, N=2048, that a full machine does in a second."""
    seen, (row,) = with_pbs(find_hardware(machine), kind), [
        one for one in read_records() if one.name == "tfhe-rs 1.7 8x H100 transfer whitepaper"
    ]  # fmt: skip
    seconds = Estimator(seen).seconds(operation := read_operation(row))
    return operation.count / (seconds["pbs"] + seconds["key_switch"])


def published(name):
    (row,) = [one for one in read_records() if one.name == name]
    return row.value


def test_an_h100_is_to_hpc7a_what_their_published_transfers_are():
    transfers = published("pull request 3892 H100 transfer") / published(
        "pull request 3892 hpc7a transfer"
    )
    # Neither of the two machines is fitted to them.
    assert per_second("h100") / per_second("hpc7a-96xlarge") == pytest.approx(transfers, rel=0.3)


def test_a_release_is_to_the_one_before_what_their_published_transfers_are():
    names = "tfhe-rs 1.7 8x H100 MB-PBS", "tfhe-rs tfhe-rs-1.6.0 8x H100 MB-PBS"
    # A transfer has 347 lookups with 1.7 and 363 with 1.6; those of the kind fitted to: no_cmux.
    after, before = (published(f"{name} transfer whitepaper") for name in names)
    predicted = [per_second(name, "multi-bit") for name in ("8xh100", "8xh100-tfhe-rs-1.6")]
    assert predicted[0] / predicted[1] == pytest.approx(after * 347 / (before * 363), rel=0.3)


def test_a_kernel_for_one_set_says_nothing_of_others():
    tuned = find_hardware("h100").figures
    without = find_hardware("h100").changed(
        figures={name: one for name, one in tuned.items() if not name.startswith("tuned_")}
    )
    for n, k, size, level_count in ((918, 2, 2048, 1), (918, 1, 8192, 2), (1025, 1, 2048, 1)):
        other = record(
            metric="bootstrapping throughput",
            params={"n": n, "k": k, "N": size, "pbs_level": level_count},
        )
        made = [
            Estimator(one).seconds(read_operation(other))
            for one in (find_hardware("h100"), without)
        ]
        assert made[0] == made[1]


def test_no_row_repeats_another_and_every_record_is_accounted_for(report):
    rows = [(row.hardware, row.name) for row in report.rows]
    assert len(rows) == len(set(rows))
    left = sum(len(reason.records) for reason in report.not_judged)
    assert len(report.rows) + left == len(read_records())


def test_every_record_that_a_machine_is_fitted_to_is_there():
    names = {record.name for record in read_records()}
    for machine in load_hardware("all"):
        for kind in kinds_of(machine):
            published = with_pbs(machine, kind).published
            if published is not None:
                assert set(published.fitted_to) <= names


def test_what_is_made_of_lookups_counts_them():
    params = {**SET, "ks_level": 3, "lookups": 32}
    given = {"metric": "integer op throughput: bitwise, FheUint64", "value": 100, "unit": "ops/s"}
    filled = read_operation(record(**given, params=params))
    alone = read_operation(record(**given, params={**params, "side_by_side": 2}))
    assert (filled.value, alone.value) == (3200, 3200)
    assert filled.count > 10_000
    assert alone.count == 64


@pytest.mark.parametrize("lookups", [0, -1, True, 1.5, 10**18, None])
def test_a_number_of_lookups_is_a_number(lookups):
    params = {**SET, "ks_level": 3, "lookups": lookups}
    read = read_operation(record(metric="transfer throughput: x", unit="ops/s", params=params))
    assert read == "how many lookups it has is not known"


@pytest.mark.parametrize("name", ["m6i-metal", "hpc7a-96xlarge", "hpc8a-96xlarge"])
def test_constants_of_cpus_are_their_fits(fits, name):
    constants = fits.fit_cpu_constants(fits.fitted_operations(name))
    figures = find_hardware(name).figures
    named = ("fourier_unit_s", "external_product_unit_s", "key_switch_unit_s")
    assert [figures[figure].value for figure in named] == pytest.approx(constants, rel=2e-3)


STEPS = ("step_overhead_s", "single_pbs_rate_units_per_s", "spilled_rate_share", "tuned_step_s")


@pytest.mark.parametrize(
    "name", ["h100", *(f"h100-tfhe-rs-1.{release}" for release in (2, 4, 5, 6))]
)
def test_constants_of_gpus_are_their_fits(fits, name):
    for kind, fitted in zip(("classic", "multi-bit"), fits.gpu_steps(name), strict=True):
        figures = with_pbs(find_hardware(name), kind).figures
        for figure, constant in zip(STEPS, fitted, strict=True):
            if constant is None:
                assert figure not in figures
            else:
                assert figures[figure].value == pytest.approx(constant, rel=5e-3), figure


@pytest.mark.parametrize(
    ("name", "kind"),
    [("8xh100", "classic"), ("8xh100", "multi-bit"), ("8xh100-tfhe-rs-1.6", "multi-bit")],
)
def test_rates_of_eight_gpus_are_their_fits(fits, name, kind):
    machine = with_pbs(find_hardware(name), kind)
    fitted = fits.fit_full_device(fits.fitted_operations(name, kind), machine)
    assert machine.figures["tuned_rate_units_per_s"].value == pytest.approx(fitted, rel=5e-3)


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
        ({"doubt": "it repeats a slip"}, "in doubt: it repeats a slip"),
        ({"metric": "transfer throughput: mine", "unit": "ops/s"}, "how many lookups"),
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
