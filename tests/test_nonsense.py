"""No nonsense in, none out: what is refused, by its field, and what goes out as plain text."""

import json
import re

import pytest
import yaml
from pydantic import ValidationError

import fhecost
from fhecost.accuracy.records import load_accuracy
from fhecost.cli import main
from fhecost.data import data_folder
from fhecost.errors import ImpossibleError, UsageError
from fhecost.hardware.estimate import LatencyRange
from fhecost.hardware.library import load_hardware, read_hardware
from fhecost.hardware.plausible import implausible_value
from fhecost.heads.saved import load_heads
from fhecost.plain import LONGEST_LINE
from fhecost.validation.published import PublishedRecord, read_operation
from tests.conftest import ROOT, SAVED_PROFILE
from tests.drawn import unchecked

RUNS = ROOT / "experiments" / "runs" / "epyc-zen4-2.jsonl"
ACCURACY = ROOT / "experiments" / "accuracy" / "simulated.json"


def saved():
    content = json.loads(SAVED_PROFILE.read_text())
    del content["hash"]
    return content


def set_in(name, **values):
    """A change to the first parameter set of the second stage, which looks things up."""
    return lambda c: c["stages"][1][name][0]["parameters"].update(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_in("pbs", level_count=4, base_log=20), r"stages\.1\.pbs\.0\.parameters\.base_log: 4 "),
        (set_in("pbs", polynomial_size=1), r"stages\.1\.pbs\.0\.parameters\.polynomial_size: "),
        (set_in("pbs", polynomial_size=128), r".*parameters\.polynomial_size: N=128 is below 256"),
        (set_in("pbs", lwe_dimension=2**62), r"stages\.1\.pbs\.0\.parameters\.lwe_dimension: "),
        (set_in("pbs", glwe_dimension=2**12), r".*parameters\.glwe_dimension: k\*N = "),
        (set_in("key_switches", input_lwe_dimension=1000), ".*input_lwe_dimension: 1000 is k"),
        (set_in("key_switches", output_lwe_dimension=7), ".*output_lwe_dimension: 7 is "),
        (
            set_in("key_switches", level_count=9, base_log=9),
            r".*key_switches.*\.base_log",
        ),
        (lambda c: c["stages"][1].update(parallel_width=2**63 - 1), r"stages\.1\.parallel_width: "),
        (lambda c: c["stages"][1].update(depth=10**6), r"stages\.1\.depth: 1000000 is above"),
        (lambda c: c["stages"][1].update(bit_width=60), r"stages\.1\.bit_width: 60 bits"),
        (
            lambda c: c.update(p_error=1.0, global_p_error=0.0),
            "global_p_error: 0 can't be ",
        ),
        (lambda c: c.update(p_error=1e-12), "global_p_error: "),
        (lambda c: c.update(complexity=0), "complexity: 0 isn't the work"),
        (lambda c: c.update(bsk_bytes=0), "bsk_bytes: 0 bytes are too few"),
        (lambda c: c.update(ksk_bytes=c["ksk_bytes"] - 1), "ksk_bytes: .* are too few"),
        (lambda c: c.update(cost_error=1e308), "cost_error: "),
        (lambda c: c.update(max_bit_width=65), "max_bit_width: "),
    ],
)
def test_a_circuit_that_cant_be_is_refused_on_every_way_in(change, message, tmp_path):
    content = saved()
    change(content)
    path = tmp_path / "circuit.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=rf"circuit\.json: {message}"):
        fhecost.load_profile(path)
    module = {"name": "m", "source": "a test", "functions": {"f": content}}
    path.write_text(json.dumps(module))
    with pytest.raises(UsageError, match=rf"functions\.f\.{message}"):
        fhecost.load_module(path)
    record = json.loads(RUNS.read_text().splitlines()[0])
    path.write_text(json.dumps({**record, "profile": content}))
    with pytest.raises(UsageError, match=rf"line 1: profile\.{message}"):
        fhecost.load_records(path)
    with pytest.raises(ValidationError):
        fhecost.CircuitProfile.model_validate(content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(wrong_values=-3, values=0), "values: "),
        (lambda c: c.update(wrong_values=-3), "wrong_values: .*not -3"),
        (lambda c: c.update(wrong_values=c["values"] + 1), "wrong_values: .* are more than all"),
        (lambda c: c["times"].update(start_memory_bytes=2**60), "times.keygen_peak_memory_bytes: "),
        (lambda c: c["times"].update(peak_memory_bytes=0), "times.peak_memory_bytes: "),
        (lambda c: c["times"].update(keygen_s="1.5"), "times.keygen_s: .*not '1.5'"),
        (lambda c: c["times"].update(keygen_s=True), "times.keygen_s: .*not True"),
        (lambda c: c["times"].update(warm_s=[1.0, False]), r"times.warm_s.1: "),
        (lambda c: c["machine"].update(threads=10**300), "machine.threads: "),
        (lambda c: c["predictions"][0].update(warm_low_s=1e9), "predictions.0.warm_s: "),
    ],
)
def test_a_run_that_cant_be_is_refused(change, message, tmp_path):
    content = json.loads(RUNS.read_text().splitlines()[0])
    change(content)
    path = tmp_path / "runs.jsonl"
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=f"line 1: {message}"):
        fhecost.load_records(path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"top1": 0.0}, r"rows\.0\.top1: 0 isn't in its interval"),
        ({"top5": 0.0, "top5_low": 0.0}, r"rows\.0\.top5: is below top1"),
        ({"positions": 0}, r"rows\.0\.positions: "),
        ({"float_perplexity": 0.5}, r"rows\.0\.float_perplexity: "),
        ({"saturated": 10**15}, r"rows\.0\.saturated: .* more than all"),
        ({"bits": "4"}, r"rows\.0\.bits: "),
    ],
)
def test_an_accuracy_that_cant_be_is_refused(values, message, tmp_path):
    content = json.loads(ACCURACY.read_text())
    content["rows"][0].update(values)
    path = tmp_path / "accuracy.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=message):
        load_accuracy(path)


