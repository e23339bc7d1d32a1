"""Any file, of any kind that is read: what it says is used, or one line says what is wrong.

No traceback, nothing that takes long or fills the memory, nothing that is no number, and nothing
that no circuit can be.
"""

import json
import math
import random
import re
import resource
import time
import warnings
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhecost.accuracy.records import load_accuracy
from fhecost.circuits.module import ModuleProfile, load_module
from fhecost.circuits.profile import load_profile
from fhecost.circuits.work import bootstrap_key_bytes, key_switch_key_bytes, pbs_depth, stage_units
from fhecost.cli import main
from fhecost.data import data_folder
from fhecost.errors import FhecostError
from fhecost.hardware.calls import estimate_calls_on
from fhecost.hardware.estimator import estimate, estimate_all
from fhecost.hardware.library import load_hardware, read_hardware
from fhecost.heads.attention_head import AttentionHead
from fhecost.heads.saved import load_heads, save_heads
from fhecost.heads.saved_setting import load_setting
from fhecost.heads.variants import variant_named
from fhecost.measurement.fit import fit_cpu
from fhecost.measurement.records import load_microbenchmark
from fhecost.measurement.results import results_of
from fhecost.measurement.run_record import load_records
from fhecost.report.accuracy_document import accuracy_document
from fhecost.report.estimate_document import estimate_document
from fhecost.report.hardware_document import machine_document
from fhecost.report.render import RENDERERS
from fhecost.report.sweep_document import sweep_document
from fhecost.sweep.experiment import MOST_POINTS, Experiment
from fhecost.sweep.plan import plan_of
from fhecost.sweep.records import SweepReport
from fhecost.sweep.results_file import load_results
from fhecost.sweep.tasks import run_task, tasks_of
from fhecost.validation.published import read_operation, read_published
from tests.conftest import ROOT, SAVED_PROFILE
from tests.mutations import as_json, as_yaml, mutated

MACHINES = load_hardware(["epyc-zen4-2", "h100", "strix"])
LONGEST_S = 2.0
MOST_KIB = 2**20
"""Of memory that reading and using files may take in all: 1 GiB."""
SEED = 20261126
FILES = 10_000


def all_finite(content):
    """Whether each float in a report is a number."""
    if isinstance(content, dict):
        return all(map(all_finite, content.values()))
    if isinstance(content, list | tuple):
        return all(map(all_finite, content))
    return not isinstance(content, float) or math.isfinite(content)


def rendered(document):
    """All texts of a document, none of which holds what a terminal obeys, or half a character."""
    for name, render in RENDERERS.items():
        text = render(document)
        text.encode()
        obeyed = [one for one in text if (ord(one) < 32 and one != "\n") or 127 <= ord(one) < 160]
        assert not obeyed or (name == "csv" and set(obeyed) <= {"\t"}), repr(obeyed)


def possible(profile):
    """Whether a circuit can be so, told by other words than those of the code."""
    pbs = {use.parameters for stage in profile.stages for use in stage.pbs}
    switches = {use.parameters for stage in profile.stages for use in stage.key_switches}
    count, work = profile.pbs_count, sum(map(stage_units, profile.stages))
    for used in (*pbs, *switches):
        assert used.level_count * used.base_log <= 64
    assert all(256 <= used.polynomial_size <= 2**20 for used in pbs)
    assert all(stage.depth <= stage.pbs_count for stage in profile.stages if stage.pbs)
    assert all(stage.parallel_width <= stage.pbs_count for stage in profile.stages if stage.pbs)
    assert profile.bsk_bytes >= sum(map(bootstrap_key_bytes, pbs))
    assert profile.ksk_bytes >= sum(map(key_switch_key_bytes, switches))
    assert not work or 0.9 < profile.complexity / work < 1.1
    assert pbs_depth(profile.stages) <= count
    if count:
        may_err = count + profile.key_switch_count
        assert 0.9 * profile.p_error <= profile.global_p_error <= 1.1 * may_err * profile.p_error


def use_profile(path):
    profile = load_profile(path)
    possible(profile)
    report = estimate_all(profile, MACHINES, skip_impossible=True)
    assert all_finite(report.model_dump())
    for made in report.estimates:
        assert made.low_s <= made.latency_s * 1.001 <= made.high_s * 1.01
    rendered(estimate_document(report))


def use_machine(path):
    machine = read_hardware(path)
    report = estimate(load_profile(SAVED_PROFILE), machine)
    assert all_finite(report.model_dump())
    assert 0 < report.latency_s < 1e12
    rendered(machine_document(machine))


def use_records(path):
    for record in load_records(path):
        possible(record.profile)
        assert 0 <= record.wrong_values <= record.values
        assert all(math.isfinite(one.measured) for one in record.compared())
        assert all(one.error is None or math.isfinite(one.error) for one in record.compared())


