"""Heads of Llama-shaped models with weights: transformers' own attention, circuits, refusals."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import fhecost
from fhecost.closed_form.requests import profile_of_weights, widths_of
from fhecost.closed_form.scopes import ShapeRequest, profile_of_shape
from fhecost.errors import UsageError
from fhecost.gpt2 import attention_interface
from fhecost.gpt2.head_circuit import HeadRequest, compile_heads
from fhecost.gpt2.hybrid import MultiHeadsQGPT2Model
from fhecost.gpt2.layout import layout_of
from fhecost.gpt2.model import calibration_windows, find_model, load_gpt2
from fhecost.heads.attention_head import AttentionHead, attend
from fhecost.heads.rotary import Rotary, TurnedWeights
from fhecost.heads.variants import variant_named
from tests.conftest import attend_quantized
from tests.llama_folders import KINDS, write_llama
from tests.test_closed_form import operations
from tests.test_hybrid import SENTENCES, logits, padded

torch = pytest.importorskip("torch", reason="needs the extra [gpt2]")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """One model of each kind."""
    return {kind: write_llama(tmp_path_factory.mktemp(kind) / kind, kind) for kind in KINDS}


@pytest.fixture(scope="module")
def ids():
    tokenizer = load_gpt2(find_model("embedded")).tokenizer
    return [tokenizer(sentence)["input_ids"] for sentence in SENTENCES]


def attended(model, rows, masks, layer):
    """What reaches the attention of ``layer``, (B, L, E), and what its heads give, (B, L, h, d)."""
    seen, layout = [], layout_of(model.model)
    attention = layout.attentions_in(model.model)[layer]
    hooks = [
        attention.q_proj.register_forward_pre_hook(lambda _, given: seen.append(given[0])),
        attention.o_proj.register_forward_pre_hook(lambda _, given: seen.append(given[0])),
    ]
    try:
        logits(model.model, rows, **masks)
    finally:
        for hook in hooks:
            hook.remove()
    hidden, values = (one.double().numpy() for one in seen)
    return hidden, values.reshape(*values.shape[:2], model.shape.heads, model.shape.dimension)


def assert_agrees(model, rows, masks, layers):
    """Every head of ``layers`` gives what transformers' own does, at each real token."""
    real = masks["attention_mask"].numpy() == 1
    for layer in layers:
        hidden, values = attended(model, rows, masks, layer)
        for head in range(model.shape.heads):
            floats = model.head(layer, head)
            for row, given, wanted in zip(real, hidden, values, strict=True):
                assert np.abs(attend(floats, given[row]) - wanted[row, head]).max() < 1e-5


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_head_gives_what_transformers_does(folders, ids, kind, side):
    """With padding and batches."""
    model = load_gpt2(folders[kind])
    assert_agrees(model, *padded(ids, side), layers=range(3))


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4},
        {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
         "original_max_position_embeddings": 16, "rope_theta": 5e5},
    ],
)  # fmt: skip
def test_scaled_angles_that_are_honoured_are_transformers_own(tmp_path, ids, rope):
    model = load_gpt2(write_llama(tmp_path / "scaled", "llama", rope_parameters=rope))
    assert_agrees(model, *padded(ids, "left"), layers=(1,))


@pytest.mark.parametrize(
    "changed",
    [
        {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False},
        {"head_dim": 16},
        {"num_key_value_heads": 1},
        {"num_key_value_heads": 6},
    ],
)
def test_other_sizes_and_biases_are_taken_along(tmp_path, ids, changed):
    model = load_gpt2(write_llama(tmp_path / "other", "llama", **changed))
    rows, masks = padded(ids, "left")
    assert_agrees(model, rows, masks, layers=(2,))
    # The projection behind the heads too: all heads with it are the layer's own output.
    hidden, _ = attended(model, rows[:1], {"attention_mask": masks["attention_mask"][:1]}, 2)
    heads = [model.head(2, head) for head in range(6)]
    given = sum(attend(one, hidden[0]) @ one.output_weight for one in heads)
    attention = layout_of(model.model).attentions_in(model.model)[2]
    seen = []
    hook = attention.o_proj.register_forward_hook(lambda _, __, output: seen.append(output))
    logits(model.model, rows[:1], attention_mask=masks["attention_mask"][:1])
    hook.remove()
    real = masks["attention_mask"][0].numpy() == 1
    alone = sum(attend(one, hidden[0][real]) @ one.output_weight for one in heads)
    wanted = seen[0][0].double().numpy()[real]
    assert np.abs(alone + heads[0].output_bias - wanted).max() < 1e-4
    assert given.shape == hidden[0].shape


