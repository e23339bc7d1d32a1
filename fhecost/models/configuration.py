"""A ``config.json``: a GPT-2's sizes under one spelling each, or what makes it another model's.

Files in the wild spell sizes in several ways, leave out what is GPT-2's default, and say
``gpt2`` of models that are none. A size is taken where its meaning is clear; where it isn't, the
field that makes it unclear is named, since any other model's layers would be counted wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from reprlib import repr as short
from typing import Any, NamedTuple

from fhecost.errors import UsageError
from fhecost.files import read_json

SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "n_layer": ("num_hidden_layers", "num_layers", "n_layers"),
    "n_head": ("num_attention_heads", "num_heads", "n_heads"),
    "n_embd": ("hidden_size", "d_model"),
    "n_inner": ("intermediate_size", "ffn_dim"),
    "vocab_size": ("n_vocab",),
    "n_positions": ("n_ctx", "max_position_embeddings"),
}
"""What GPT-2 calls a size, and what else it is called."""

DEFAULTS: Mapping[str, int | None] = {
    "n_layer": 12,
    "n_head": 12,
    "n_embd": 768,
    "n_inner": None,
    "vocab_size": 50257,
    "n_positions": 1024,
}
"""What a file that says ``gpt2`` means by leaving a size out: transformers' ``GPT2Config``."""

_MOST: Mapping[str, int] = {
    "n_layer": 10**4,
    "n_head": 2**17,
    "n_embd": 2**17,
    "n_inner": 2**20,
    "vocab_size": 2**24,
    "n_positions": 2**24,
}
"""Far above any decoder; a damaged number beyond would only exhaust the memory."""

_SWITCHES: Mapping[str, bool] = {
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "reorder_and_upcast_attn": False,
    "tie_word_embeddings": True,
}

_OTHER_FIELDS = frozenset(
    {
        *("model_type", "architectures", "transformers_version", "_name_or_path", "dtype"),
        *("torch_dtype", "use_cache", "bos_token_id", "eos_token_id", "pad_token_id"),
        *("activation_function", "attn_pdrop", "embd_pdrop", "resid_pdrop", "layer_norm_epsilon"),
        *("initializer_range", "summary_type", "summary_use_proj", "summary_activation"),
        *("summary_proj_to_labels", "summary_first_dropout", "add_cross_attention"),
        *("task_specific_params", "n_special", "predict_special_tokens", "gradient_checkpointing"),
    }
)
"""Fields of a GPT-2 besides its sizes and switches."""

_FOREIGN = (
    *("add_cross_attention", "alibi", "attention_head_type", "attention_layers"),
    *("attention_types", "auto_map", "dff", "do_layer_norm_before", "head_dim"),
    *("is_encoder_decoder", "kv_channels", "kv_lora_rank", "layer_types", "multi_query"),
    *("n_experts", "n_head_kv", "n_kv_heads", "n_routed_experts", "new_decoder_architecture"),
    *("num_experts", "num_key_value_heads", "num_kv_heads", "num_local_experts"),
    *("parallel_attn", "partial_rotary_factor", "position_embedding_type", "pruned_heads"),
    *("rope_parameters", "rope_scaling", "rope_theta", "rotary", "rotary_dim"),
    *("rotary_emb_base", "rotary_pct", "sliding_window", "type_vocab_size", "use_mems"),
    *("use_parallel_residual", "window_size", "word_embed_proj_dim"),
)
"""Fields that no GPT-2 has, unless they say nothing or :func:`_harmless` values."""

_ARCHITECTURES = frozenset(
    f"{framework}GPT2{part}"
    for framework in ("", "TF", "Flax")
    for part in (
        *("Model", "LMHeadModel", "DoubleHeadsModel", "ForSequenceClassification"),
        *("ForTokenClassification", "ForQuestionAnswering", "PreTrainedModel"),
    )
)

ACTIVATIONS = frozenset(
    {
        *("gelu", "gelu_10", "gelu_fast", "gelu_new", "gelu_python", "gelu_pytorch_tanh"),
        *("gelu_accurate", "quick_gelu", "relu", "relu6", "silu", "swish", "tanh", "sigmoid"),
        *("mish", "hardswish", "leaky_relu", "relu2"),
    }
)
"""One table lookup a value, as the layer's count has it: no gates, nothing learned."""


class Configuration(NamedTuple):
    """What a GPT-2's ``config.json`` says: its ``content``, sizes under GPT-2's own names.

    ``left_out`` are the sizes, but the MLP's, that it leaves to GPT-2's defaults.
    """

    content: Mapping[str, Any]
    left_out: tuple[str, ...]


