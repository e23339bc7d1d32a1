"""Llama-shaped models by their shape alone: what is read, what is refused, what is counted."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

import fhecost
from fhecost.closed_form.scopes import ShapeRequest, profile_of_shape
from fhecost.errors import UsageError
from fhecost.models.shape import SHAPES, find_shape
from tests.conftest import ROOT

TIED = ("smollm2", "qwen2.5-0.5b")

PUBLISHED = {
    "smollm2": {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 576,
        "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
        "num_key_value_heads": 3, "vocab_size": 49152, "max_position_embeddings": 8192,
        "attention_bias": False, "mlp_bias": False, "rope_interleaved": False,
        "rope_scaling": None, "rope_theta": 100000, "tie_word_embeddings": True,
    },
    "tinyllama": {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 2048,
        "intermediate_size": 5632, "num_hidden_layers": 22, "num_attention_heads": 32,
        "num_key_value_heads": 4, "vocab_size": 32000, "max_position_embeddings": 2048,
        "attention_bias": False, "rope_scaling": None, "rope_theta": 10000.0,
        "tie_word_embeddings": False, "pretraining_tp": 1,
    },
    "llama-2-7b": {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 4096,
        "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 32, "vocab_size": 32000, "max_position_embeddings": 4096,
        "rope_scaling": None, "tie_word_embeddings": False, "pretraining_tp": 1,
    },
    "llama-3-8b": {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 4096,
        "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 8192,
        "attention_bias": False, "rope_scaling": None, "rope_theta": 500000.0,
        "tie_word_embeddings": False,
    },
    "mistral-7b": {
        "model_type": "mistral", "architectures": ["MistralForCausalLM"], "hidden_size": 4096,
        "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "vocab_size": 32000, "max_position_embeddings": 32768,
        "rope_theta": 10000.0, "sliding_window": 4096, "tie_word_embeddings": False,
    },
    "qwen2.5-0.5b": {
        "model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "hidden_size": 896,
        "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14,
        "num_key_value_heads": 2, "vocab_size": 151936, "max_position_embeddings": 32768,
        "max_window_layers": 24, "rope_theta": 1000000.0, "sliding_window": 32768,
        "tie_word_embeddings": True, "use_mrope": False, "use_sliding_window": False,
    },
}  # fmt: skip
"""What the ``config.json`` of each says of its shape, by public copies; see ``SHAPES``."""


LLAMA_31 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}  # fmt: skip
"""The RoPE scaling of Llama 3.1."""


def configuration(tmp_path, **content):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(content))
    return str(path)


def content_of(name, **changed):
    """What a ``config.json`` says of a shape that is known by name."""
    return {**PUBLISHED[name], **changed}


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("smollm2", 134.5e6), ("tinyllama", 1.1e9), ("llama-2-7b", 6.74e9), ("llama-3-8b", 8.03e9),
     ("mistral-7b", 7.24e9), ("qwen2.5-0.5b", 0.494e9)],
)  # fmt: skip
def test_shapes_have_the_published_number_of_parameters(name, parameters):
    shape = SHAPES[name]
    values = shape.kv_heads * shape.dimension
    layer = 2 * shape.width * (shape.width + values) + 3 * shape.width * shape.inner
    norms = 2 * shape.width
    biases = shape.width + 2 * values if name.startswith("qwen2") else 0
    embeddings = (1 if name in TIED else 2) * shape.vocabulary * shape.width
    total = shape.layers * (layer + norms + biases) + shape.width + embeddings
    assert total == pytest.approx(parameters, rel=0.005)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_configuration_gives_the_shape_that_has_its_name(name, tmp_path):
    found = find_shape(configuration(tmp_path, **content_of(name)))
    assert replace(found, name=name, reference=SHAPES[name].reference) == SHAPES[name]


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2"])
def test_transformers_own_configuration_is_read(kind, tmp_path):
    """Its sizes under its names, whatever else a newer version writes beside them."""
    from transformers import AutoConfig

    config = AutoConfig.for_model(
        kind, num_hidden_layers=3, hidden_size=64, intermediate_size=96, vocab_size=100,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512, head_dim=24,
    )  # fmt: skip
    config.save_pretrained(tmp_path)
    shape = find_shape(str(tmp_path))
    sizes = (shape.layers, shape.width, shape.inner, shape.vocabulary, shape.heads, shape.kv_heads)
    assert sizes == (3, 64, 96, 100, 4, 2)
    assert (shape.dimension, shape.context, shape.family) == (24, 512, "llama")
    assert shape.window == (4096 if kind == "mistral" else None)


@pytest.mark.parametrize(
    ("name", "changed", "named"),
    [
        ("smollm2", {"rope_scaling": {"type": "dynamic", "factor": 2.0}},
         "rope_scaling: RoPE scaling of the kind 'dynamic' isn't honoured; default, linear, ll"),
        ("smollm2", {"rope_parameters": {"rope_type": "yarn", "factor": 2.0}},
         "rope_parameters: RoPE scaling of the kind 'yarn' isn't honoured"),
        ("smollm2", {"rope_scaling": {"rope_type": "longrope"}}, "kind 'longrope' isn't honoured"),
        ("smollm2", {"rope_scaling": "linear"}, "rope_scaling: must be an object, not 'linear'"),
        ("smollm2", {"rope_scaling": {"type": "linear"}}, "rope_scaling.factor: must be a number"),
        ("llama-3-8b", {"rope_scaling": {**LLAMA_31, "low_freq_factor": None}},
         "rope_scaling.low_freq_factor: must be a number above 0, not None"),
        ("llama-3-8b", {"rope_scaling": {**LLAMA_31, "high_freq_factor": 1.0}},
         "rope_scaling.high_freq_factor: 1.0 must be above low_freq_factor, 1.0"),
        ("smollm2", {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.25}},
         "rope_parameters.partial_rotary_factor: isn't honoured"),
        ("smollm2", {"rope_parameters": {"sliding_attention": {"rope_type": "default"}}},
         "rope_parameters.sliding_attention: angles of some layers alone aren't honoured"),
        ("smollm2", {"rope_theta": "big"}, "rope_theta: must be a number above 0, not 'big'"),
        ("smollm2", {"rope_interleaved": True}, "rope_interleaved: True makes it another model"),
        ("smollm2", {"partial_rotary_factor": 0.5}, "partial_rotary_factor: 0.5 isn't honoured"),
        ("smollm2", {"attn_logit_softcapping": 50.0},
         "attn_logit_softcapping: a soft cap of 50.0 isn't honoured"),
        ("smollm2", {"final_logit_softcapping": 30.0}, "final_logit_softcapping: a soft cap of 30"),
        ("smollm2", {"num_key_value_heads": 4}, "num_key_value_heads: 4 must divide num_att"),
        ("smollm2", {"num_key_value_heads": "three"}, "num_key_value_heads: must be a whole num"),
        ("smollm2", {"hidden_size": 577}, "hidden_size: 577 must be a multiple of num_attention"),
        ("smollm2", {"head_dim": 63}, "head_dim: 63 must be even"),
        ("smollm2", {"intermediate_size": None}, "intermediate_size: must be a whole number abo"),
        ("smollm2", {"vocab_size": 2**30}, "vocab_size: 1073741824 is beyond any model's"),
        ("smollm2", {"hidden_act": "swiglu"}, "hidden_act: must be a function of one value"),
        ("smollm2", {"num_local_experts": 8}, "num_local_experts: 8 makes it another model than L"),
        ("smollm2", {"auto_map": {"AutoModel": "x.Y"}}, "auto_map: .* makes it another model"),
        ("smollm2", {"architectures": ["MixtralForCausalLM"]}, "architectures: 'MixtralForCausal"),
        ("smollm2", {"attention_bias": "no"}, "attention_bias: must be true or false, not 'no'"),
        ("smollm2", {"layer_types": ["sliding_attention"]}, "layer_types: 'sliding_attention' isn"),
        ("qwen2.5-0.5b", {"layer_types": ["linear_attention"]}, "layer_types: 'linear_attention'"),
        ("qwen2.5-0.5b", {"layer_types": ["sliding_attention"]}, "layer_types: 'sliding_attention"),
        ("qwen2.5-0.5b", {"use_sliding_window": True, "sliding_window": "all"},
         "sliding_window: must be a whole number above 0, not 'all'"),
        ("qwen2.5-0.5b", {"tie_word_embeddings": 1}, "tie_word_embeddings: must be true or false"),
        ("mistral-7b", {"sliding_window": 0}, "sliding_window: must be a whole number above 0"),
    ],
)  # fmt: skip
def test_what_is_not_honoured_is_refused_by_name(name, changed, named, tmp_path):
    path = configuration(tmp_path, **content_of(name, **changed))
    with pytest.raises(UsageError, match=named) as refused:
        find_shape(path)
    assert str(refused.value).startswith(path)


@pytest.mark.parametrize(
    "changed",
    [
        {"rope_scaling": None},
        {"rope_scaling": {"type": "linear", "factor": 2.0}},
        {"rope_scaling": LLAMA_31},
        {"rope_parameters": {**LLAMA_31, "rope_theta": 5e5}},
        {"tie_word_embeddings": True},
        {"attention_bias": True, "mlp_bias": True},
    ],
)
def test_what_changes_no_count_is_read(changed, tmp_path):
    shape = find_shape(configuration(tmp_path, **content_of("llama-3-8b", **changed)))
    assert shape.layers == 32


def test_a_sliding_window_is_refused_where_it_bites(tmp_path):
    request = ShapeRequest(SHAPES["mistral-7b"], "head", 4096, 4, "compact")
    assert profile_of_shape(request).pbs_count > 0
    with pytest.raises(UsageError, match=r"seq_len 4097: beyond the sliding window of mistral-7b"):
        profile_of_shape(replace(request, seq_len=4097))
    # Qwen2 has the field, and doesn't use it unless it says so.
    content = content_of("qwen2.5-0.5b", sliding_window=64, use_sliding_window=False)
    assert find_shape(configuration(tmp_path, **content)).window is None
    used = {**content, "use_sliding_window": True}
    assert find_shape(configuration(tmp_path, **used)).window == 64


def pbs(name, scope, seq_len=16, **changed):
    request = ShapeRequest(replace(SHAPES[name], **changed), scope, seq_len, 4, "compact")
    return profile_of_shape(request).pbs_count


def test_positions_cost_nothing():
    """A head of a Llama's shape is one of GPT-2's: the rotation is in its clear weights."""
    for variant in ("reference", "reference-rounded", "compact", "fast"):
        turned, plain = (
            profile_of_shape(
                ShapeRequest(replace(SHAPES["smollm2"], family=family), "head", 8, 4, variant)
            )
            for family in ("llama", "gpt2")
        )
        assert turned.pbs_count == plain.pbs_count
        assert turned.complexity == plain.complexity
        for operation in ("clear_multiplication", "encrypted_addition", "clear_addition"):
            assert turned.linear_count(operation) == plain.linear_count(operation)


def test_shared_keys_and_values_are_made_once():
    """Their projection, requantization and squares, of two thirds of SmolLM2's heads."""
    shape, seq_len = SHAPES["smollm2"], 16
    stages = {
        stage.name: stage
        for stage in profile_of_shape(ShapeRequest(shape, "block", seq_len, 4)).stages
    }
    each = seq_len * shape.dimension
    assert stages["query.requantize"].pbs_count % (shape.heads * each) == 0
    for part in ("key", "value"):
        assert stages[f"{part}.squares"].pbs_count == shape.kv_heads * each
        assert 3 * stages[f"{part}.requantize"].pbs_count == stages["query.requantize"].pbs_count
        products = stages[part].linear_count("clear_multiplication")
        assert products == shape.kv_heads * each * shape.width
    alone = pbs("smollm2", "block", kv_heads=shape.heads)
    requantized = stages["key.requantize"].pbs_count + stages["value.requantize"].pbs_count
    saved = 2 * (requantized + 2 * shape.kv_heads * each)
    assert alone - pbs("smollm2", "block") == saved


