"""The weights in a GGUF file under the names that transformers gives them, in float32."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fhecost.errors import UsageError
from fhecost.gpt2.one_line import reason_of
from fhecost.models.model_shape import ModelShape

_ENDS: Mapping[str, str] = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
"""What is there once, by GGUF's name."""

_PARTS: Mapping[str, str] = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""What each layer has."""

Weights = dict[str, npt.NDArray[np.float32]]


def read_gguf_weights(path: Path, kind: str, shape: ModelShape) -> Weights:
    """All weights of the model in ``path``.

    llama.cpp has the rows of a Llama's queries and keys in another order than transformers: those
    that turn together stand side by side. They are put back.

    Args:
        path: the GGUF file.
        kind: its architecture: ``llama``, or ``qwen2``, whose rows are in transformers' order.
        shape: what its metadata say.

    Raises:
        UsageError: it can't be read, or has a tensor that no such model has.
    """
    from gguf import GGUFReader
    from gguf.quants import dequantize

    weights: Weights = {}
    try:
        tensors: list[Any] = GGUFReader(path).tensors
        for tensor in tensors:
            name = _name(tensor.name)
            if name is None:
                raise UsageError(f"{path}: {tensor.name}: no tensor of a {kind}")
            values = np.asarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
            if kind == "llama" and ("q_proj" in name or "k_proj" in name):
                heads = shape.heads if "q_proj" in name else shape.kv_heads
                values = _halves_apart(values, heads)
            weights[name] = np.ascontiguousarray(values)
    except UsageError:
        raise
    except Exception as error:  # whatever a damaged file makes its reader raise
        raise UsageError(f"{path}: not GGUF that can be read: {reason_of(error)}") from error
    return weights


def _name(name: str) -> str | None:
    """What transformers calls the tensor that GGUF calls ``name``."""
    parts = name.split(".")
    if len(parts) == 2 and parts[0] in _ENDS:
        return f"{_ENDS[parts[0]]}.{parts[1]}"
    if len(parts) == 4 and parts[0] == "blk" and parts[2] in _PARTS:
        return f"model.layers.{parts[1]}.{_PARTS[parts[2]]}.{parts[3]}"
    return None


def _halves_apart(values: Any, heads: int) -> Any:
    """Rows of heads, or their biases, in the order in which dimension c turns with c + d/2."""
    pairs = values.reshape(heads, len(values) // heads // 2, 2, *values.shape[1:])
    return np.swapaxes(pairs, 1, 2).reshape(values.shape)
