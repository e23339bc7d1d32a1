"""Hardware profiles: those shipped hold, broken ones are refused by field path."""

import csv
import io
import json

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

from fhecost.data import data_folder
from fhecost.errors import UsageError, all_validation_errors
from fhecost.hardware import library
from fhecost.hardware.library import hardware_files, load_hardware, read_hardware
from fhecost.hardware.profile import HardwareProfile
from fhecost.heads.parameter_rules import SIZES
from fhecost.measurement.calibration import calibrated_profile
from fhecost.measurement.records import load_microbenchmark
from fhecost.provenance import CountFigure, PowerOfTwoFigure
from fhecost.schemas import schema_path
from tests.conftest import ROOT

SHIPPED = sorted(data_folder("hardware").glob("*.yaml"), key=lambda path: path.stem)
MICROBENCHMARK = ROOT / "experiments" / "microbenchmarks" / "epyc-zen4-2.json"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_profiles_hold(path):
    machine = read_hardware(path)
    for figure in machine.figures.values():
        assert figure.lowest <= figure.value <= figure.highest
        assert figure.ref or figure.rationale


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_schema_describes_the_file_as_it_is_written(path):
    schema = json.loads(schema_path("hardware_profile").read_text())
    content = yaml.safe_load(path.read_text())
    jsonschema.validate(content, schema)
    for wrong in ({"name": path.stem}, {"year": "2026"}, {"figures": {"batch": {"value": True}}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**content, **wrong}, schema)


def test_the_cpus_figures_are_the_fit_of_the_committed_raw_times():
    """Nothing in the profile is typed by hand: the fits give every figure and its range."""
    made = calibrated_profile(load_microbenchmark(MICROBENCHMARK), "raw times").figures
    figures = read_hardware(data_folder("hardware") / "epyc-zen4-2.yaml").figures
    # What wasn't measured there is said to be assumed.
    assumed = {name for name in figures.keys() - made.keys() if figures[name].source == "assumed"}
    assert figures.keys() - assumed == made.keys()
    for name in made:
        figure = figures[name]
        assert figure.source is made[name].source
        assert (figure.value, figure.lowest, figure.highest) == pytest.approx(
            (made[name].value, made[name].lowest, made[name].highest), rel=1e-6
        ), name


def broken(tmp_path, change):
    content = yaml.safe_load((data_folder("hardware") / "strix.yaml").read_text())
    change(content)
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("title"), "title: field required"),
        (
            lambda c: c.update(kind="toaster"),
            "kind: input should be 'cpu', 'gpu', 'fpga' or 'asic'",
        ),
        (lambda c: c.update(name="other"), "name: leave it out"),
        (lambda c: c.update(latency_model="magic"), "latency_model: 'magic' is unknown; there is"),
        (lambda c: c.update(references=[]), "references: "),
        (lambda c: c["figures"].pop("batch"), r"figures\.batch: field required"),
        (
            lambda c: c["figures"]["batch"].update(value=0),
            r"figures\.batch\.value: .*greater than 0",
        ),
        (lambda c: c["figures"]["batch"].update(value="12k"), r"figures\.batch\.value: "),
        (lambda c: c["figures"]["batch"].update(value="12"), r"figures\.batch\.value: .*number"),
        (lambda c: c["figures"]["batch"].update(value=True), r"figures\.batch\.value: .*number"),
        (lambda c: c["figures"]["batch"].update(value=10**400), r"figures\.batch\.value: .*number"),
        (
            lambda c: c["figures"]["batch"].update(high=float("inf")),
            r"figures\.batch\.high: .*finit",
        ),
        (lambda c: c.update(schema_version=True), "schema_version: must be a number, not true"),
        (lambda c: c.update(year=True), "year: input should be a valid integer"),
        (lambda c: c["figures"]["batch"].update(low=13), r"figures\.batch: low 13 is above"),
        (lambda c: c["figures"]["batch"].pop("rationale"), "a modelled figure needs a rationale"),
        (lambda c: c["figures"]["batch"].update(source="blog"), r"figures\.batch\.source: "),
        (
            lambda c: c["figures"].update(
                turbo={"value": 1, "source": "assumed", "rationale": "x"}
            ),
            r"figures\.turbo: extra inputs are not permitted",
        ),
    ],
)
def test_a_broken_profile_is_refused_by_field_path(tmp_path, change, message):
    path = broken(tmp_path, change)
    with pytest.raises(UsageError, match=message) as caught:
        read_hardware(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "bounds", "message"),
    [
        (CountFigure, {"value": 2.5}, "value: must be a whole number, not 2.5"),
        (CountFigure, {"value": 0}, "value: input should be greater than 0, not 0"),
        (CountFigure, {"value": 2, "low": 1.5}, "low: must be a whole number, not 1.5"),
        (CountFigure, {"value": 2, "high": 2.5}, "high: must be a whole number, not 2.5"),
        (CountFigure, {"value": True}, "value: input should be a valid number, not True"),
        (PowerOfTwoFigure, {"value": 1000}, "value: must be a power of two, not 1000"),
        (PowerOfTwoFigure, {"value": 0.5}, "value: must be a whole number, not 0.5"),
        (PowerOfTwoFigure, {"value": 4096, "low": 3000}, "low: must be a power of two, not 3000"),
    ],
)
def test_a_count_is_whole_and_a_size_a_power_of_two(kind, bounds, message):
    with pytest.raises(ValidationError) as caught:
        kind(source="measured", ref="test", **bounds)
    assert all_validation_errors(caught.value.errors()) == [message]