NUMBERS = ("value", "low", "high")


def machine_file(folder, name, change):
    path = folder / "mine.yaml"
    content = yaml.safe_load((data_folder("hardware") / f"{name}.yaml").read_text())
    for figure in content["figures"].values():
        figure.update(
            {key: float(figure[key]) for key in ("value", "low", "high") if key in figure}
        )
    content = json.loads(json.dumps(content))
    change(content)
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("epyc-zen4-2", lambda c: c["figures"]["threads"].update(value=1e300), "figures.threads: "),
        ("epyc-zen4-2", lambda c: c.update(kind="asic"), "latency_model: .* kind cpu, not asic"),
        (
            "strix",
            lambda c: c["figures"]["key_switch_work_share"].update(value=1e6, high=1e6),
            "figures.key_switch_work_share: .*a share is from 0 to 1",
        ),
        (
            "h100",
            lambda c: c["figures"]["saturated_rate_units_per_s"].update(low=1e-300),
            "figures.saturated_rate_units_per_s: low 1e-300 isn't plausible",
        ),
        (
            "h100",
            lambda c: c["figures"]["step_overhead_s"].update(value=1e308),
            "step_overhead_s: ",
        ),
        (
            "h100",
            lambda c: c["figures"]["clock_hz"].update(value=0.0),
            r"figures\.clock_hz\.value: ",
        ),
    ],
)
def test_a_machine_that_cant_be_is_refused(name, change, message, tmp_path):
    def with_clock(content):
        clock = {"value": 1e9, "source": "assumed", "rationale": "a test"}
        content["figures"].setdefault("clock_hz", clock)
        change(content)

    with pytest.raises(UsageError, match=message):
        read_hardware(machine_file(tmp_path, name, with_clock))


@pytest.mark.parametrize("value", ["1e-320", "1e308", "1e-300"])
@pytest.mark.parametrize("figure", ["power_w", "memory_bytes", "host_link_bytes_per_s"])
def test_a_what_if_must_be_plausible(figure, value, capsys):
    asked = ["compare", "--profile", str(SAVED_PROFILE), "--what-if", f"{figure}={value}"]
    with pytest.raises(SystemExit) as stop:
        main(asked)
    assert stop.value.code == 2
    assert "isn't plausible: a" in capsys.readouterr().err


def test_bounds_hold_for_all_machines_and_say_the_unit():
    for machine in load_hardware("all"):
        for name, figure in machine.figures.items():
            for value in (figure.lowest, figure.value, figure.highest):
                assert implausible_value(name, value) is None, (machine.name, name)
    assert "a clock in Hz is from 1000 to 1e+12" in implausible_value("clock_hz", 3.0)
    assert "bytes per second" in implausible_value("memory_bandwidth_bytes_per_s", 1e30)


