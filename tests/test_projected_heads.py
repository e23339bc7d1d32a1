"""Heads with their output projection head by head, whose sums the client divides."""

import json
from dataclasses import replace

import numpy as np
import pytest

import fhecost
from fhecost.circuits.description import CircuitDescription
from fhecost.closed_form.circuit import predicted_profile
from fhecost.closed_form.held import Sampled
from fhecost.closed_form.plan_operators import plan_of
from fhecost.closed_form.requests import profile_of_weights
from fhecost.closed_form.scopes import profile_of_shape
from fhecost.concrete.compilation import compile_circuit
from fhecost.concrete.reader import profile_circuit
from fhecost.errors import FieldError, UsageError
from fhecost.heads.attention_head import AttentionHead, attend
from fhecost.heads.compact import quantize_with
from fhecost.heads.compact_attention import AttentionSetting, CompactAttention
from fhecost.heads.fast import fast_setting
from fhecost.heads.head_quantization import HeadSetting
from fhecost.heads.operators import ClearOperators
from fhecost.heads.parameter_rules import ParameterRules
from fhecost.heads.projected_heads import HeadwiseSetting
from fhecost.heads.saved import load_heads, save_heads
from fhecost.heads.saved_setting import SavedSetting, load_setting, save_setting
from fhecost.heads.stated import StatedShape
from tests.test_closed_form import differences
from tests.test_score_columns import hidden_states, turning_head

WIDE = HeadSetting(
    input_bits=9, product_bits=17, score_bits=9, value_bits=9, exponential_bits=10,
    kept_bits=14, kept_score_bits=14, exact=False,
)  # fmt: skip
NARROW = HeadSetting(
    input_bits=4, product_bits=11, score_bits=3, value_bits=3, exponential_bits=3, kept_bits=5,
    kept_score_bits=5, score_rank=4, value_rank=4, score_sum_bits=7, value_shift=1, exact=False,
)  # fmt: skip
E, HEADS, L = 16, 2, 3


def layer(seed: int = 0) -> tuple[list[AttentionHead], np.ndarray]:
    """All heads of a random layer, and hidden states of some sentences."""
    random = np.random.default_rng(seed)
    d = E // HEADS
    weight, projection = random.normal(size=(E, 3 * E)) / 4, random.normal(size=(E, E)) / 4
    bias, output_bias = random.normal(size=3 * E) / 4, random.normal(size=E)
    heads = [
        replace(
            AttentionHead.from_layer(weight, bias, HEADS, head),
            output_weight=projection[head * d : (head + 1) * d],
            output_bias=output_bias,
        )
        for head in range(HEADS)
    ]
    return heads, random.normal(size=(40, L, E))


def saved(setting: HeadSetting, weight_bits: int, p_error: float = 1e-2) -> SavedSetting:
    return SavedSetting(
        settings=(setting,), rules=ParameterRules(p_error), projection=HeadwiseSetting(weight_bits)
    )


def float_attention(heads, hidden):
    return sum(attend(head, hidden) @ head.output_weight for head in heads) + heads[0].output_bias


def test_with_all_widths_large_it_is_the_float_attention():
    heads, hidden = layer()
    quantized = saved(WIDE, 12).quantize(heads, hidden[:30], 0)
    assert quantized.projected
    for sentence in hidden[30:]:
        operators = ClearOperators()
        integers = quantized.run(quantized.quantize_input(sentence), operators)
        assert integers.shape == (L, HEADS * (E + 1))
        (values,) = quantized.dequantize_output(integers)
        exact = float_attention(heads, sentence)
        assert np.sqrt(((values - exact) ** 2).mean()) < 0.1 * exact.std()


def test_a_projection_of_their_sum_is_the_float_attention_too():
    heads, hidden = layer()
    setting = saved(WIDE, 12).changed(projection=AttentionSetting(10, 11, 12))
    quantized = setting.quantize(heads, hidden[:30], 0)
    assert isinstance(quantized, CompactAttention) is (setting.heads is CompactAttention) is True
    integers = quantized.run(quantized.quantize_input(hidden[30]), ClearOperators())
    (values,) = quantized.dequantize_output(integers)
    exact = float_attention(heads, hidden[30])
    assert np.sqrt(((values - exact) ** 2).mean()) < 0.1 * exact.std()


