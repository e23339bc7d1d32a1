"""A ``config.json`` of a Llama, Mistral or Qwen2: its sizes, or what makes it another model's.

The three differ in little that counts: Qwen2 has biases where queries, keys and values are made,
Mistral and some Qwen2 attend to a window of the last tokens only, which changes nothing as long as
the text is no longer than it. What changes the layers beyond that is refused by the field's name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as short
from typing import Any

from fhecost.errors import UsageError
from fhecost.models.configuration import ACTIVATIONS
from fhecost.models.model_shape import ModelShape

LLAMA_TYPES: Mapping[str, str] = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2"}
"""By ``model_type``, how transformers' classes of it begin."""

STATIC_ROPE: Mapping[str, tuple[str, ...]] = {
    "default": (),
    "linear": ("factor",),
    "llama3": (
        *("factor", "low_freq_factor", "high_freq_factor"),
        "original_max_position_embeddings",
    ),
}
"""Kinds of rotary positions whose angles are a constant a token, as clear weights need them, and
the numbers that they take."""

_MOST: Mapping[str, int] = {
    "num_hidden_layers": 10**4,
    "num_attention_heads": 2**17,
    "num_key_value_heads": 2**17,
    "head_dim": 2**17,
    "hidden_size": 2**17,
    "intermediate_size": 2**20,
    "vocab_size": 2**24,
    "max_position_embeddings": 2**24,
    "sliding_window": 2**24,
}
"""Far above any decoder; a damaged number beyond would only exhaust the memory."""

_FOREIGN = (
    *("add_cross_attention", "alibi", "attention_chunk_size", "attention_multiplier", "auto_map"),
    *("attention_sink", "clip_qkv", "cross_attention_layers", "embedding_multiplier"),
    *("is_encoder_decoder", "kv_lora_rank", "logits_scaling", "moe_intermediate_size"),
    *("n_routed_experts", "no_rope_layers", "no_rope_layer_interval", "num_experts"),
    *("num_local_experts", "pruned_heads", "q_lora_rank", "qk_layernorm", "qk_norm"),
    *("query_pre_attn_scalar", "residual_multiplier", "rope_interleaved", "use_qk_norm"),
    "use_parallel_residual",
)
"""Fields that none of the three has, unless they say nothing."""

_SOFT_CAPS = ("attn_logit_softcapping", "final_logit_softcapping", "logit_softcapping")

_SWITCHES = ("attention_bias", "mlp_bias", "tie_word_embeddings", "use_sliding_window")


@dataclass(frozen=True)
class LlamaConfiguration:
    """What a configuration says: a model's ``shape``, and which weights it has besides.

    ``attention_bias`` is whether queries, keys and values have one, ``output_bias`` whether the
    projection behind the heads has, ``mlp_bias`` whether the MLP's matrices have; ``tied`` is
    whether logits come from the embedding.
    """

    shape: ModelShape
    attention_bias: bool
    output_bias: bool
    mlp_bias: bool
    tied: bool


