"""The reference variant with rounded lookups, and the published times of its circuits."""

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fhecost.circuits.profile import load_profile
from fhecost.closed_form.held import Sampled
from fhecost.closed_form.plan_operators import plan_of
from fhecost.concrete.compilation import compile_circuit
from fhecost.concrete.reader import profile_circuit
from fhecost.hardware.latency_model import Case
from fhecost.hardware.library import find_hardware
from fhecost.heads.attention_head import AttentionHead
from fhecost.heads.operators import ClearOperators
from fhecost.heads.reference import quantize_reference_heads
from fhecost.heads.reference_rounded import quantize_reference_rounded
from fhecost.validation.backtest import backtest
from fhecost.validation.published import PublishedRecord, read_records, seconds_of
from fhecost.validation.published_runs import circuits_of_runs, predicted_run
from tests.conftest import ROOT

BITS = 5


@pytest.fixture(scope="module")
def head_and_states():
    """A random head of a small layer, and normalized hidden states."""
    generator = np.random.default_rng(1)
    weight = generator.normal(0, 0.35, (16, 48))
    hidden = generator.normal(0, 1, (24, 3, 16))
    return AttentionHead.from_layer(weight, generator.normal(0, 0.2, 48), 4, 0), hidden


class Watching(ClearOperators):
    """Remembers what was rounded, and by how much."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def rounded(self, values, dropped):
        result = super().rounded(values, dropped)
        self.seen.append((values, dropped, result))
        return result


def test_every_wide_lookup_reads_six_bits(head_and_states):
    head, hidden = head_and_states
    heads = quantize_reference_rounded([head], hidden, BITS)
    wide = heads.heads[0].dropped
    assert "projection.requantize" in wide
    assert "scores.scale_and_mask" in wide
    operators = Watching()
    heads.run(heads.quantize_input(hidden[0]), operators)
    assert len(operators.seen) >= len(wide)
    for values, dropped, result in operators.seen:
        assert dropped >= 1
        assert not np.any(result % 2**dropped)
        assert np.abs(result - values).max() <= 2 ** (dropped - 1)


def test_without_a_wide_lookup_it_is_the_reference(head_and_states):
    head, hidden = head_and_states
    rounded = quantize_reference_rounded([head], hidden, 3)
    same = replace(rounded, heads=(replace(rounded.heads[0], dropped={}),))
    plain = quantize_reference_heads([head], hidden, 3)
    integers = plain.quantize_input(hidden[1])
    operators = ClearOperators()
    assert np.array_equal(same.run(integers, operators), plain.run(integers, operators))


def test_it_stays_near_the_reference(head_and_states):
    head, hidden = head_and_states
    plain = quantize_reference_heads([head], hidden, BITS)
    rounded = quantize_reference_rounded([head], hidden, BITS)
    integers = plain.quantize_input(hidden[2])
    exact = plain.dequantize_output(plain.run(integers, ClearOperators()))
    near = rounded.dequantize_output(rounded.run(integers, ClearOperators()))
    assert not np.array_equal(exact, near)
    assert np.abs(exact - near).mean() < 0.25 * np.abs(exact).mean()


def test_rounding_melts_into_the_lookups(head_and_states):
    """As many PBS as without, and cheaper ones."""
    head, hidden = head_and_states
    profiles = []
    for quantize in (quantize_reference_heads, quantize_reference_rounded):
        heads = quantize([head], hidden, BITS)
        circuit = compile_circuit(heads.run, [heads.quantize_input(one) for one in hidden])
        profiles.append(profile_circuit(circuit, name="head"))
    plain, rounded = profiles
    assert rounded.pbs_count == plain.pbs_count
    assert rounded.complexity < plain.complexity


@pytest.mark.parametrize("bits", [4, 7])
def test_a_rounding_that_could_overflow_takes_a_lookup_more(head_and_states, bits):
    """The closed form knows which: as many PBS as Concrete makes,."""
    head, hidden = head_and_states
    heads = quantize_reference_rounded([head], hidden, bits)
    sentences = np.stack([heads.quantize_input(one) for one in hidden])
    profile = profile_circuit(compile_circuit(heads.run, list(sentences)), name="head")
    plan = plan_of(heads.run, Sampled(sentences))
    counts = Counter[str]()
    for wire in plan.wires:
        if wire.kind == "lookup":
            counts[wire.stage] += wire.integers
    assert counts == {stage.name: stage.pbs_count for stage in profile.stages if stage.pbs_count}


@pytest.mark.parametrize(
    ("name", "count"), [("GPT-2 single head, hpc7a", 19840), ("GPT-2 12-head MHA, hpc7a", 240128)]
)
def test_the_circuits_are_those_of_the_published_example(name, count):
    """Its notebook prints a width of 15 bits; counts follow the law of the reference variant."""
    circuit = circuits_of_runs()[name]
    d, seq_len = 64, 8
    one = 4 * d * seq_len**2 + 6 * seq_len**2 + 6 * d * seq_len
    heads = 1 if "single" in name else 12
    # Where the rounding of what calibration saw would overflow, Concrete makes it a PBS of its own:
    # the projection of one of the twelve heads, and the key of another.
    protected = 0 if heads == 1 else 3 * d * seq_len + d * seq_len
    assert circuit.pbs_count == count == heads * one + protected
    assert circuit.max_bit_width in (15, 16)


@pytest.mark.parametrize("name", ["GPT-2 single head, hpc7a", "GPT-2 12-head MHA, hpc7a"])
def test_a_published_time_of_a_whole_circuit_lies_within_the_range(name):
    """What the profile promises: the figures' own ranges, keys and first run included."""
    (record,) = [record for record in read_records() if record.name == name]
    published_s = seconds_of(record)
    run = predicted_run(circuits_of_runs()[name], find_hardware("hpc7a-96xlarge"))
    assert run[Case.FAST] <= published_s <= run[Case.SLOW]