def test_a_score_depends_on_how_far_tokens_are_apart():
    rotary = Rotary(1 / 1e4 ** (np.arange(0, 8, 2) / 8))
    query, key = np.random.default_rng(0).normal(size=(2, 8))

    def score(i, j):
        turned = (rotary.turned(one[None], at)[0] for one, at in ((query, i), (key, j)))
        return np.dot(*turned)

    assert score(3, 1) == pytest.approx(score(13, 11))
    assert abs(score(3, 1) - score(3, 2)) > 1e-3
    each = rotary.matrices(4, 5)
    values = np.random.default_rng(1).normal(size=(4, 8))
    assert np.allclose((values[:, None] @ each)[:, 0], rotary.turned(values, 5))


@pytest.mark.parametrize("variant", ["reference", "reference-rounded", "compact", "fast"])
@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_quantized_heads_come_near_the_float_ones(folders, kind, variant):
    model = load_gpt2(folders[kind])
    heads = [model.head(1, head) for head in (0, 3)]
    hidden = model.hidden_states(calibration_windows(model, 8), 1)
    exact = np.stack([attend(head, hidden) for head in heads], axis=1)
    errors = []
    for bits in (4, 8):
        quantized = variant_named(variant).quantize(heads, hidden, bits)
        given = np.stack([attend_quantized(quantized, one) for one in hidden])
        errors.append(np.sqrt(((given - exact) ** 2).sum() / (exact**2).sum()))
    assert errors[1] < errors[0] / 2
    # The reference masks with the smallest score, which keeps a small weight.
    assert errors[1] < (0.4 if variant.startswith("reference") else 0.1)


def test_rotations_are_those_of_each_token(folders):
    """A head whose angles are left out, or are those of one token before, gives something else."""
    model = load_gpt2(folders["llama"])
    head = model.head(1, 2)
    hidden = model.hidden_states(calibration_windows(model, 8), 1)
    quantized = variant_named("compact").quantize([head], hidden, 8)
    given = np.stack([attend_quantized(quantized, one)[0] for one in hidden])
    exact = attend(head, hidden)
    plain = attend(AttentionHead(head.weight, head.bias, 1.0), hidden)
    assert np.abs(given - exact).mean() < np.abs(given - plain).mean() / 5
    weight = quantized.heads[0].weight
    assert isinstance(weight, TurnedWeights)
    for part in (0, 1):
        whole = weight.of(part, 12)
        # What fewer tokens need, and later ones alone, are parts of what all need.
        assert np.array_equal(weight.of(part, 5), whole[:5])
        assert np.array_equal(weight.of(part, 4, 8), whole[8:])
        assert np.allclose(weight.means(part, 4, 8), weight.means(part, 12)[8:])
        assert not np.array_equal(whole[0], whole[1])


def hybrid(folder, **options):
    return MultiHeadsQGPT2Model.from_pretrained(str(folder), calibration_length=12, **options)