def read_configuration(path: Path) -> Configuration:
    """A GPT-2's ``config.json``.

    Sizes that the file leaves out are GPT-2's where it says that it is one.

    Raises:
        UsageError: the file can't be read, or is no GPT-2's; the field is named.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise UsageError(f"{path}: must be an object with n_layer, n_head, n_embd")
    _check_family(path, content)
    sizes = {name: _size(path, content, name) for name in SPELLINGS}
    width, heads = sizes["n_embd"], sizes["n_head"]
    assert width is not None
    assert heads is not None
    if width % heads:
        raise UsageError(f"{path}: n_embd: {width} must be a multiple of n_head, {heads}")
    for name in _FOREIGN:
        value = content.get(name)
        if value and not _harmless(name, value, heads, width // heads):
            raise UsageError(
                f"{path}: {name}: {short(value)} makes it another model than GPT-2, the only one "
                "whose layers are counted"
            )
    _check_values(path, content)
    others = {name for spellings in SPELLINGS.values() for name in spellings}
    kept = {name: value for name, value in content.items() if name not in others}
    left_out = [
        name
        for name, spellings in SPELLINGS.items()
        if name != "n_inner" and not any(each in content for each in (name, *spellings))
    ]
    return Configuration(kept | sizes, tuple(left_out))


def _check_family(path: Path, content: Mapping[str, Any]) -> None:
    kind = content.get("model_type", "gpt2")
    if kind != "gpt2":
        raise UsageError(
            f"{path}: model_type: must be gpt2, llama, mistral or qwen2, not {short(kind)}: layers "
            "of other models aren't counted"
        )
    built = content.get("architectures") or []
    for name in built if isinstance(built, list) else [built]:
        if not isinstance(name, str) or name not in _ARCHITECTURES:
            raise UsageError(
                f"{path}: architectures: {short(name)} is none of transformers' GPT-2 models, such "
                "as GPT2LMHeadModel"
            )
    if "model_type" in content:
        return
    own = {*SPELLINGS, *_SWITCHES, *_OTHER_FIELDS}
    own.update(name for spellings in SPELLINGS.values() for name in spellings)
    strange = sorted(set(content) - own)
    if strange:
        raise UsageError(
            f"{path}: model_type: missing, and GPT-2 has no field {short(strange[0])}; if it "
            'is one nevertheless, add "model_type": "gpt2"'
        )


def _size(path: Path, content: Mapping[str, Any], name: str) -> int | None:
    """The size called ``name``, under whichever of its spellings.

    Raises:
        UsageError: two spellings disagree, the number is none, or there is none.
    """
    others = [each for each in SPELLINGS[name] if content.get(each) is not None]
    given = [name, *others] if name in content else others
    if not given:
        # What is left out is GPT-2's own only in a file that says that it is one.
        if name == "n_inner" or "model_type" in content or content.get("architectures"):
            return DEFAULTS[name]
        raise UsageError(
            f'{path}: {name}: missing; it has a default where model_type says "gpt2", and else '
            "must be a whole number above 0"
        )
    if name == "n_inner" and content.get(name) is None:
        # Four times the width, unless it is said under another name.
        given = others
        if not given:
            return None
    for each in given:
        value = content[each]
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise UsageError(f"{path}: {each}: must be a whole number above 0, not {short(value)}")
        if value > _MOST[name]:
            raise UsageError(
                f"{path}: {each}: {short(value)} is beyond any model's; at most {_MOST[name]}"
            )
        if value != content[given[0]]:
            raise UsageError(
                f"{path}: {each}: {value} isn't the {content[given[0]]} of {given[0]}, which is "
                "another word for it; leave one out"
            )
    size: int = content[given[0]]
    return size


def _harmless(name: str, value: Any, heads: int, dimension: int) -> bool:
    """Whether a field of other models says of this one what is so in GPT-2."""
    usual: Mapping[str, tuple[Any, ...]] = {
        "num_key_value_heads": (heads,),
        "num_kv_heads": (heads,),
        "n_kv_heads": (heads,),
        "n_head_kv": (heads,),
        "head_dim": (dimension,),
        "attention_head_type": ("multihead",),
        "position_embedding_type": ("absolute", "learned_absolute"),
        "do_layer_norm_before": (True,),
        "rotary_pct": (0,),
    }
    return value in usual.get(name, ())


def _check_values(path: Path, content: Mapping[str, Any]) -> None:
    for name, default in _SWITCHES.items():
        if not isinstance(content.get(name, default), bool):
            raise UsageError(f"{path}: {name}: must be true or false, not {short(content[name])}")
    activation = content.get("activation_function", "gelu_new")
    if not isinstance(activation, str) or activation not in ACTIVATIONS:
        known = ", ".join(sorted(ACTIVATIONS))
        raise UsageError(
            f"{path}: activation_function: must be a function of one value ({known}), not "
            f"{short(activation)}"
        )
