"""The fast variant: fewer columns, lookups that may go wrong, and settings in files."""

import gzip
import json
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st
from scipy.stats import binomtest
from typer.testing import CliRunner

import fhecost
from fhecost.circuits.description import CircuitDescription
from fhecost.circuits.profile import CircuitProfile
from fhecost.cli import app
from fhecost.closed_form.circuit import predicted_profile
from fhecost.closed_form.held import Sampled
from fhecost.closed_form.plan_operators import plan_of
from fhecost.closed_form.requests import profile_of_weights
from fhecost.concrete.compilation import compile_circuit
from fhecost.errors import FieldError, ImpossibleError, UsageError
from fhecost.heads.attention_head import AttentionHead, attend
from fhecost.heads.fast import SHIPPED, fast_setting
from fhecost.heads.head_quantization import HeadSetting
from fhecost.heads.low_rank import hadamard_rotation, principal_directions, reduced_scores
from fhecost.heads.noise import NoisyOperators
from fhecost.heads.operators import ClearOperators
from fhecost.heads.parameter_rules import SIZES, UNRESTRICTED, ParameterRules, Restriction
from fhecost.heads.saved_setting import SavedSetting, load_setting, save_setting
from fhecost.heads.variants import variant_named
from tests.test_closed_form import differences

FOLDER = Path(__file__).parents[1] / "experiments" / "closed_form"
SETTING = SHIPPED[3][0]


@pytest.fixture(scope="module")
def compile_settings():
    """The script that made the grid."""
    sys.path.insert(0, str(FOLDER))
    import compile_settings

    yield compile_settings
    sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def grid(compile_settings):
    """Compiled heads of drawn settings."""
    return json.loads(gzip.decompress((FOLDER / "fast.json.gz").read_bytes()))["compiled"]


def predicted(compile_settings, case):
    quantized, sentences = compile_settings.quantized_case(case)
    plan = plan_of(quantized.run, Sampled(sentences))
    return predicted_profile(plan, "head", CircuitDescription(), rules=quantized.rules)


def by_noise(entry):
    return entry["case"]["setting"]["rules"]["by_noise"]


def test_counts_and_complexity_are_those_of_compiled_circuits(compile_settings, grid):
    entries = [entry for entry in grid if not by_noise(entry)]
    assert len(entries) >= 60
    found = []
    for entry in entries:
        compiled = CircuitProfile.model_validate(entry["profile"])
        profile = predicted(compile_settings, entry["case"])
        found += differences(entry["case"], compiled, profile)
        assert profile.complexity == pytest.approx(compiled.complexity, rel=1e-6)
        assert profile.p_error == pytest.approx(compiled.p_error, rel=1e-6)
        assert profile.bsk_bytes == compiled.bsk_bytes
        assert profile.ksk_bytes == pytest.approx(compiled.ksk_bytes, rel=0.06)
    assert not found, "\n".join(found)


def test_lookups_split_by_noise_are_counted_and_cost_about_what_is_predicted(
    compile_settings, grid
):
    entries = [entry for entry in grid if by_noise(entry)]
    assert len(entries) >= 5
    for entry in entries:
        compiled = CircuitProfile.model_validate(entry["profile"])
        profile = predicted(compile_settings, entry["case"])
        assert Counter({s.name: s.pbs_count for s in profile.stages}) == Counter(
            {s.name: s.pbs_count for s in compiled.stages}
        )
        # Splitting makes it cheaper, which isn't predicted.
        assert 0.97 < profile.complexity / compiled.complexity < 1.35


def test_restricted_circuits_keep_to_what_they_may_have(grid):
    restricted = [entry for entry in grid if "restriction" in entry["case"]["setting"]["rules"]]
    assert len(restricted) >= 10
    for entry in restricted:
        restriction = SavedSetting.model_validate(entry["case"]["setting"]).rules.restriction
        assert restriction != UNRESTRICTED
        for stage in CircuitProfile.model_validate(entry["profile"]).stages:
            for use in stage.pbs:
                used = use.parameters
                assert restriction.allows(
                    used.glwe_dimension, used.polynomial_size, used.level_count
                )


