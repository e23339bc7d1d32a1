"""Which tensors a model's files hold, by its family: their names and shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from fhecost.models.llama_configuration import LlamaConfiguration
from fhecost.models.model_shape import ModelShape

Shapes = Mapping[str, tuple[int, ...]]

OUTPUT = "lm_head.weight"
"""The matrix that logits come from where that isn't the embedding."""


@dataclass(frozen=True)
class TensorNames:
    """The tensors of a decoder, ``expected`` by name and shape, without their ``prefix``.

    Names of the decoder's own begin as ``decoder`` matches; ``spare`` are those that older versions
    saved beside the weights. ``embedding`` is that of tokens; there are as many ``layers``.
    """

    layers: int

    prefix: str
    decoder: re.Pattern[str]
    spare: re.Pattern[str]
    embedding: str
    expected: Shapes


def gpt2_tensors(shape: ModelShape) -> TensorNames:
    """Those of a GPT-2, as transformers' ``Conv1D`` stores them: inputs first."""
    width, inner = shape.width, shape.inner
    block: Shapes = {
        "ln_1.weight": (width,),
        "ln_1.bias": (width,),
        "attn.c_attn.weight": (width, 3 * width),
        "attn.c_attn.bias": (3 * width,),
        "attn.c_proj.weight": (width, width),
        "attn.c_proj.bias": (width,),
        "ln_2.weight": (width,),
        "ln_2.bias": (width,),
        "mlp.c_fc.weight": (width, inner),
        "mlp.c_fc.bias": (inner,),
        "mlp.c_proj.weight": (inner, width),
        "mlp.c_proj.bias": (width,),
    }
    return TensorNames(
        layers=shape.layers,
        prefix="transformer.",
        decoder=re.compile(r"(wte|wpe|h|ln_f)\."),
        # Causal masks.
        spare=re.compile(r"h\.\d+\.(attn|crossattention)\.(bias|masked_bias)"),
        embedding="wte.weight",
        expected={
            "wte.weight": (shape.vocabulary, width),
            "wpe.weight": (shape.context, width),
            **_blocks("h", shape.layers, block),
            "ln_f.weight": (width,),
            "ln_f.bias": (width,),
        },
    )


def llama_tensors(configuration: LlamaConfiguration) -> TensorNames:
    """Those of a Llama, Mistral or Qwen2, as torch's ``Linear`` stores them: outputs first."""
    shape, biased = configuration.shape, configuration.attention_bias
    width, inner = shape.width, shape.inner
    queries, values = shape.heads * shape.dimension, shape.kv_heads * shape.dimension
    block: dict[str, tuple[int, ...]] = {
        "input_layernorm.weight": (width,),
        "post_attention_layernorm.weight": (width,),
    }
    for name, outputs, inputs, has_bias in (
        ("self_attn.q_proj", queries, width, biased),
        ("self_attn.k_proj", values, width, biased),
        ("self_attn.v_proj", values, width, biased),
        ("self_attn.o_proj", width, queries, configuration.output_bias),
        ("mlp.gate_proj", inner, width, configuration.mlp_bias),
        ("mlp.up_proj", inner, width, configuration.mlp_bias),
        ("mlp.down_proj", width, inner, configuration.mlp_bias),
    ):
        block[f"{name}.weight"] = (outputs, inputs)
        if has_bias:
            block[f"{name}.bias"] = (outputs,)
    return TensorNames(
        layers=shape.layers,
        prefix="model.",
        decoder=re.compile(r"(embed_tokens|layers|norm)\."),
        # Angles, which the configuration tells.
        spare=re.compile(r"(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq"),
        embedding="embed_tokens.weight",
        expected={
            "embed_tokens.weight": (shape.vocabulary, width),
            **_blocks("layers", shape.layers, block),
            "norm.weight": (width,),
        },
    )


def _blocks(name: str, layers: int, block: Shapes) -> Shapes:
    return {
        f"{name}.{layer}.{part}": dimensions
        for layer in range(layers)
        for part, dimensions in block.items()
    }
