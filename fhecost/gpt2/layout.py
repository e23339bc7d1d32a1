"""Where the parts of a model are in transformers, by its family; and a head cut out of a layer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fhecost.heads.attention_head import AttentionHead
from fhecost.heads.rotary import Rotary
from fhecost.models.model_shape import Family, ModelShape
from fhecost.models.shape import check_head
from fhecost.quantization import FloatArray


@dataclass(frozen=True)
class Layout:
    """What a family calls the parts of its model.

    ``base`` is the decoder, ``blocks`` its layers; of a block ``attention`` and the ``norm`` before
    it; of the attention ``entering``, which takes what reaches it, and its output ``projection``.
    """

    base: str
    blocks: str
    attention: str
    norm: str
    entering: str
    projection: str

    def decoder_in(self, model: Any) -> Any:
        """The decoder, without what makes logits of its output."""
        return getattr(model, self.base)

    def blocks_in(self, model: Any) -> Sequence[Any]:
        """The layers."""
        blocks: Sequence[Any] = getattr(self.decoder_in(model), self.blocks)
        return blocks

    def attentions_in(self, model: Any) -> list[Any]:
        """The attention of each layer."""
        return [getattr(block, self.attention) for block in self.blocks_in(model)]

    def norm_in(self, model: Any, layer: int) -> Any:
        """The norm before the attention of ``layer``."""
        return getattr(self.blocks_in(model)[layer], self.norm)

    def block_name(self, layer: int) -> str:
        """What the layer's tensors are called."""
        return f"{self.base}.{self.blocks}.{layer}"


LAYOUTS: Mapping[Family, Layout] = {
    "gpt2": Layout("transformer", "h", "attn", "ln_1", "c_attn", "c_proj"),
    "llama": Layout("model", "layers", "self_attn", "input_layernorm", "q_proj", "o_proj"),
}


def layout_of(model: Any) -> Layout:
    """The layout of a model of transformers."""
    return LAYOUTS["gpt2" if model.config.model_type == "gpt2" else "llama"]


def cut_head(model: Any, shape: ModelShape, layer: int, head: int) -> AttentionHead:
    """The float weights of one head of a layer that the model has.

    Raises:
        FieldError: the layer has no such head.
    """
    attention = LAYOUTS[shape.family].attentions_in(model)[layer]
    if shape.family == "gpt2":
        return _of_gpt2(attention, model.config, layer, shape, head)
    return _of_llama(attention, model.model.rotary_emb, shape, head)


def _of_gpt2(
    attention: Any, config: Any, layer: int, shape: ModelShape, head: int
) -> AttentionHead:
    projection, output = attention.c_attn, attention.c_proj
    weight, bias = _array(projection.weight), _array(projection.bias)
    cut = AttentionHead.from_layer(weight, bias, shape.heads, head)
    # ``scale_attn_weights`` and ``scale_attn_by_inverse_layer_idx`` of transformers' GPT-2.
    scale = 1.0 if config.scale_attn_weights else math.sqrt(shape.dimension)
    return replace(
        cut,
        output_weight=_array(output.weight)[_rows(shape, head)],
        output_bias=_array(output.bias),
        score_scale=scale / (layer + 1) if config.scale_attn_by_inverse_layer_idx else scale,
    )


def _of_llama(attention: Any, rotary: Any, shape: ModelShape, head: int) -> AttentionHead:
    """A head of grouped-query attention, with the key and the value that its group shares."""
    check_head(shape.heads, head)
    shared = head // (shape.heads // shape.kv_heads)
    projections = (attention.q_proj, attention.k_proj, attention.v_proj)
    rows = (_rows(shape, head), _rows(shape, shared), _rows(shape, shared))
    output = attention.o_proj
    return AttentionHead(
        weight=np.concatenate(
            [_array(one.weight)[of].T for one, of in zip(projections, rows, strict=True)], axis=1
        ),
        bias=np.concatenate([_bias(one)[of] for one, of in zip(projections, rows, strict=True)]),
        layer_weight_magnitude=max(
            *(_turned_magnitude(_array(one.weight), shape) for one in projections[:2]),
            float(np.abs(_array(attention.v_proj.weight)).max()),
        ),
        output_weight=_array(output.weight)[:, _rows(shape, head)].T,
        output_bias=_bias(output),
        rotary=Rotary(_array(rotary.inv_freq)),
        of_layer=shape.heads,
    )


def _turned_magnitude(weight: FloatArray, shape: ModelShape) -> float:
    """The largest weight that any angle makes of those that turn together."""
    halves = weight.reshape(-1, 2, shape.dimension // 2, shape.width)
    return float(np.hypot(halves[:, 0], halves[:, 1]).max())


def _rows(shape: ModelShape, head: int) -> slice:
    return slice(head * shape.dimension, (head + 1) * shape.dimension)


def _bias(linear: Any) -> FloatArray:
    """The bias of a ``Linear``, which may have none."""
    return np.zeros(linear.weight.shape[0]) if linear.bias is None else _array(linear.bias)


def _array(tensor: Any) -> FloatArray:
    values: FloatArray = tensor.detach().double().numpy()
    return values