def test_a_restriction_that_leaves_nothing_is_refused(compile_settings):
    """Concrete's optimizer would end the whole process here."""
    pytest.importorskip("concrete.fhe", reason="needs the extra [concrete]")
    quantized, sentences = compile_settings.quantized_case(compile_settings.drawn_case(78))
    rules = replace(quantized.rules, restriction=Restriction((), SIZES[:6], (1,)))
    with pytest.raises(ImpossibleError, match="no parameters with N 256 to 8192, l 1"):
        compile_circuit(quantized.run, list(sentences), rules)
    plan = plan_of(quantized.run, Sampled(sentences))
    with pytest.raises(ImpossibleError, match="no parameters"):
        predicted_profile(plan, "head", CircuitDescription(), rules=rules)


@pytest.mark.parametrize(
    ("restriction", "words"),
    [
        (Restriction(), ""),
        (Restriction(polynomial_sizes=(256, 512, 1024)), "N 256 to 1024"),
        (Restriction((1,), (512, 2048), (1, 2)), "k 1, N 512/2048, l 1/2"),
    ],
)
def test_a_restriction_in_words(restriction, words):
    assert str(restriction) == words


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"glwe_dimensions": (7,)}, "glwe_dimensions must be from 1 to 6, not 7"),
        ({"level_counts": (0,)}, "level_counts must be from 1 to 64, not 0"),
        ({"polynomial_sizes": (300,)}, "powers of two from 256 to 131072, not 300"),
    ],
)
def test_what_no_bootstrap_can_have_is_refused(values, problem):
    with pytest.raises(ValueError, match=problem):
        Restriction(**values)


@profile(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12))
def test_reduced_scores_lose_least(seed, d):
    rng = np.random.default_rng(seed)
    query, key = rng.normal(size=(2, 40, d)) @ rng.normal(size=(2, d, d))
    exact = query @ key.T
    lost = []
    for rank in range(1, d + 1):
        of_query, of_key = reduced_scores(query, key, rank)
        lost.append(np.sqrt(((query @ of_query @ (key @ of_key).T - exact) ** 2).mean()))
    singular = np.linalg.svd(exact, compute_uv=False)
    # No matrix of that rank is nearer (Eckart and Young).
    least = np.sqrt([(singular[rank:] ** 2).sum() / exact.size for rank in range(1, d + 1)])
    assert lost == pytest.approx(least, rel=1e-6, abs=1e-6 * singular[0])


@profile(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12))
def test_principal_directions_are_orthogonal_and_span_what_is_there(seed, d, rank):
    rank = min(rank, d)
    values = np.random.default_rng(seed).normal(size=(50, rank)) @ np.eye(rank, d)
    directions = principal_directions(values, rank)
    assert directions.T @ directions == pytest.approx(np.eye(rank), abs=1e-9)
    assert values @ directions @ directions.T == pytest.approx(values, abs=1e-9)
    assert hadamard_rotation(d) @ hadamard_rotation(d).T == pytest.approx(np.eye(d), abs=1e-9)