def test_each_head_is_divided_by_its_own_sum():
    heads, hidden = layer(1)
    quantized = saved(NARROW, 4).quantize(heads, hidden, 0)
    integers = quantized.run(quantized.quantize_input(hidden[0]), ClearOperators())
    by_head = integers.reshape(L, HEADS, E + 1)
    doubled = by_head.copy()
    doubled[:, 1] *= 2
    before, after = map(quantized.dequantize_output, (integers, doubled.reshape(L, -1)))
    np.testing.assert_allclose(before, after)


def turning_layer(seed: int) -> tuple[list[AttentionHead], np.ndarray]:
    """As :func:`layer`, of heads that turn, with a first token that is far from all others."""
    rng = np.random.default_rng(seed)
    heads = [turning_head(rng) for _ in range(6)]
    bias = rng.normal(size=heads[0].width)
    return [replace(head, output_bias=bias) for head in heads], hidden_states(rng, first=3.0)


def of_sentences(quantized, hidden):
    """What ``quantized`` heads give, shape (sentences, heads, L, d) or (sentences, 1, L, E)."""
    runs = (quantized.run(quantized.quantize_input(one), ClearOperators()) for one in hidden)
    return np.stack([quantized.dequantize_output(run) for run in runs])


PROJECTIONS = [HeadwiseSetting(6), AttentionSetting.usual(5)]


@pytest.mark.parametrize("projection", PROJECTIONS, ids=["headwise", "whole"])
@pytest.mark.parametrize(("seed", "bits"), [(0, 3), (1, 4)])
def test_the_first_token_keeps_its_own_mean_behind_a_projection(seed, bits, projection):
    """It attends to itself alone, and is the same in all sentences: a constant gives it back."""
    heads, hidden = turning_layer(seed)
    calibration, judged = hidden[:16], hidden[16:]
    setting, rules = fast_setting(bits, turns=True)
    alone = of_sentences(quantize_with(heads, calibration, [setting] * 6, bits, rules), judged)
    alone = sum(alone[:, place] @ head.output_weight for place, head in enumerate(heads))
    saved = SavedSetting(settings=(setting,), rules=rules, projection=projection)
    projected = of_sentences(saved.quantize(heads, calibration, bits), judged)[:, 0]
    exact = float_attention(heads, judged)
    of_alone = np.linalg.norm((alone + heads[0].output_bias - exact)[:, 0])
    # What the projection rounds may be another integer in one sentence; a mean that all tokens
    # share would make it twenty times as much.
    assert np.linalg.norm((projected - exact)[:, 0]) < 5 * of_alone


@pytest.mark.parametrize("projection", PROJECTIONS, ids=["headwise", "whole"])
def test_saved_heads_keep_what_the_first_token_gets(tmp_path, projection):
    heads, hidden = turning_layer(0)
    setting, rules = fast_setting(3, turns=True)
    saved = SavedSetting(settings=(setting,), rules=rules, projection=projection)
    quantized, path = saved.quantize(heads, hidden, 3), tmp_path / "heads.json"
    save_heads(quantized, path, {})
    wanted = of_sentences(quantized, hidden[:1])
    np.testing.assert_array_equal(of_sentences(load_heads(path, {}), hidden[:1]), wanted)
    # A file from before there was such a thing.
    content = json.loads(path.read_text())
    del content["heads"]["first_offset"]
    path.write_text(json.dumps(content))
    older = of_sentences(load_heads(path, {}), hidden[:1])
    np.testing.assert_array_equal(older[:, :, 1:], wanted[:, :, 1:])
    np.testing.assert_allclose(older[:, :, 0] + quantized.first_offset, wanted[:, :, 0])


@pytest.mark.parametrize("seed", range(2))
def test_a_row_is_divided_by_the_sum_of_the_exponentials_that_there_are(seed):
    """Of narrow exponentials the spare integers are a large part, and scores may be anywhere."""
    rng = np.random.default_rng(seed)
    none = np.zeros(48)
    heads = [replace(turning_head(rng, 0.05), output_bias=none) for _ in range(6)]
    hidden = hidden_states(rng)
    setting = saved(replace(WIDE, exponential_bits=3), 12)
    quantized = setting.changed(projection=AttentionSetting(10, 11, 12)).quantize(heads, hidden, 0)
    given, exact = of_sentences(quantized, hidden)[:, 0, 1:], float_attention(heads, hidden)[:, 1:]
    # All integers counted, the spare ones too, it is 0.1.
    assert np.linalg.norm(given - exact) < 0.06 * np.linalg.norm(exact - exact.mean(axis=(0, 1)))