def read_llama_configuration(
    path: Path, content: Mapping[str, Any], name: str = "", reference: str = "its config.json"
) -> LlamaConfiguration:
    """What ``content``, the JSON in ``path``, says of a Llama, Mistral or Qwen2 called ``name``.

    Raises:
        UsageError: a size is missing or none, or a field makes it another model's.
    """
    kind = content["model_type"]
    _check_architectures(path, content, LLAMA_TYPES[kind])
    _check_foreign(path, content)
    _check_rope(path, content)
    for field in _SWITCHES:
        if not isinstance(content.get(field, False), bool):
            raise UsageError(f"{path}: {field}: must be true or false, not {short(content[field])}")
    activation = content.get("hidden_act", "silu")
    if not isinstance(activation, str) or activation not in ACTIVATIONS:
        raise UsageError(
            f"{path}: hidden_act: must be a function of one value "
            f"({', '.join(sorted(ACTIVATIONS))}), not {short(activation)}"
        )
    heads, width = _size(path, content, "num_attention_heads"), _size(path, content, "hidden_size")
    # Transformers' own default is as many as heads for Llama, and 8 or 32 for the others.
    own = heads if kind == "llama" else None
    kv_heads = _size(path, content, "num_key_value_heads", own)
    if heads % kv_heads:
        raise UsageError(
            f"{path}: num_key_value_heads: {kv_heads} must divide num_attention_heads, {heads}"
        )
    if content.get("head_dim") is None and width % heads:
        raise UsageError(
            f"{path}: hidden_size: {width} must be a multiple of num_attention_heads, {heads}"
        )
    dimension = _size(path, content, "head_dim", width // heads or None)
    if dimension % 2:
        raise UsageError(f"{path}: head_dim: {dimension} must be even: its halves turn together")
    biased = kind == "llama" and bool(content.get("attention_bias"))
    shape = ModelShape(
        name=name,
        layers=_size(path, content, "num_hidden_layers"),
        heads=heads,
        kv_heads=kv_heads,
        dimension=dimension,
        width=width,
        inner=_size(path, content, "intermediate_size"),
        vocabulary=_size(path, content, "vocab_size"),
        context=_size(path, content, "max_position_embeddings"),
        reference=reference,
        family="llama",
        window=_window(path, content),
    )
    return LlamaConfiguration(
        shape=shape,
        attention_bias=biased or kind == "qwen2",
        output_bias=biased,
        mlp_bias=kind == "llama" and bool(content.get("mlp_bias")),
        tied=bool(content.get("tie_word_embeddings", False)),
    )


def _size(path: Path, content: Mapping[str, Any], name: str, default: int | None = None) -> int:
    value = content.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UsageError(f"{path}: {name}: must be a whole number above 0, not {short(value)}")
    if value > _MOST[name]:
        raise UsageError(
            f"{path}: {name}: {short(value)} is beyond any model's; at most {_MOST[name]}"
        )
    return value


def _check_architectures(path: Path, content: Mapping[str, Any], begin: str) -> None:
    built = content.get("architectures") or []
    for name in built if isinstance(built, list) else [built]:
        if name not in (f"{begin}Model", f"{begin}ForCausalLM", f"{begin}PreTrainedModel"):
            raise UsageError(
                f"{path}: architectures: {short(name)} isn't {begin}ForCausalLM, which its "
                f"model_type {content['model_type']!r} stands for"
            )


def _check_foreign(path: Path, content: Mapping[str, Any]) -> None:
    for name in _FOREIGN:
        if content.get(name):
            raise UsageError(
                f"{path}: {name}: {short(content[name])} makes it another model than "
                f"{LLAMA_TYPES[content['model_type']]}, whose layers are counted"
            )
    for name in _SOFT_CAPS:
        if content.get(name):
            raise UsageError(
                f"{path}: {name}: a soft cap of {short(content[name])} isn't honoured: no head "
                "here computes one"
            )


def _check_rope(path: Path, content: Mapping[str, Any]) -> None:
    """Refuse rotary positions whose angles aren't a constant a token, or aren't said."""
    if content.get("rope_theta") is not None:
        _check_number(path, content, "rope_theta")
    if content.get("partial_rotary_factor") not in (None, 1, 1.0):
        raise UsageError(
            f"{path}: partial_rotary_factor: {short(content['partial_rotary_factor'])} isn't "
            "honoured: all of a head's dimensions turn"
        )
    for name in ("rope_parameters", "rope_scaling"):
        said = content.get(name)
        if said is None:
            continue
        if not isinstance(said, dict):
            raise UsageError(f"{path}: {name}: must be an object, not {short(said)}")
        if of_layers := [each for each in said if each.endswith("_attention")]:
            raise UsageError(
                f"{path}: {name}.{of_layers[0]}: angles of some layers alone aren't honoured"
            )
        kind = said.get("rope_type", said.get("type", "default"))
        if kind not in tuple(STATIC_ROPE):
            raise UsageError(
                f"{path}: {name}: RoPE scaling of the kind {short(kind)} isn't honoured; "
                f"{', '.join(STATIC_ROPE)} are"
            )
        if said.get("partial_rotary_factor") not in (None, 1, 1.0):
            raise UsageError(
                f"{path}: {name}.partial_rotary_factor: isn't honoured: all of a head's dimensions "
                "turn"
            )
        for needed in STATIC_ROPE[kind]:
            _check_number(path, said, needed, f"{name}.")
        if kind == "llama3" and said["high_freq_factor"] <= said["low_freq_factor"]:
            high, low = said["high_freq_factor"], said["low_freq_factor"]
            raise UsageError(
                f"{path}: {name}.high_freq_factor: {high} must be above low_freq_factor, {low}"
            )


def _check_number(path: Path, content: Mapping[str, Any], name: str, inside: str = "") -> None:
    value = content.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise UsageError(f"{path}: {inside}{name}: must be a number above 0, not {short(value)}")


def _window(path: Path, content: Mapping[str, Any]) -> int | None:
    """The tokens beyond which a sliding window bites; None where there is none."""
    kind, kinds = content["model_type"], content.get("layer_types") or []
    slides = kind == "mistral" or (kind == "qwen2" and content.get("use_sliding_window") is True)
    known = ("full_attention", "sliding_attention") if slides else ("full_attention",)
    for each in kinds if isinstance(kinds, list) else [kinds]:
        if each not in known:
            raise UsageError(f"{path}: layer_types: {short(each)} isn't honoured")
    # What a file leaves out is transformers' own default.
    said = {"sliding_window": 4096, **content}
    if not slides or said["sliding_window"] is None:
        return None
    return _size(path, said, "sliding_window")