def layer(width=32, dimension=8, seq_len=5):
    rng = np.random.default_rng(3)
    weight = rng.normal(0, 1.4 / np.sqrt(width), (width, 3 * width))
    head = AttentionHead.from_layer(weight, rng.normal(0, 0.2, 3 * width), width // dimension, 1)
    return head, rng.normal(size=(60, seq_len, width))


def error(heads, head, hidden, operators=None):
    outputs = [
        heads.dequantize_output(
            heads.run(heads.quantize_input(one), operators or ClearOperators())
        )[0]
        for one in hidden
    ]
    exact = attend(head, hidden)
    return np.sqrt(((np.stack(outputs) - exact) ** 2).sum() / (exact**2).sum())


def test_a_wide_setting_is_the_float_head():
    head, hidden = layer()
    wide = HeadSetting(
        input_bits=10, product_bits=18, score_bits=9, value_bits=10, exponential_bits=18,
        kept_bits=14, kept_score_bits=14, score_rank=8, value_rank=8, score_sum_bits=16,
        exact=False,
    )  # fmt: skip
    heads = SavedSetting(settings=(wide,)).quantize([head], hidden, 0)
    assert error(heads, head, hidden) < 0.02
    narrow = replace(wide, score_rank=2, value_rank=2)
    assert error(SavedSetting(settings=(narrow,)).quantize([head], hidden, 0), head, hidden) > 0.1


@pytest.mark.parametrize("p_error", [0.1, 0.01, 0.001])
def test_lookups_go_wrong_as_often_as_they_may_and_by_one_step(p_error):
    operators, values = NoisyOperators(p_error, seed=1), np.full(400_000, 5)
    read = operators.lookup(values, lambda z: z)
    wrong = int(np.count_nonzero(read != 5))
    low, high = binomtest(wrong, len(values)).proportion_ci(0.999)
    assert low <= p_error <= high
    assert np.mean(np.abs(read[read != 5] - 5) == 1) > 0.98


def test_a_rounding_inside_lookups_goes_either_way_near_the_middle():
    operators = NoisyOperators(0.01, seed=1)
    rounded = operators.accumulator("sum", np.full(10_000, 8), 8, 4, exact=False)
    assert np.mean(operators.lookup(rounded, lambda z: z) == 16) == pytest.approx(0.5, abs=0.02)
    exact = operators.accumulator("sum", np.full(10_000, 8), 8, 4)
    assert np.mean(operators.lookup(exact, lambda z: z) == 16) > 0.98


def test_sums_beyond_their_bits_come_out_at_the_other_end():
    operators = NoisyOperators(0.01)
    values = np.array([-9, -8, 7, 8])
    assert list(operators.accumulator("sum", values, 4)) == [7, -8, 7, -8]
    assert operators.exceeded == {"sum": 2}


def test_a_setting_is_saved_and_stands_for_a_variant(tmp_path):
    path = tmp_path / "head.json"
    saved = SavedSetting(settings=(SETTING,), rules=ParameterRules(1e-3), of="a test")
    save_setting(saved, path)
    assert load_setting(path) == saved
    variant = variant_named(str(path))
    assert variant.name == saved.name
    assert variant.bits == SETTING.value_bits
    other = SavedSetting(settings=(SETTING,), rules=ParameterRules(1e-2))
    assert other.name != saved.name == saved.changed(of="another").name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["settings"][0].update(colour=1), "settings.0.colour"),
        (lambda c: c["settings"][0].update(value_bits=1), "value_bits must be from 2 to 20, not 1"),
        (lambda c: c["settings"][0].update(value_shift=20), "value_shift must be from 0 to 8"),
        (lambda c: c["settings"][0].update(weight_bits=4), "one of weight_bits and product_bits"),
        (lambda c: c["rules"].update(p_error=0.7), "p_error must be above 0 and below 0.5"),
        (lambda c: c.update(settings=[]), "settings"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, change, message):
    content = SavedSetting(settings=(SETTING,), rules=ParameterRules(1e-3)).model_dump(mode="json")
    change(content)
    path = tmp_path / "head.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=message) as caught:
        load_setting(path)
    assert str(caught.value).startswith(str(path))
    with pytest.raises(UsageError):
        variant_named(str(path))


def test_settings_for_other_heads_are_refused():
    head, hidden = layer()
    saved = SavedSetting(settings=(SETTING, SETTING))
    with pytest.raises(FieldError, match="has settings for 2 heads, and there are 1"):
        saved.quantize([head], hidden, 0)


def test_wider_bits_than_shipped_widen_the_widest():
    widest = max(SHIPPED)
    setting, rules = fast_setting(widest + 2)
    assert setting.value_bits == SHIPPED[widest][0].value_bits + 2
    assert rules == SHIPPED[widest][1]
    assert fast_setting(widest) == SHIPPED[widest]


def test_a_shape_alone_gets_the_fast_head():
    request = fhecost.ShapeRequest(fhecost.find_shape("gpt2"), "head", 6, 3, "fast")
    profile = fhecost.find_circuit(fhecost.PredictedShape(request))
    assert profile.description.widths == "stated"
    assert profile.p_error == pytest.approx(SHIPPED[3][1].p_error, rel=0.2)
    reference = fhecost.find_circuit(fhecost.PredictedShape(replace(request, variant="reference")))
    assert profile.complexity < reference.complexity / 20