@pytest.mark.parametrize("variant", ["fast", "reference"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_with_quantized_heads(folders, ids, kind, variant):
    """Float where it is told to be, near it where not, and padding changes nothing."""
    model = hybrid(folders[kind], layer=1, heads=(0, 4), variant=variant, n_bits=6)
    floats = load_gpt2(folders[kind]).model
    rows, masks = padded(ids, "left")
    real = masks["attention_mask"].numpy() == 1
    theirs = logits(floats, rows, **masks)
    with attention_interface.floating_point(model.model):
        assert np.abs(logits(model, rows, **masks) - theirs)[real].max() < 1e-4
    batch = logits(model, rows, **masks)
    assert 0 < np.abs(batch - theirs)[real].max() < np.abs(theirs[real]).max()
    for row, sentence in enumerate(ids):
        alone = logits(model, [sentence])[0]
        assert np.abs(batch[row, real[row]] - alone).max() < 1e-4
    # Longer than what it was calibrated on.
    long = [(ids[0] * 6)[:40]]
    assert np.isfinite(logits(model, long)).all()


def test_a_whole_attention_with_its_projection(folders, ids):
    model = hybrid(folders["llama"], layer=1, variant="compact-attention", n_bits=8)
    theirs = logits(load_gpt2(folders["llama"]).model, ids[:1])
    assert 0 < np.abs(logits(model, ids[:1]) - theirs).max() < 0.2 * np.abs(theirs).max()


def test_tokens_apart_are_refused(folders, ids):
    model, sentence = hybrid(folders["llama"], heads=(0,)), ids[0]
    mask = torch.ones(1, len(sentence), dtype=torch.long)
    mask[0, 2] = 0
    with pytest.raises(UsageError, match="rotary positions take the tokens of a sentence one aft"):
        logits(model, [sentence], attention_mask=mask)
    apart = 2 * torch.arange(len(sentence))[None]
    with pytest.raises(UsageError, match="position_ids count by one"):
        logits(model, [sentence], attention_mask=torch.ones_like(mask), position_ids=apart)


def test_quantized_heads_are_saved_and_come_back(folders, ids, tmp_path):
    path = tmp_path / "heads.json"
    for variant in ("reference", "compact", "fast"):
        model = hybrid(folders["qwen2"], layer=2, heads=(1, 5), variant=variant)
        model.save_quantization(path)
        again = hybrid(folders["qwen2"], layer=2, heads=(1, 5), variant=variant, quantization=path)
        assert np.array_equal(logits(model, ids[:1]), logits(again, ids[:1]))


def test_a_mistral_refuses_what_its_window_cuts_off(tmp_path):
    folder = write_llama(tmp_path / "m", "mistral", sliding_window=8)
    with pytest.raises(UsageError, match="seq_len 9: beyond the model's sliding window of 8 tok"):
        profile_of_weights(HeadRequest(str(folder), seq_len=9))
    assert profile_of_weights(HeadRequest(str(folder), seq_len=4, bits=3)).pbs_count > 0


def changed_weights(folder, change):
    path = folder / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda w: w.pop("model.layers.1.self_attn.k_proj.weight"),
         "model.layers.1.self_attn.k_proj.weight: missing; config.json has 3 layers"),
        (lambda w: w.__setitem__("model.layers.0.self_attn.v_proj.weight",
                                 np.zeros((48, 48), np.float32)),
         "v_proj.weight: has the shape (48, 48), by config.json (16, 48)"),
        (lambda w: w.__setitem__("model.layers.0.self_attn.q_proj.bias", np.zeros(48, np.float32)),
         "model.layers.0.self_attn.q_proj.bias: no part of the model that config.json describes"),
        (lambda w: w.__setitem__("model.layers.0.self_attn.q_norm.weight", np.ones(8, np.float32)),
         "model.layers.0.self_attn.q_norm.weight: no part of the model"),
        (lambda w: w["model.norm.weight"].fill(np.nan), "model.norm.weight: 48 of its 48 values"),
    ],
)  # fmt: skip
def test_weights_that_are_no_model_are_refused_by_tensor(tmp_path, change, named):
    folder = write_llama(tmp_path / "model", "llama")
    changed_weights(folder, change)
    with pytest.raises(UsageError) as refused:
        load_gpt2(folder)
    assert named in str(refused.value)


def test_what_a_configuration_says_is_refused_before_loading(tmp_path):
    folder = write_llama(tmp_path / "model", "llama")
    path = folder / "config.json"
    content = json.loads(path.read_text())
    for changed, named in (
        ({"rope_parameters": {"rope_type": "dynamic", "factor": 2}}, "kind 'dynamic' isn't hon"),
        ({"attn_logit_softcapping": 30.0}, "a soft cap of 30.0 isn't honoured"),
        ({"model_type": "gemma"}, "model_type: must be gpt2, llama, mistral or qwen2"),
    ):
        path.write_text(json.dumps({**content, **changed}))
        with pytest.raises(UsageError, match=named):
            load_gpt2(folder)


# Circuits.

