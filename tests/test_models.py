"""Models in folders and repositories: what is read of them, and what is refused by name."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import fhecost
from fhecost.closed_form.requests import profile_of_weights, widths_of
from fhecost.closed_form.scopes import profile_of_shape
from fhecost.errors import UsageError
from fhecost.gpt2 import model as gpt2_model
from fhecost.gpt2.head_circuit import HeadRequest
from fhecost.gpt2.model import calibration_windows, find_model, load_gpt2
from fhecost.heads.attention_head import attend
from fhecost.heads.variants import variant_named
from fhecost.models.llama_configuration import LLAMA_TYPES
from fhecost.models.shape import find_shape
from tests.conftest import attend_quantized
from tests.damaged_models import SMALL, small_weights, write_folder

SENTENCE = " The captain said that the wind would change."
EMBEDDED = Path(gpt2_model.find_model("embedded"))


@pytest.fixture(scope="module")
def embedded():
    return load_gpt2(EMBEDDED)


@pytest.fixture
def embedded_copy(tmp_path):
    """The embedded model as a folder, with its tensors under names that ``rename`` gives."""

    def copy(rename=lambda name: name, **changed):
        folder = shutil.copytree(EMBEDDED, tmp_path / "copy")
        weights = load_file(folder / "model.safetensors")
        save_file({rename(name): w for name, w in weights.items()}, folder / "model.safetensors")
        content = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**content, **changed}))
        return folder

    return copy


def configuration(tmp_path, **content):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(content))
    return str(path)


@pytest.mark.parametrize(
    "rename", [lambda name: name, lambda name: name.removeprefix("transformer.")]
)
def test_a_folder_with_either_prefix_gives_the_embedded_models_numbers(
    embedded, embedded_copy, rename
):
    """``GPT2LMHeadModel`` saves the prefix, ``GPT2Model`` doesn't."""
    folder = embedded_copy(rename)
    again = load_gpt2(find_model(str(folder)))
    tokens = again.tokens(SENTENCE)
    assert tokens == embedded.tokens(SENTENCE)
    for layer in range(4):
        states = [model.hidden_states([tokens], layer) for model in (embedded, again)]
        assert np.array_equal(*states)
        assert np.array_equal(again.head(layer, 1).weight, embedded.head(layer, 1).weight)
    profiles = [
        profile_of_weights(HeadRequest(model, seq_len=4, bits=4, variant="compact"))
        for model in ("embedded", str(folder))
    ]
    assert profiles[0].stages == profiles[1].stages


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            lambda w: w["transformer.h.1.attn.c_attn.weight"].fill(np.nan),
            "transformer.h.1.attn.c_attn.weight: 768 of its 768 values are infinite or no number",
        ),
        (
            lambda w: w["transformer.ln_f.bias"].__setitem__(3, np.inf),
            "transformer.ln_f.bias: 1 of its 16 values",
        ),
        (
            lambda w: w["transformer.h.1.mlp.c_proj.weight"].fill(3e38),
            "transformer.h.1: its weights are finite, and what it returns isn't",
        ),
        (
            lambda w: w.pop("transformer.h.0.attn.c_attn.weight"),
            "transformer.h.0.attn.c_attn.weight: missing; config.json has 2 layers",
        ),
        (
            lambda w: [w.__setitem__(f"module.{name}", w.pop(name)) for name in list(w)],
            "wte.weight: missing; names begin with transformer. or with nothing, here one is "
            "'module.trans",
        ),
        (
            lambda w: w.__setitem__("transformer.h.2.ln_1.bias", np.zeros(16, np.float32)),
            "model.safetensors: transformer.h.2.ln_1.bias: no part of the model",
        ),
        (
            lambda w: w.__setitem__("transformer.wpe.weight", np.zeros((64, 16), np.float32)),
            r"transformer.wpe.weight: has the shape (64, 16), by config.json (32, 16)",
        ),
        (
            lambda w: w.__setitem__("transformer.ln_f.bias", np.zeros(16, np.int8)),
            "transformer.ln_f.bias: holds I8; weights must be F64, F32, F16, BF16",
        ),
        (
            lambda w: w.__setitem__("wte.weight", w["transformer.wte.weight"].copy()),
            "there is transformer.wte.weight too",
        ),
    ],
)
def test_weights_that_are_no_model_are_refused_by_tensor(tmp_path, change, named):
    weights = small_weights()
    change(weights)
    folder = write_folder(tmp_path / "model", weights=weights)
    with pytest.raises(UsageError) as refused:
        load_gpt2(folder)
    assert str(refused.value).startswith(str(folder))
    assert named in str(refused.value).replace("wte.weight: there is wte", "wte.weight: there is")
    with pytest.raises(UsageError):
        fhecost.measure_accuracy(str(folder), bits=[4], seq_lens=[8], heads=[0])