def test_one_head_tells_what_threads_keep_and_twelve_are_judged():
    report = backtest(read_records(), [find_hardware("hpc7a-96xlarge")])
    rows = {row.name: row for row in report.rows if row.name.startswith("GPT-2")}
    assert set(rows) == set(circuits_of_runs())
    for name, row in rows.items():
        run = predicted_run(circuits_of_runs()[name], find_hardware("hpc7a-96xlarge"))
        assert run[Case.FAST] < row.predicted == run[Case.LIKELY] < run[Case.SLOW]
        assert row.fitted == ("single" in name)


def test_a_machine_that_knows_nothing_of_keys_is_not_judged():
    name = "GPT-2 single head, hpc7a"
    record = PublishedRecord(name=name, metric="FHE time", value=100, unit="s")
    machine = find_hardware("hpc7a-96xlarge")
    without = {
        key: figure for key, figure in machine.figures.items() if not key.startswith("keygen")
    }
    ignorant = machine.changed(figures=without)
    other = next(r for r in read_records() if "1.1.0 CPU PBS 2-bit" in r.name)
    report = backtest([record, other], [ignorant])
    assert [row.name for row in report.rows] == [other.name]
    (unjudged,) = [left for left in report.not_judged if name in left.records]
    assert unjudged.reason == "hpc7a-96xlarge: nothing is known of its key generation"
    assert predicted_run(circuits_of_runs()[name], machine)[Case.LIKELY] > 0


@pytest.mark.slow
def test_the_profiles_are_what_the_script_compiles(gpt2_124m, tmp_path, monkeypatch):
    folder = ROOT / "experiments" / "published"
    monkeypatch.syspath_prepend(str(folder))
    import compile_heads

    monkeypatch.setattr(compile_heads, "HERE", tmp_path)
    (tmp_path / "circuits").mkdir()
    compile_heads.main(gpt2_124m)
    for name in ("gpt2-head", "gpt2-12-heads"):
        file = Path("circuits") / f"{name}.json"
        assert load_profile(tmp_path / file) == load_profile(folder / file)
    sys.modules.pop("compile_heads")
