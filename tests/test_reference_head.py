"""The reference variant: float agreement, counts against the published example, FHE bit for bit."""

import json

import numpy as np
import pytest

import fhecost
from fhecost.concrete.compilation import compile_circuit
from fhecost.errors import ImpossibleError, UsageError
from fhecost.gpt2.head_circuit import HeadRequest, compile_heads, profile_heads
from fhecost.gpt2.model import calibration_sentences, find_model, load_gpt2
from fhecost.heads.attention_head import AttentionHead, attend
from fhecost.heads.operators import ClearOperators
from fhecost.heads.reference import quantize_reference_heads
from tests.conftest import attend_quantized

torch = pytest.importorskip("torch", reason="needs the extra [gpt2]")
pytest.importorskip("concrete", reason="needs the extra [concrete]")


def lookups(dimension: int, seq_len: int) -> int:
    """PBS of the reference variant, stage by stage."""
    d, L = dimension, seq_len
    return sum(
        (
            3 * d * L,  # projection.requantize: the accumulator to the scale of the bias
            3 * d * L,  # query, key and value
            2 * d * L * L,  # scores: two lookups a product of ciphertexts
            L * L,  # scores.scale_and_mask
            L * (L - 1),  # softmax.maximum
            L * L,  # softmax.exponential
            L,  # softmax.inverse
            2 * L * L,  # softmax.product
            L * L,  # softmax.requantize
            2 * d * L * L,  # weighted_values
        )
    )


@pytest.fixture(scope="module")
def embedded():
    return load_gpt2(find_model("embedded"))


@pytest.fixture(scope="module")
def real_head(gpt2_124m):
    """Head 0 of GPT-2 124M's first layer, and hidden states of real scale.

    The token embeddings aren't there, so tokens are drawn at the spread of GPT-2's (0.14); the real
    position embeddings are added and the real first LayerNorm applied. 64 sentences, so that the
    calibrated ranges are those that a long text would give.
    """
    safetensors = pytest.importorskip("safetensors.numpy")
    weights = safetensors.load_file(gpt2_124m / "attn_layer0.safetensors")
    head = AttentionHead.from_layer(
        weights["h.0.attn.c_attn.weight"], weights["h.0.attn.c_attn.bias"], 12, 0
    )

    def hidden(seq_len):
        rng = np.random.default_rng(0)
        states = rng.normal(0, 0.14, (64, seq_len, 768)) + weights["wpe.weight"][:seq_len]
        centred = states - states.mean(-1, keepdims=True)
        normalized = centred / np.sqrt(states.var(-1, keepdims=True) + 1e-5)
        return normalized * weights["h.0.ln_1.weight"] + weights["h.0.ln_1.bias"]

    return head, hidden


@pytest.mark.parametrize(("layer", "head"), [(0, 0), (0, 3), (2, 1), (3, 2)])
def test_float_head_is_transformers_own_attention(embedded, layer, head):
    tokens = [embedded.tokens(sentence)[:8] for sentence in calibration_sentences()[:4]]
    hidden = embedded.hidden_states(tokens, layer)
    caught = []
    projection = embedded.model.transformer.h[layer].attn.c_proj
    hook = projection.register_forward_pre_hook(lambda _m, inputs: caught.append(inputs[0]))
    with torch.no_grad():
        embedded.model(input_ids=torch.tensor(tokens))
    hook.remove()
    theirs = caught[0].numpy()[..., head * 64 : (head + 1) * 64]
    assert np.abs(attend(embedded.head(layer, head), hidden) - theirs).max() < 1e-5


def test_quantized_head_follows_the_float_head(embedded):
    tokens = [embedded.tokens(sentence)[:8] for sentence in calibration_sentences()]
    hidden = embedded.hidden_states(tokens, 3)
    head = embedded.head(3, 1)
    exact = attend(head, hidden)
    correlations = []
    for bits in (4, 6, 8):
        quantized = quantize_reference_heads([head], hidden, bits)
        values = np.stack([attend_quantized(quantized, sentence)[0] for sentence in hidden])
        correlations.append(np.corrcoef(values.ravel(), exact.ravel())[0, 1])
    assert correlations[0] > 0.8
    assert correlations == sorted(correlations)
    assert correlations[-1] > 0.99


@pytest.mark.parametrize("seq_len", [2, 4, 6])
def test_lookups_of_the_embedded_model(seq_len):
    profile = profile_heads(HeadRequest(seq_len=seq_len, bits=4, variant="reference"))
    assert profile.pbs_count == lookups(64, seq_len)