def test_more_layers_than_the_file_has_are_refused(tmp_path):
    folder = write_folder(tmp_path / "model", {**SMALL, "n_layer": 3})
    with pytest.raises(UsageError, match=r"h\.2\.ln_1\.weight: missing; config.json has 3 layers"):
        load_gpt2(folder)


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("pytorch_model.bin", "pytorch_model.bin: a pickle"),
        ("pytorch_model-00001-of-00002.bin", "of-00002.bin: a pickle"),
        ("model.pt", "model.pt: a pickle"),
        ("tf_model.h5", "tf_model.h5: not a format that is loaded"),
        ("adapter_config.json", "adapter_config.json: adapters aren't applied"),
        (None, "model.safetensors: missing"),
    ],
)
def test_other_files_than_safetensors_are_refused_by_name(tmp_path, name, named):
    folder = write_folder(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    if name:
        (folder / name).write_bytes(b"x")
    with pytest.raises(UsageError, match=named):
        load_gpt2(folder)
    # Without compiling it is the same; only a folder without any weights has a shape alone.
    assert widths_of(str(folder)) == ("calibrated" if name else "stated")


SIZES = {"n_layer": 2, "n_head": 4, "n_embd": 64, "vocab_size": 100, "n_positions": 32}


@pytest.mark.parametrize(
    ("content", "sizes"),
    [
        ({"model_type": "gpt2"}, (12, 12, 768, 3072, 50257, 1024)),
        ({"architectures": ["GPT2LMHeadModel"]}, (12, 12, 768, 3072, 50257, 1024)),
        ({"model_type": "gpt2", "n_layer": 6}, (6, 12, 768, 3072, 50257, 1024)),
        ({"model_type": "gpt2", "n_ctx": 2048}, (12, 12, 768, 3072, 50257, 2048)),
        ({"model_type": "gpt2", "n_inner": 100}, (12, 12, 768, 100, 50257, 1024)),
        (
            {"model_type": "gpt2", "hidden_size": 64, "num_attention_heads": 2},
            (12, 2, 64, 256, 50257, 1024),
        ),
        ({"model_type": "gpt2", "num_hidden_layers": 3}, (3, 12, 768, 3072, 50257, 1024)),
        (SIZES, (2, 4, 64, 256, 100, 32)),
        # OpenAI's own hparams.json.
        (
            {"n_vocab": 50257, "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12},
            (12, 12, 768, 3072, 50257, 1024),
        ),
    ],
)
def test_sizes_are_read_under_every_clear_spelling(tmp_path, content, sizes):
    shape = find_shape(configuration(tmp_path, **content))
    assert sizes == (
        *(shape.layers, shape.heads, shape.width, shape.inner, shape.vocabulary, shape.context),
    )
    gpt2 = replace(find_shape("gpt2"), name=shape.name, reference=shape.reference)
    if content == {"model_type": "gpt2"}:
        assert shape == gpt2
        assert "GPT-2's own n_layer, n_head, n_embd, vocab_size, n_positions" in shape.reference


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"model_type": "gptj"}, "model_type: must be gpt2, llama, mistral or qwen2, not 'gptj'"),
        ({"model_type": None}, "model_type: must be gpt2, llama, mistral or qwen2, not None"),
        ({}, 'n_layer: missing; it has a default where model_type says "gpt2"'),
        ({**SIZES, "rotary_dim": 64}, "model_type: missing, and GPT-2 has no field 'rotary_dim'"),
        ({**SIZES, "multi_query": True}, "GPT-2 has no field 'multi_query'"),
        ({"model_type": "gpt2", "multi_query": True}, "multi_query: True makes it another model"),
        ({"model_type": "gpt2", "num_key_value_heads": 4}, "num_key_value_heads: 4 makes it"),
        ({"model_type": "gpt2", "add_cross_attention": True}, "add_cross_attention: True makes it"),
        ({"model_type": "gpt2", "auto_map": {"AutoModel": "x.Y"}}, "auto_map: .* makes it another"),
        ({"model_type": "gpt2", "architectures": ["GPT2LMHeadCustomModel"]}, "architectures: "),
        ({"model_type": "gpt2", "n_ctx": 10, "n_positions": 20}, "n_ctx: 10 isn't the 20 of n_pos"),
        ({"model_type": "gpt2", "n_embd": 10**9}, "n_embd: 1000000000 is beyond any model's"),
        ({"model_type": "gpt2", "n_head": True}, "n_head: must be a whole number above 0, not T"),
        ({"model_type": "gpt2", "activation_function": "swiglu"}, "activation_function: must be a"),
        ({"model_type": "gpt2", "scale_attn_weights": "no"}, "scale_attn_weights: must be true or"),
    ],
)
def test_what_makes_a_configuration_another_models_is_named(tmp_path, content, named):
    path = configuration(tmp_path, **content)
    with pytest.raises(UsageError, match=named) as refused:
        find_shape(path)
    assert str(refused.value).startswith(path)