def test_counts_keep_their_value_and_bounds():
    threads = CountFigure(source="measured", ref="test", value=2, low=1, high=4)
    assert (threads.lowest, threads.value, threads.highest) == (1, 2, 4)
    assert PowerOfTwoFigure(source="measured", ref="test", value=16384).highest == 16384


def test_a_multi_bit_machine_is_not_costed_as_a_classic_one(tmp_path, saved_profile):
    import fhecost

    classic = fhecost.estimate(saved_profile, load_hardware("strix")[0])
    broken(tmp_path, lambda c: c.update(pbs_kind="multi-bit"))
    with pytest.raises(UsageError, match=r"mine\.yaml: figures\.grouping_factor: field required"):
        load_hardware("mine", [tmp_path])
    grouping = {"value": 4, "source": "published", "ref": "made up for the test"}

    def multi_bit(content):
        content.update(pbs_kind="multi-bit")
        content["figures"]["grouping_factor"] = grouping

    broken(tmp_path, multi_bit)
    (machine,) = load_hardware("mine", [tmp_path])
    made = fhecost.estimate(saved_profile, machine)
    assert (made.pbs_kind, classic.pbs_kind) == ("multi-bit", "classic")
    assert made.latency_s != classic.latency_s


def test_an_efficiency_above_one_is_refused(tmp_path):
    content = yaml.safe_load((data_folder("hardware") / "epyc-zen4-2.yaml").read_text())
    content["figures"]["thread_efficiency"].update(value=96.8, high=97)
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(UsageError, match=r"thread_efficiency\.value: .*less than or equal"):
        read_hardware(path)


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "a: [1,\n", "\0"])
def test_a_file_that_is_no_profile_is_refused(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"mine\.yaml: not (YAML|a hardware profile)"):
        read_hardware(path)


def test_a_users_machine_is_found_by_its_stem_and_wins(tmp_path, saved_profile):
    import fhecost

    mine = broken(tmp_path, lambda c: c["figures"]["work_rate_units_per_s"].update(value=2.6e12))
    (machine,) = load_hardware("mine", [tmp_path])
    assert fhecost.estimate(saved_profile, machine).hardware == "mine"
    mine.rename(tmp_path / "strix.yaml")
    assert hardware_files([tmp_path])["strix"] == tmp_path / "strix.yaml"


def test_all_leaves_out_a_broken_file_of_the_users(tmp_path):
    broken(tmp_path, lambda c: c.pop("title"))
    with pytest.warns(UserWarning, match=r"mine\.yaml: title: field required; .* left out") as seen:
        machines = load_hardware("all", [tmp_path])
    assert len(seen) == 1
    assert [machine.name for machine in machines] == [path.stem for path in SHIPPED]