def test_heads_of_a_shape_share_what_their_model_does():
    """Compact ones, whose columns are all there; by Concrete's own doing, see the compiled ones."""
    each, shape = 8 * 64, SHAPES["smollm2"]

    def count(heads, variant="compact"):
        return profile_of_shape(ShapeRequest(shape, "head", 8, 4, variant, heads)).pbs_count

    assert 3 * count(1) - count(3) > 2 * 4 * each
    assert count(9) == 3 * count(3)
    # Two groups of which one would be cut are counted one by one.
    assert count(4) == 4 * count(1)
    assert count(3, "reference") == 3 * count(1, "reference")


def test_a_cached_token_takes_the_keys_that_there_are():
    cached = [
        profile_of_shape(
            ShapeRequest(replace(SHAPES["smollm2"], kv_heads=heads), "cached-token", 101, 4)
        ).description.cached_bytes
        for heads in (3, 9)
    ]
    assert cached[1] == 3 * cached[0]


def test_a_layer_has_the_lookups_that_its_documentation_counts():
    shape, seq_len = SHAPES["smollm2"], 16
    stages = {
        stage.name: stage
        for stage in profile_of_shape(ShapeRequest(shape, "layer", seq_len, 4)).stages
    }
    hidden, inner = seq_len * shape.width, seq_len * shape.inner
    for norm in ("norm1", "norm2"):
        assert f"{norm}.mean" not in stages
        assert stages[f"{norm}.squares"].pbs_count == hidden
        assert stages[f"{norm}.product"].pbs_count == hidden + seq_len
    for name in ("mlp.silu", "mlp.up.requantize", "mlp.product.requantize"):
        assert stages[name].pbs_count == inner * stages[name].depth
    assert stages["mlp.product"].pbs_count == 2 * inner
    assert "mlp.gelu" not in stages