@pytest.mark.parametrize(("seq_len", "published"), [(6, 11_772), (16, 73_472)])
def test_real_gpt2_head_meets_the_published_counts(real_head, seq_len, published):
    """Within 2 % of what the published example compiles to, and every difference has a name."""
    head, hidden_of = real_head
    hidden = hidden_of(seq_len)
    quantized = quantize_reference_heads([head], hidden, 4)
    inputset = [quantized.quantize_input(sentence) for sentence in hidden]
    profile = fhecost.profile_circuit(compile_circuit(quantized.run, inputset))
    assert profile.pbs_count == pytest.approx(published, rel=0.02)
    # The published example quantizes the exponential twice, for the sum and for the product; both
    # lookups have one table, and the reference variant makes it once. Nothing else differs.
    assert published - profile.pbs_count == seq_len**2
    assert profile.pbs_count == lookups(64, seq_len)
    # 8 bits as published; at L=16 the largest of 64 times 16 projections needs one bit more.
    assert profile.max_bit_width <= (8 if seq_len == 6 else 9)


def test_drawn_hidden_states_have_the_scale_of_real_ones(real_head, gpt2_124m):
    """Raw scores of head 0 on drawn states spread like those on GPT-2's own five prompts."""
    head, hidden_of = real_head
    query, key, _ = np.split(hidden_of(6) @ head.weight + head.bias, 3, axis=-1)
    drawn = query @ np.swapaxes(key, -1, -2)
    real = [np.load(gpt2_124m / f"ex{index}.npz")["raw"][0, 0] for index in range(5)]
    mean_magnitude = np.mean([np.abs(scores).mean() for scores in real])
    largest = np.mean([np.abs(scores).max() for scores in real])
    assert np.abs(drawn).mean() == pytest.approx(mean_magnitude, rel=0.15)
    assert np.abs(drawn).max(axis=(1, 2)).mean() == pytest.approx(largest, rel=0.15)


def test_published_counts_are_those_of_the_facts(facts):
    measured = json.loads((facts / "reference_head.json").read_text())["measured_here"]["heads"]
    counts = {(h["seq_len"], h["weights"][:5]): h["pbs"] for h in measured}
    assert counts[6, "GPT-2"] == 11_772
    assert counts[16, "rando"] == 73_472


def decrypts_to_the_clear_head(request):
    compiled = compile_heads(request)
    sentence = compiled.inputset[-1]
    decrypted = compiled.circuit.encrypt_run_decrypt(sentence)
    clear = compiled.heads.run(sentence, ClearOperators())
    assert np.any(clear != 0)
    assert np.array_equal(decrypted, clear)


def test_fhe_run_equals_the_clear_head_bit_for_bit():
    """L=2 at 3 bits, with real keys and ciphertexts."""
    decrypts_to_the_clear_head(HeadRequest(seq_len=2, bits=3, variant="reference"))


@pytest.mark.slow
def test_fhe_run_equals_the_clear_head_bit_for_bit_at_4_bits():
    decrypts_to_the_clear_head(HeadRequest(seq_len=2, bits=4, variant="reference"))


def test_a_head_that_vanishes_is_refused(embedded):
    head = embedded.head(0, 0)
    hidden = embedded.hidden_states([embedded.tokens(calibration_sentences()[0])[:4]], 0)
    tiny_values = head.weight.copy()
    tiny_values[:, 128:] *= 1e-6
    bias = head.bias.copy()
    bias[128:] *= 1e-6
    vanishing = AttentionHead(tiny_values, bias, head.layer_weight_magnitude)
    with pytest.raises(ImpossibleError, match="at 2 bits the head's value is zero"):
        quantize_reference_heads([vanishing], hidden, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bits": 1}, "bits 1: must be from 2 to 8"),
        ({"layer": 4}, "layer 4: the model has layers 0 to 3"),
        ({"heads": (4,)}, "heads 4: the layer has heads 0 to 3"),
        ({"heads": (-1,)}, "heads -1: the layer has heads 0 to 3"),
        ({"seq_len": 257}, "seq_len 257: must be from 2 to 256, the model's context"),
        ({"seq_len": 1}, "seq_len 1: must be from 2"),
        ({"variant": "best"}, "variant best: unknown; there is reference"),
        ({"text": "Too short", "seq_len": 16}, "text: has . tokens, at least 16 are needed"),
        ({"model": "/nowhere"}, "model /nowhere: not a folder"),
    ],
)
def test_a_request_that_doesnt_fit_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        profile_heads(HeadRequest(**change))


def test_a_model_that_is_no_gpt2_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UsageError, match="model_type: must be gpt2, llama, mistral or qwen2"):
        profile_heads(HeadRequest(model=str(tmp_path)))


def test_the_embedded_model_saved_as_a_folder_loads_like_any_hugging_face_model(embedded, tmp_path):
    embedded.model.save_pretrained(tmp_path)
    embedded.tokenizer.save_pretrained(tmp_path)
    again = load_gpt2(find_model(str(tmp_path)))
    text = "The captain said that the wind would change."
    assert again.tokens(text) == embedded.tokens(text)
    states = [m.hidden_states([m.tokens(text)], 2) for m in (embedded, again)]
    assert np.array_equal(*states)