def test_heads_that_do_not_turn_treat_all_tokens_alike():
    heads, hidden = layer()
    for projection in PROJECTIONS:
        quantized = saved(WIDE, 12).changed(projection=projection).quantize(heads, hidden, 0)
        assert quantized.first_offset is None


@pytest.mark.parametrize("weight_bits", [3, 5])
def test_counts_and_complexity_are_those_of_the_compiled_circuit(weight_bits):
    heads, hidden = layer(2)
    quantized = saved(NARROW, weight_bits).quantize(heads, hidden, 0)
    sentences = np.stack([quantized.quantize_input(sentence) for sentence in hidden])
    predicted = predicted_profile(
        plan_of(quantized.run, Sampled(sentences)),
        "head",
        CircuitDescription(),
        rules=quantized.rules,
    )
    circuit = compile_circuit(quantized.run, list(sentences), quantized.rules)
    compiled = profile_circuit(circuit)
    assert not list(differences({"weight_bits": weight_bits}, compiled, predicted))
    assert predicted.complexity == pytest.approx(compiled.complexity, rel=1e-6)
    exact = quantized.run(sentences[0], ClearOperators())
    # Rounding by lookups may take the neighbouring multiple, which the divided values barely show.
    simulated, wanted = (
        quantized.dequantize_output(integers)
        for integers in (circuit.simulate(sentences[0]), exact)
    )
    assert np.median(np.abs(simulated - wanted)) < 0.3 * wanted.std()


def test_saved_heads_and_settings_come_back(tmp_path):
    heads, hidden = layer()
    setting = saved(NARROW, 4)
    save_setting(setting, tmp_path / "setting.json")
    assert load_setting(tmp_path / "setting.json") == setting
    assert setting.name != saved(NARROW, 5).name != saved(NARROW, 5, 1e-3).name
    quantized = setting.quantize(heads, hidden, 0)
    save_heads(quantized, tmp_path / "heads.json", {"of": "a test"})
    loaded = load_heads(tmp_path / "heads.json", {"of": "a test"})
    values = quantized.quantize_input(hidden[0])
    np.testing.assert_array_equal(
        loaded.run(values, ClearOperators()), quantized.run(values, ClearOperators())
    )


@pytest.mark.parametrize(
    ("projection", "message"),
    [
        ({"weight_bits": 1}, "weight_bits must be from 2 to 20, not 1"),
        ({"weight_bits": 4, "colour": 1}, "projection"),
        ({}, "projection"),
    ],
)
def test_a_wrong_projection_is_refused(tmp_path, projection, message):
    content = saved(NARROW, 4).model_dump(mode="json")
    content["projection"] = projection
    path = tmp_path / "setting.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=message):
        load_setting(path)


def test_it_takes_all_heads_of_a_layer_and_their_projection():
    heads, hidden = layer()
    with pytest.raises(FieldError, match="heads: an output projection needs all heads of a layer"):
        saved(NARROW, 4).quantize(heads[:1], hidden, 0)
    without = [replace(head, output_weight=None) for head in heads]
    with pytest.raises(FieldError, match="heads: an output projection is needed"):
        saved(NARROW, 4).quantize(without, hidden, 0)
    with pytest.raises(FieldError, match="heads: an output projection needs all heads of a layer"):
        saved(NARROW, 4).state(StatedShape(E, E // HEADS, 1, L, 4))


def test_a_shape_alone_has_the_counts_of_weights(tmp_path):
    pytest.importorskip("transformers", reason="needs the extra [gpt2]")
    path = tmp_path / "setting.json"
    save_setting(saved(NARROW, 4), path)
    shape = fhecost.find_shape("embedded")
    stated = profile_of_shape(fhecost.ShapeRequest(shape, "head", L, None, str(path), shape.heads))
    weights = profile_of_weights(
        fhecost.HeadRequest(layer=0, heads="all", seq_len=L, variant=str(path))
    )
    assert counts(stated) == counts(weights)


def counts(profile):
    return {stage.name: (stage.pbs_count, stage.predecessors) for stage in profile.stages}