PARTS = {
    "RMSNorm, twice": ("norm1", "norm2"),
    "queries": ("query",),
    "keys and values, with their squares": ("key", "value"),
    "scores": ("scores",),
    "softmax": ("softmax",),
    "weighted values": ("weighted_values", "output"),
    "gate and up, with SiLU": ("mlp.silu", "mlp.up"),
    "their product": ("mlp.product",),
    "attention and MLP to the residual stream": ("attention", "mlp.requantize"),
}
"""What the documentation calls stages that begin so."""


@pytest.mark.parametrize(("name", "column"), [("smollm2", 0), ("llama-3-8b", 2)])
def test_the_documentation_says_what_a_layer_takes(name, column):
    stages = profile_of_shape(ShapeRequest(SHAPES[name], "layer", 16, 4)).stages
    lines = (ROOT / "docs" / "closed_form.md").read_text(encoding="utf-8").splitlines()
    rows = {line.split(" | ")[0][2:]: line.rstrip(" |").split(" | ")[1:] for line in lines}
    for part, begins in PARTS.items():
        of_part = [
            stage.pbs_count
            for stage in stages
            if any(stage.name == one or stage.name.startswith(f"{one}.") for one in begins)
        ]
        assert f"{sum(of_part):,}" == rows[part][column], part
    assert f"{sum(stage.pbs_count for stage in stages):,}" == rows["all"][column]


