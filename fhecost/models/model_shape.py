"""The shape of a decoder-only model: all that counts depend on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Family = Literal["gpt2", "llama"]
"""How a decoder is built: GPT-2 with learned positions, LayerNorm and a plain MLP; Llama, Mistral
and Qwen2 with rotary positions, RMSNorm and a gated MLP."""


@dataclass(frozen=True)
class ModelShape:
    """All that counts depend on of a decoder.

    E = ``width``, d = ``dimension`` of each of ``heads`` heads, which share ``kv_heads`` keys and
    values; ``inner`` is the MLP's width, ``context`` the longest sequence, ``reference`` where the
    shape is from. Beyond ``window`` tokens, if it has one, a head no longer sees all earlier ones.
    """

    name: str
    layers: int
    heads: int
    kv_heads: int
    dimension: int
    width: int
    inner: int
    vocabulary: int
    context: int
    reference: str
    family: Family = "gpt2"
    window: int | None = None