def test_a_broken_file_asked_for_by_name_fails(tmp_path):
    broken(tmp_path, lambda c: c.pop("title"))
    with pytest.raises(UsageError, match="title: field required"):
        load_hardware(["strix", "mine"], [tmp_path])


def test_a_broken_shipped_file_fails(tmp_path, monkeypatch):
    broken(tmp_path, lambda c: c.pop("title"))
    monkeypatch.setattr(library, "data_folder", lambda _: tmp_path)
    with pytest.raises(UsageError, match="title: field required"):
        load_hardware("all")


def test_the_list_fits_80_columns_whatever_the_titles(run_fhecost, tmp_path):
    broken(tmp_path, lambda c: c.update(title="An accelerator " + "very " * 30 + "fast"))
    lines = run_fhecost("hardware", "list", "--hardware-path", tmp_path).stdout.splitlines()
    assert max(map(len, lines)) <= 80
    names = sorted([*(path.stem for path in SHIPPED), "mine"])
    table = lines[2 : lines.index("")]
    assert [line.split()[0] for line in table if line[0] != " "] == names
    for format, separator in (("csv", ","), ("markdown", " | ")):
        given = ("--hardware-path", tmp_path, "--format", format)
        text = run_fhecost("hardware", "list", *given).stdout
        assert separator + "An accelerator " + "very " * 30 + "fast" in text


def test_the_list_as_csv_and_json(run_fhecost):
    text = run_fhecost("hardware", "list", "--format", "csv").stdout
    machines = [read_hardware(path) for path in SHIPPED]
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["name"] for row in rows] == [machine.name for machine in machines]
    assert [row["hardware_hash"] for row in rows] == [machine.hash for machine in machines]
    listed = json.loads(run_fhecost("hardware", "list", "--format", "json").stdout)
    jsonschema.validate(listed, json.loads(schema_path("hardware_list").read_text()))
    assert [HardwareProfile.model_validate(item) for item in listed["machines"]] == machines


def test_hardware_commands(run_fhecost, tmp_path):
    as_json = json.loads(run_fhecost("hardware", "show", "strix", "--format", "json").stdout)
    jsonschema.validate(as_json, json.loads(schema_path("machine").read_text()))
    assert as_json["name"] == "strix"
    shown = run_fhecost("hardware", "show", "strix").stdout
    assert "largest_polynomial_size = 16384, published" in shown
    assert max(map(len, shown.splitlines())) <= 80
    checked = run_fhecost("hardware", "check", *SHIPPED)
    assert checked.returncode == 0
    path = broken(tmp_path, lambda c: c.pop("title"))
    refused = run_fhecost("hardware", "check", path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"{path}: title: field required" in refused.stderr


@pytest.mark.parametrize("written", ["1.0e9", "1e9", "1.e9", "1.0E+9", "1.0e+9", "1000000000"])
def test_a_number_is_one_however_it_is_written(tmp_path, written):
    """YAML 1.1 takes the first of them for words."""
    text = (data_folder("hardware") / "strix.yaml").read_text()
    assert "value: 16.0e+9" in text
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("value: 16.0e+9", f"value: {written}"))
    assert read_hardware(path).figures["memory_bytes"].value == 1e9


@pytest.mark.parametrize("written", ["1.0e9k", "'1.0e9'", "e9", "1e", "yes"])
def test_a_value_that_is_no_number_is_shown(tmp_path, written):
    text = (data_folder("hardware") / "strix.yaml").read_text()
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("value: 16.0e+9", f"value: {written}"))
    # As in YAML 1.2, where yes is a word.
    shown = repr(written.strip("'"))
    with pytest.raises(UsageError, match=rf"figures\.memory_bytes\.value: .*number, not {shown}"):
        read_hardware(path)


def test_the_largest_n_of_concrete_is_named_where_a_machine_names_it():
    machine = read_hardware(data_folder("hardware") / "hypothetical-asic.yaml")
    figure = machine.figures["largest_polynomial_size"]
    assert f"N={SIZES[-1]:,}" in " ".join(figure.rationale.split())