def test_every_weight_is_multiplied_with_once():
    """Clear multiplications of one token are the model's weights, but for the embedding."""
    shape = SHAPES["smollm2"]
    circuit = profile_of_shape(ShapeRequest(shape, "cached-token", 2, 4))
    stages = ("query", "key", "value", "output_projection", "mlp.gate", "mlp.up", "mlp.down")
    found = sum(
        stage.linear_count("clear_multiplication")
        for stage in circuit.stages
        if stage.name in (*stages, "logits")
    )
    values = shape.kv_heads * shape.dimension
    layer = 2 * shape.width * (shape.width + values) + 3 * shape.width * shape.inner
    assert found == shape.layers * layer + shape.vocabulary * shape.width


def test_a_shape_needs_no_torch():
    code = (
        "import sys\n"
        "from fhecost.cli import main\n"
        "main(['estimate', '--no-compile', '--model', 'llama-3-8b', '--scope', 'cached-token',"
        " '--seq-len', '128'])\n"
        "assert not {'torch', 'concrete', 'transformers'} & set(sys.modules)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "model llama-3-8b" in ran.stdout


def test_a_head_of_its_own_dimension(tmp_path):
    """Heads that don't divide the width, such as Mistral Nemo's."""
    content = content_of("mistral-7b", head_dim=64, num_attention_heads=16, hidden_size=1280)
    shape = find_shape(configuration(tmp_path, **content))
    assert shape.heads * shape.dimension < shape.width
    for scope in ("head", "block", "layer", "model", "cached-token"):
        assert profile_of_shape(ShapeRequest(shape, scope, 8, 4, "compact")).pbs_count > 0
    request = fhecost.PredictedShape(ShapeRequest(shape, "head", 8, 4, "fast"))
    assert fhecost.estimate_circuit(request, hardware=["h100"]).estimates
