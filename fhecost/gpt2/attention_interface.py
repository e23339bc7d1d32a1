"""Let transformers compute chosen heads of one layer by other means than floating point.

transformers looks up its attention function by name. The one registered here computes all heads
of every layer as ``sdpa`` does; in the layer that is told to, it then replaces the chosen heads by
what ``replace`` makes of the layer's normalized hidden states. All else of the model stays as is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fhecost.errors import UsageError
from fhecost.gpt2.layout import layout_of
from fhecost.quantization import FloatArray

NAME = "fhecost"
_REPLACEMENT = "fhecost_replacement"

Replace = Callable[[FloatArray], FloatArray]
"""From hidden states of one sentence, (L, E), to the values of the chosen heads, (heads, L, d).

The hidden states are normalized, and those of real tokens only, in their order."""


def install(
    model: Any, layer: int, heads: tuple[int, ...], replace: Replace, *, projected: bool = False
) -> None:
    """Make ``heads`` of ``layer`` of a causal language model go through ``replace``.

    With ``projected``, ``replace`` returns what the layer's output projection would, (1, L, E).

    Raises:
        UsageError: heads of the layer are replaced already.
    """
    layout = layout_of(model)
    attention = layout.attentions_in(model)[layer]
    if hasattr(attention, _REPLACEMENT):
        raise UsageError(f"layer {layer} of this model has quantized heads already")
    _register()
    others = _replacements(model)
    implementation = others[0][2] if others else model.config._attn_implementation
    state = _Replacement(heads, replace, projected)
    # The projection of queries is the one place that sees what reaches the attention.
    entering, projection = (
        getattr(attention, name) for name in (layout.entering, layout.projection)
    )
    hooks = [
        layout.decoder_in(model).register_forward_pre_hook(_check_length, with_kwargs=True),
        entering.register_forward_pre_hook(lambda _module, inputs: state.keep(inputs[0])),
        projection.register_forward_hook(
            lambda _module, _inputs, output: state.put_projected(output)
        ),
    ]
    setattr(attention, _REPLACEMENT, (state, hooks, implementation))
    model.config.use_cache = False
    model.set_attn_implementation(NAME)


def remove(model: Any, layer: int) -> None:
    """Undo :func:`install`: the layer is in floating point again. Done twice, it does nothing."""
    attention = layout_of(model).attentions_in(model)[layer]
    if not hasattr(attention, _REPLACEMENT):
        return
    _, hooks, implementation = getattr(attention, _REPLACEMENT)
    for hook in hooks:
        hook.remove()
    delattr(attention, _REPLACEMENT)
    if not _replacements(model):
        model.config.use_cache = True
        model.set_attn_implementation(implementation)


@contextmanager
def floating_point(model: Any) -> Iterator[None]:
    """Inside, the model computes all heads in floating point."""
    active = [state for state, _, _ in _replacements(model) if state.active]
    for state in active:
        state.active = False
    try:
        yield
    finally:
        for state in active:
            state.active = True


def _replacements(model: Any) -> list[tuple[_Replacement, list[Any], str]]:
    """What :func:`install` keeps of each layer of ``model``: state, hooks, implementation."""
    return [
        getattr(attention, _REPLACEMENT)
        for attention in layout_of(model).attentions_in(model)
        if hasattr(attention, _REPLACEMENT)
    ]


def _check_length(module: Any, inputs: Any, options: Any) -> None:
    given = inputs[0] if inputs else options.get("input_ids")
    if given is None:
        given = options["inputs_embeds"][..., 0]
    context = module.config.max_position_embeddings
    if given.shape[-1] > context:
        raise UsageError(
            f"the sentence has {given.shape[-1]} tokens, more than the model's context of {context}"
        )


class _Replacement:
    """Which heads of a layer are replaced, by what, and the hidden states of this forward pass."""

    def __init__(self, heads: tuple[int, ...], replace: Replace, projected: bool) -> None:
        self.heads = heads
        self.replace = replace
        self.projected = projected
        self.real: Any = None
        self.active = True
        self.hidden: Any = None

    def keep(self, hidden: Any) -> None:
        self.hidden = hidden

    def put_projected(self, output: Any) -> Any:
        """What the output projection returns, with the quantized one at real tokens."""
        if not self.projected or not self.active:
            return output
        import torch

        output = output.clone()
        for row, real in enumerate(self.real):
            if not real.any():
                continue
            hidden = self.hidden[row][real].detach().double().numpy()
            output[row, real] = torch.from_numpy(self.replace(hidden)[0]).to(output.dtype)
        return output


def _register() -> None:
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, eager_mask

    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, eager_mask)


def _attention(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any
) -> tuple[Any, Any]:
    """Transformers' attention function: shapes (B, heads, L, d); returns (B, L, heads, d)."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    output, weights = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    found = getattr(module, _REPLACEMENT, None)
    if found is None or not found[0].active:
        return output, weights
    _check_whole(query, key)
    found[0].real = _real_tokens(attention_mask, query)
    if module.config.model_type != "gpt2":
        _check_positions(found[0].real, options.get("position_ids"))
    return _with_replaced_heads(found[0], output), None


def _check_whole(query: Any, key: Any) -> None:
    if key.shape[2] != query.shape[2]:
        raise UsageError(
            "quantized heads see whole sentences: run the model with use_cache=False, and without "
            "past_key_values"
        )


def _check_positions(real: Any, positions: Any) -> None:
    """Refuse real tokens, shape (B, L), that don't follow each other one by one.

    GPT-2 has put positions into its hidden states by then; heads that turn count their tokens.
    """
    import torch

    batch, length = real.shape
    if positions is None:
        positions = torch.arange(length)[None]
    for row, places in zip(real, positions.expand(batch, length), strict=True):
        if (places[row].diff() != 1).any():
            raise UsageError(
                "quantized heads with rotary positions take the tokens of a sentence one after the "
                "other: padding goes before or behind them, and position_ids count by one"
            )


def _with_replaced_heads(state: _Replacement, output: Any) -> Any:
    import torch

    if state.projected:
        return output
    output = output.clone()
    for row, real in enumerate(state.real):
        if not real.any():
            continue
        hidden = state.hidden[row][real].detach().double().numpy()
        values = np.ascontiguousarray(state.replace(hidden).transpose(1, 0, 2))
        places = torch.nonzero(real).squeeze(1)[:, None]
        heads = torch.tensor(state.heads)[None, :]
        output[row, places, heads] = torch.from_numpy(values).to(output.dtype)
    return output


def _real_tokens(attention_mask: Any, query: Any) -> Any:
    """True where a token is no padding, shape (B, L).

    The mask is causal and leaves out padding, so its last row allows just the real tokens.

    Raises:
        UsageError: the mask is another, such as that of several sentences in one row.
    """
    import torch

    batch, _, length, _ = query.shape
    if attention_mask is None:
        return torch.ones(batch, length, dtype=torch.bool)
    allowed = attention_mask[:, 0]
    if allowed.dtype != torch.bool:
        allowed = allowed == 0
    allowed = allowed.expand(batch, length, length)
    real = allowed[:, -1]
    expected = torch.ones(length, length, dtype=torch.bool).tril() & real[:, None]
    if not torch.equal(allowed, expected):
        raise UsageError(
            "quantized heads attend to all earlier tokens of a sentence: give each sentence a row "
            "of its own, and padding in an attention mask of shape (rows, tokens)"
        )
    return real