@pytest.mark.parametrize(
    "family", ["gptj", "codegen", "gpt_bigcode", "gpt_neo", "opt", "llama", "mistral", "qwen2"]
)
def test_other_families_are_refused_whatever_they_call_themselves(tmp_path, family):
    """With their own type, unless that is known, without one, and, where a field tells, GPT-2's."""
    from transformers import AutoConfig

    content = json.loads(json.dumps(AutoConfig.for_model(family).to_dict(), default=str))
    own = [{"model_type": family}] if family not in LLAMA_TYPES else []
    for change in (*own, {"model_type": "gpt2"}, None):
        told = {**content, **(change or {})}
        if change is None:
            told.pop("model_type")
        if told.get("model_type") == "gpt2" and family == "gpt_neo":
            told.pop("architectures", None)
        with pytest.raises(UsageError, match=r"model_type|makes it another|architectures"):
            find_shape(configuration(tmp_path, **told))


@pytest.mark.parametrize("switches", [(True, True), (False, False), (False, True)])
def test_heads_scale_scores_as_transformers_does(embedded_copy, switches):
    """``scale_attn_by_inverse_layer_idx`` and ``scale_attn_weights`` are a scale and no more."""
    torch = pytest.importorskip("torch", reason="needs the extra [gpt2]")
    names = ("scale_attn_weights", "scale_attn_by_inverse_layer_idx")
    model = load_gpt2(embedded_copy(**dict(zip(names, switches, strict=True))))
    seen = []
    for layer in (0, 2):
        attention = model.model.transformer.h[layer].attn
        hook = attention.c_proj.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        tokens = [model.tokens(SENTENCE)]
        hidden = model.hidden_states(tokens, layer)[0]
        model.model(torch.tensor(tokens))
        hook.remove()
        expected = seen[-1][0, :, 64:128].detach().double().numpy()
        assert np.allclose(attend(model.head(layer, 1), hidden), expected, atol=1e-5)


@pytest.mark.parametrize("variant", ["reference", "compact"])
def test_quantized_heads_keep_the_scale_of_their_layer(embedded_copy, variant):
    model = load_gpt2(embedded_copy(scale_attn_by_inverse_layer_idx=True))
    head = model.head(2, 1)
    assert head.score_scale == 1 / 3
    hidden = model.hidden_states(calibration_windows(model, 8), 2)
    quantized = variant_named(variant).quantize([head], hidden, 8)
    ran = [attend_quantized(quantized, one)[0] for one in hidden]
    errors = [
        np.sqrt(np.mean((np.stack(ran) - attend(each, hidden)) ** 2))
        for each in (head, replace(head, score_scale=1.0))
    ]
    assert 2 * errors[0] < errors[1]


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    folder = write_folder(tmp_path / "model")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(UsageError, match=r"vocab\.json: missing; a tokenizer is tokenizer\.json"):
        load_gpt2(folder)


def test_a_tokenizer_of_another_model_is_refused_by_its_token(tmp_path):
    weights = small_weights()
    weights["transformer.wte.weight"] = weights["transformer.wte.weight"][:4000].copy()
    folder = write_folder(tmp_path / "model", {**SMALL, "vocab_size": 4000}, weights)
    with pytest.raises(UsageError, match="token 'arecr', 4095, isn't among the 4000 of vocab_size"):
        load_gpt2(folder)


def test_a_token_that_was_added_matters_only_where_a_text_holds_it(tmp_path, embedded):
    folder = write_folder(tmp_path / "model")
    content = json.loads((folder / "tokenizer.json").read_text())
    added = {**content["added_tokens"][0], "id": 4096, "content": "<pad>"}
    content["added_tokens"].append(added)
    (folder / "tokenizer.json").write_text(json.dumps(content))
    model = load_gpt2(folder)
    assert model.tokens(SENTENCE) == embedded.tokens(SENTENCE)
    with pytest.raises(UsageError, match="token '<pad>', 4096, beyond the 4096"):
        model.tokens("a <pad> b")


def test_stated_widths_never_read_nothing():
    """A head too wide for its widths is refused by what is lost, not by a set of 1 bits."""
    wide = replace(find_shape("gpt2"), width=12 * 10922, dimension=10922)
    request = fhecost.ShapeRequest(wide, "head", 6, 4, "compact")
    with pytest.raises(fhecost.ImpossibleError, match="nothing is left of them"):
        profile_of_shape(request)