def test_the_command_line_takes_a_saved_head(tmp_path):
    path = tmp_path / "head.json"
    save_setting(SavedSetting(settings=SHIPPED[2][:1], rules=SHIPPED[2][1]), path)
    arguments = ["--no-compile", "--model", "gpt2", "--hardware", "h100", "--format", "json"]
    runner = CliRunner()
    found = runner.invoke(app, ["estimate", "--variant", str(path), *arguments])
    named = runner.invoke(app, ["estimate", "--variant", "fast", "--bits", "2", *arguments])
    assert found.exit_code == named.exit_code == 0, found.output
    latencies = [
        json.loads(result.stdout)["estimates"][0]["latency_s"] for result in (found, named)
    ]
    assert latencies[0] == latencies[1]


ATTENTION = Path(__file__).parents[1] / "experiments" / "fast" / "attention.json"


def test_a_saved_attention_goes_through_the_projection():
    pytest.importorskip("transformers", reason="needs the extra [gpt2]")
    asked = {"layer": 0, "heads": "all", "seq_len": 6}
    request = fhecost.HeadRequest(**asked, variant=str(ATTENTION))
    profile = profile_of_weights(request)
    usual = fhecost.HeadRequest(**asked, bits=4, variant="compact-attention")
    assert sum(stage.name.endswith("output_projection") for stage in profile.stages) == 4
    assert profile.complexity < profile_of_weights(usual).complexity / 4
    report = fhecost.measure_accuracy(heads=["all"], seq_lens=[32], variant=str(ATTENTION))
    (row,) = report.rows
    assert row.top1 >= 0.95


def test_a_saved_attention_takes_all_heads():
    pytest.importorskip("transformers", reason="needs the extra [gpt2]")
    with pytest.raises(FieldError, match="heads"):
        profile_of_weights(
            fhecost.HeadRequest(layer=0, heads=(0, 1), seq_len=2, variant=str(ATTENTION))
        )


def test_accuracy_takes_a_saved_setting(tmp_path):
    pytest.importorskip("transformers", reason="needs the extra [gpt2]")
    path = tmp_path / "head.json"
    save_setting(SavedSetting(settings=SHIPPED[2][:1], rules=SHIPPED[2][1]), path)
    saved = fhecost.measure_accuracy(heads=[0], seq_lens=[2], variant=str(path))
    shipped = fhecost.measure_accuracy(heads=[0], bits=[2], seq_lens=[2], variant="fast")
    assert saved.rows[0].top1 == shipped.rows[0].top1
    assert (
        saved.rows
        == fhecost.measure_accuracy(
            heads=[0], bits=[SHIPPED[2][0].value_bits], seq_lens=[2], variant=str(path)
        ).rows
    )


def test_widths_beside_a_saved_setting_are_refused(tmp_path, run_fhecost):
    """They would have no effect; they were ignored without a word."""
    pytest.importorskip("transformers", reason="needs the extra [gpt2]")
    save_setting(SavedSetting(settings=SHIPPED[2][:1], rules=SHIPPED[2][1]), tmp_path / "head.json")
    path, message = str(tmp_path / "head.json"), "bits 7: fast-[0-9a-f]{8} has widths of its own"
    for refused in (
        lambda: profile_of_weights(fhecost.HeadRequest(bits=7, variant=path)),
        lambda: fhecost.ShapeRequest(fhecost.find_shape("gpt2"), bits=7, variant=path).width,
        lambda: fhecost.measure_accuracy(heads=[0], bits=[7], seq_lens=[2], variant=path),
        lambda: fhecost.generate("The ship", heads=[0], bits=7, tokens=1, variant=path),
    ):
        with pytest.raises(FieldError, match=message):
            refused()
    finished = run_fhecost("estimate", "--no-compile", "--variant", "head.json", "--bits", "7")
    assert finished.returncode == 2
    assert "--bits 7: fast-" in finished.stderr
    assert "has widths of its own; leave this out" in finished.stderr


@pytest.mark.parametrize(("variant", "bits"), [("fast", 3), ("compact", 4), ("reference", 4)])
def test_what_nobody_chose_is_the_usual_width(variant, bits):
    assert fhecost.ShapeRequest(fhecost.find_shape("gpt2"), variant=variant).width == bits
    assert fhecost.ShapeRequest(fhecost.find_shape("gpt2"), variant=variant, bits=6).width == 6
    layer = fhecost.ShapeRequest(fhecost.find_shape("gpt2"), "layer", variant=variant)
    assert layer.width == 4