FEW = (
    ("llama", "compact", (1,), 3, 3), ("qwen2", "reference", (5,), 2, 3),
    ("llama", "fast", (1,), 2, 3),
)  # fmt: skip
MANY = [
    (kind, variant, heads, seq_len, bits)
    for kind, variant, heads, seq_len, bits in (
        ("llama", "reference", (0,), 3, 3), ("llama", "reference", (1, 2), 2, 3),
        ("llama", "reference", (3,), 4, 4), ("mistral", "reference", (5,), 3, 4),
        ("qwen2", "reference", (2,), 3, 3), ("llama", "reference-rounded", (0,), 3, 4),
        ("qwen2", "reference-rounded", (1,), 4, 4), ("llama", "compact", (0,), 2, 4),
        ("llama", "compact", (0, 1, 5), 3, 3), ("llama", "compact", (2,), 6, 4),
        ("qwen2", "compact", (4,), 4, 5), ("mistral", "compact", (3, 4), 4, 4),
        ("llama", "fast", (0,), 4, 2), ("llama", "fast", (1,), 6, 3),
        ("llama", "fast", (0, 3), 4, 4), ("qwen2", "fast", (5,), 6, 4),
        ("qwen2", "fast", (2, 3), 3, 3), ("mistral", "fast", (0,), 8, 4),
        ("llama", "compact-attention", "all", 2, 3), ("qwen2", "compact-attention", "all", 3, 3),
    )
]  # fmt: skip


def check_counts(folders, kind, variant, heads, seq_len, bits):
    """All counts of every stage of a compiled circuit are those of its closed form."""
    request = HeadRequest(
        str(folders[kind]), layer=1, heads=heads, seq_len=seq_len, bits=bits, variant=variant
    )
    compiled = compile_heads(request).profile()
    found = profile_of_weights(request, use_cache=False)
    expected = {stage.name: operations(stage) for stage in compiled.stages}
    assert {stage.name: operations(stage) for stage in found.stages} == expected
    assert compiled.pbs_count > 0


@pytest.mark.parametrize(("kind", "variant", "heads", "seq_len", "bits"), FEW)
def test_a_compiled_circuit_has_the_counts_of_its_closed_form(
    folders, kind, variant, heads, seq_len, bits
):
    check_counts(folders, kind, variant, heads, seq_len, bits)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "variant", "heads", "seq_len", "bits"), MANY)
def test_many_compiled_circuits_have_the_counts_of_their_closed_forms(
    folders, kind, variant, heads, seq_len, bits
):
    check_counts(folders, kind, variant, heads, seq_len, bits)


@pytest.mark.parametrize("bits", [4, 6])
def test_fast_heads_of_a_group_share_nothing(folders, bits):
    """By shape as by weights, though all columns are kept: each head fits its own."""
    name = str(folders["llama"])

    def by_weights(*heads):
        request = HeadRequest(name, layer=1, heads=heads, seq_len=4, bits=bits, variant="fast")
        return profile_of_weights(request, use_cache=False).pbs_count

    def by_shape(heads):
        request = ShapeRequest(fhecost.find_shape(name), "head", 4, bits, "fast", heads)
        return profile_of_shape(request).pbs_count

    assert by_shape(1) == by_weights(0)
    assert by_shape(3) == by_weights(0, 1, 2) == 3 * by_shape(1)


@pytest.mark.parametrize("variant", ["compact", "reference"])
def test_a_circuit_computes_what_clear_integers_do(folders, variant):
    request = HeadRequest(
        str(folders["llama"]), layer=1, heads=(2,), seq_len=4, bits=3, variant=variant
    )
    made = compile_heads(request)
    for integers in made.inputset[-3:]:
        clear = attend_run(made.heads, integers)
        assert np.array_equal(made.circuit.simulate(integers), clear)


def attend_run(heads, integers):
    from fhecost.heads.operators import ClearOperators

    return heads.run(integers, ClearOperators())


def test_a_folder_of_a_llama_in_every_kind_of_request(folders):
    name = str(folders["llama"])
    assert widths_of(name) == "calibrated"
    assert widths_of(name, "layer") == "stated"
    shape = fhecost.find_shape(name)
    assert (shape.heads, shape.kv_heads, shape.dimension, shape.family) == (6, 2, 8, "llama")
    report = fhecost.measure_accuracy(
        name, layer=1, heads=[0], bits=[4], seq_lens=[8], variant="fast",
        sentences=["The ship left at dawn, and nobody waved from the pier."],
    )  # fmt: skip
    assert report.rows[0].positions > 0