def use_microbenchmark(path):
    read = load_microbenchmark(path)
    results_of(read)
    assert all_finite(asdict(fit_cpu(read)))


def use_accuracy(path):
    report = load_accuracy(path)
    for row in report.rows:
        assert row.top1_low - 1e-6 <= row.top1 <= row.top1_high + 1e-6
    rendered(accuracy_document(report))


def use_module(path):
    module = load_module(path)
    for function in module.functions.values():
        possible(function)
    name = next(iter(module.functions))
    report = estimate_calls_on(module, {name: 3}, MACHINES, skip_impossible=True)
    assert all_finite(report.model_dump())


def use_heads(path):
    load_heads(path, {})


def use_published(path):
    for record in read_published(path):
        read_operation(record)


EXPERIMENT = {
    "title": "some heads",
    "steps": ["count", "estimate"],
    "grid": {
        **{"seq_len": [2, 3], "bits": 3, "heads": [0, [0, 1], "all"], "p_error": [None, 1e-3]},
        **{"variant": ["fast", "compact"], "settings": {"value_rank": [8, None]}},
    },
    "points": [{"layer": 1, "hardware": "h100"}, {"layer": 0, "hardware": ["strix", "h100"]}],
    "hardware_path": [],
}


def use_experiment(path):
    plan = plan_of(path)
    assert 0 < len(plan.points) <= MOST_POINTS
    assert len({one.key for one in plan.points}) == len(plan.points)


def of_results():
    small = {"model": "gpt2", "variant": "compact", "seq_len": 2, "hardware": "h100"}
    experiment = Experiment(steps=("count", "estimate"), grid=small)
    plan = plan_of(experiment)
    (task,) = tasks_of(plan, plan.points)
    (result,) = run_task(task)
    return json.loads(result.line)


def use_results(path):
    results = load_results(path)
    assert all_finite([one.model_dump() for one in results])
    counts = dict.fromkeys(("done", "impossible", "failed"), 0)
    about = {"fhecost_version": "0", "title": "", "file": "x", "points": len(results)}
    rendered(sweep_document(SweepReport(**about, **counts, results=tuple(results))))


def of_json(path):
    """What a file says, without the hash of a profile, which would hide all that is wrong."""
    content = json.loads(Path(path).read_text())
    return {key: value for key, value in content.items() if key != "hash"}


def of_lines(path):
    first = json.loads(Path(path).read_text().splitlines()[0])
    first["profile"].pop("hash")
    return first


def of_machine(name):
    # Through JSON, so that nothing is there twice as one object.
    import yaml

    text = (data_folder("hardware") / f"{name}.yaml").read_text()
    return json.loads(json.dumps(yaml.safe_load(text.replace("e9", "e+9").replace("e12", "e+12"))))


def of_module():
    profile = load_profile(SAVED_PROFILE)
    module = ModuleProfile(name="two", source="a test", functions={"a": profile, "b": profile})
    content = json.loads(module.model_dump_json())
    for function in content["functions"].values():
        del function["hash"]
    return content


def of_heads():
    chance, size = np.random.default_rng(SEED), 16
    weight, bias = chance.normal(size=(size, 3 * size)) / 4, chance.normal(size=3 * size) / 4
    heads = [AttentionHead.from_layer(weight, bias, 2, head) for head in range(2)]
    made = variant_named("compact").quantize(heads, chance.normal(size=(20, 4, size)), 4)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "heads.json"
        save_heads(made, path, {})
        return of_json(path)


SETTING = {
    "schema_version": 1,
    "settings": [
        {
            **{"input_bits": 5, "score_bits": 4, "value_bits": 4, "exponential_bits": 4},
            **{"kept_bits": 4, "kept_score_bits": 4, "weight_bits": 4, "exact": False},
        }
    ],
    "rules": {"p_error": 0.01, "by_noise": True},
}

RUNS = ROOT / "experiments" / "runs"
KINDS = {
    "profile": (lambda: of_json(SAVED_PROFILE), as_json, "json", use_profile),
    "old profile": (
        lambda: of_json(ROOT / "experiments" / "published" / "circuits" / "gpt2-head.json"),
        *(as_json, "json", use_profile),
    ),
    "cpu": (lambda: of_machine("epyc-zen4-2"), as_yaml, "yaml", use_machine),
    "gpu": (lambda: of_machine("h100"), as_yaml, "yaml", use_machine),
    "asic": (lambda: of_machine("strix"), as_yaml, "yaml", use_machine),
    "record": (lambda: of_lines(RUNS / "epyc-zen4-2.jsonl"), as_json, "jsonl", use_records),
    "microbenchmark": (
        lambda: of_json(ROOT / "experiments" / "microbenchmarks" / "epyc-zen4-2.json"),
        *(as_json, "json", use_microbenchmark),
    ),
    "accuracy": (
        lambda: of_json(ROOT / "experiments" / "accuracy" / "simulated.json"),
        *(as_json, "json", use_accuracy),
    ),
    "module": (of_module, as_json, "json", use_module),
    "heads": (of_heads, as_json, "json", use_heads),
    "experiment": (lambda: EXPERIMENT, as_yaml, "yaml", use_experiment),
    "results": (of_results, as_json, "jsonl", use_results),
    "setting": (lambda: SETTING, as_json, "json", load_setting),
    "published": (
        lambda: json.loads((data_folder("experiments/published") / "records.json").read_text())[
            :40
        ],
        *(as_json, "json", use_published),
    ),
}