@pytest.mark.parametrize("times", [(1.0, 2.0, 3.0), (1.0, 0.5, float("inf")), (float("nan"),) * 3])
def test_a_range_is_finite_and_ordered_or_doesnt_exist(times):
    with pytest.raises(ValidationError, match="finite"):
        LatencyRange(latency_s=times[0], low_s=times[1], high_s=times[2])


def test_an_estimate_is_finite_or_a_refusal(saved_profile):
    huge = unchecked(saved_profile, cost_error=1e308)
    with pytest.raises(ImpossibleError, match="epyc-zen4-2: no finite estimate"):
        fhecost.estimate(huge, fhecost.find_hardware("epyc-zen4-2"))


@pytest.mark.parametrize(
    "record",
    [
        PublishedRecord(name="a", metric="throughput: 0 KS-PBS", value=1, unit="PBS/s"),
        PublishedRecord(name="a", metric=f"throughput: {'9' * 5000} KS-PBS", value=1, unit="PBS/s"),
        PublishedRecord(name="a", metric="PBS throughput (batch 0)", value=1, unit="PBS/s"),
        PublishedRecord(name="a", metric="bootstrapping latency", value=10**400, unit="s"),
        PublishedRecord(
            name="a", metric="bootstrapping latency", value=1, unit="s",
            params={"n": 2**62, "k": 1, "N": 1024, "pbs_level": 1},
        ),
    ],
)  # fmt: skip
def test_a_published_figure_of_nothing_isnt_predicted(record):
    assert isinstance(read_operation(record), str)


@pytest.mark.parametrize(
    ("quantizer", "message"),
    [
        ({"scale": 1.0, "n_bits": 2**63 - 1}, "n_bits: must be from 1 to 64"),
        ({"scale": float("inf"), "n_bits": 4}, "scale: must be a finite number"),
        ({"scale": 1.0, "n_bits": "4"}, "Quantizer.n_bits: must not be a str"),
        ({"scale": {"array": ["x"], "dtype": "U100000000"}, "n_bits": 4}, "scale: an array of"),
    ],
)
def test_saved_heads_of_nothing_are_refused(quantizer, message, tmp_path):
    path = tmp_path / "heads.json"
    heads = {"class": "Quantizer", **quantizer}
    path.write_text(json.dumps({"schema_version": 2, "about": {}, "heads": heads}))
    with pytest.raises(UsageError, match=message):
        load_heads(path, {})


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["estimate", "--profile", "deep.json"], "nested too deeply"),
        (["validate", "--runs", "deep.json"], "line 1: .*nested too deeply"),
        (["estimate", "--profile", "digits.json"], "of 5000 digits is too large"),
        (["validate", "--runs", "digits.json"], "of 5000 digits is too large"),
        (["estimate", "--profile", "half.json"], "half a character"),
        (["project", "--seq-len", f"1..{10**31}"], "--seq-len 1"),
        (["project", "--seq-len", "1..999999999999"], "--seq-len: must be at most"),
        (["estimate", "--profile", "a" * 300], "name too long|File name too long"),
        (["estimate", "--no-compile", "--model", "a" * 300], "a{300}: .*ile name too long"),
        (["estimate", "--no-compile", "--seq-len", "1" * 400], "--seq-len 1"),
        (["estimate", "--seq-len", "1" * 400], "--seq-len 1"),
        (["hardware", "new", "foo"], "foo: must be called NAME.yaml"),
        (["hardware", "new", "Foo.yaml"], "Foo.yaml: must be called NAME.yaml"),
        (["estimate", "--calls", f"inc={'9' * 5000}", "--profile", "x"], "--calls inc=9"),
        (["compare", "--what-if", "cores=4", "--what-if", "cores=8"], "cores: is set twice"),
        (["estimate", "--profile", "\x1b[2J"], r"^fhecost: \\x1b\[2J: can't be read"),
    ],
)
def test_it_is_one_line_that_says_what_is_wrong(asked, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep.json").write_text('{"a":' * 100_000)
    (tmp_path / "digits.json").write_text(f'{{"schema_version": {"9" * 5000}}}')
    (tmp_path / "half.json").write_text('{"schema_version": 2, "name": "\\ud800"}')
    with pytest.raises(SystemExit) as stop:
        main(asked)
    said = capsys.readouterr().err
    assert stop.value.code == 2, said
    (line,) = said.splitlines()
    assert len(line) <= LONGEST_LINE

    assert re.search(message, line), line


def test_without_a_home_there_are_no_machines_of_ones_own(monkeypatch, capsys):
    for name in ("FHECOST_CONFIG", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)

    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("pathlib.Path.home", nowhere)
    assert len(load_hardware("all")) > 10