def assert_all_hold(kind, count, folder):
    """Use so many mutated files of a kind; what is wrong with one is said with its number."""
    content, write, suffix, use = KINDS[kind]
    seed, path = content(), folder / f"mutated.{suffix}"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused = 0
    for number in range(count):
        data = mutated(random.Random(f"{SEED} {kind} {number}"), seed, write)
        path.write_bytes(data)
        started = time.process_time()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                use(path)
        except FhecostError as error:
            refused += bool(str(error).strip())
        except Exception as error:
            error.add_note(f"{kind} {number}: {path}")
            raise
        taken = time.process_time() - started
        assert taken < LONGEST_S, f"{kind} {number}: {taken:.1f} s"
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < MOST_KIB, f"{kind}: {grown} KiB"
    # Else it would not be these files that are read.
    assert refused > count / 4


@pytest.mark.parametrize("kind", KINDS)
def test_some_mutated_files(kind, tmp_path):
    assert_all_hold(kind, 40, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_ten_thousand_mutated_files(kind, tmp_path):
    assert_all_hold(kind, -(-FILES // len(KINDS)), tmp_path)


@pytest.mark.parametrize("kind", ["profile", "gpu", "record"])
def test_mutated_files_on_the_command_line(kind, tmp_path, capsys):
    content, write, suffix, _ = KINDS[kind]
    seed, path = content(), tmp_path / f"mutated.{suffix}"
    for number in range(15):
        path.write_bytes(mutated(random.Random(f"{SEED} cli {kind} {number}"), seed, write))
        asked = {
            "profile": ["estimate", "--profile", str(path), "--hardware", "h100"],
            "gpu": ["hardware", "check", str(path)],
            "record": ["validate", "--runs", str(path)],
        }[kind]
        assert_is_told(asked, capsys)


def assert_is_told(asked, capsys):
    """A command ends with 0, 1 or 2, and says why in bounded lines without controls."""
    status = 0
    try:
        main(asked)
    except SystemExit as stop:
        status = stop.code or 0
    said = capsys.readouterr()
    assert status in (0, 1, 2), (asked, said.err)
    assert not re.search(r"fhecost: unexpected \w+:", said.err), (asked, said.err)
    assert "Traceback" not in said.err
    assert status == 0 or said.err.startswith(("fhecost: ", "warning: ")), (asked, said.err)
    for text in (said.out, said.err):
        assert not [one for one in text if (ord(one) < 32 and one not in "\n\t") or ord(one) == 127]
    assert max(map(len, said.err.splitlines()), default=0) <= 2000


WORDS = st.one_of(
    st.text(max_size=40),
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(["1..10", "10^31", "0", "-1", "1" * 400, "a" * 300, "all", "=1", "\x1b[2J"]),
)
ASKED = st.one_of(
    st.builds(
        lambda figure, value: ["compare", "--what-if", f"{figure}={value}"],
        st.sampled_from(["cores", "clock_hz", "power_w", "step_overhead_s", "batch", "x"]),
        WORDS,
    ),
    st.builds(
        lambda option, value: ["estimate", f"--{option}={value}"],
        st.sampled_from(["hardware", "calls", "seq-len", "bits", "heads", "layer", "format"]),
        WORDS,
    ),
    st.builds(lambda value: ["project", "--model", "gpt2", f"--seq-len={value}"], WORDS),
)


def ask(asked, capsys):
    saved = asked[0] == "compare" or asked[1].startswith(("--hardware", "--calls", "--format"))
    of = ["--profile", str(SAVED_PROFILE)] if saved else ["--no-compile"]
    command, *others = asked
    if command == "project":
        of = ["--hardware", "h100"]
    assert_is_told([command, *of, *others], capsys)


LASTING = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=30, deadline=None, suppress_health_check=LASTING, derandomize=True)
@given(asked=ASKED)
def test_some_odd_options(asked, capsys):
    ask(asked, capsys)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None, suppress_health_check=LASTING, derandomize=True)
@given(asked=ASKED)
def test_a_thousand_odd_options(asked, capsys):
    ask(asked, capsys)
