"""Some of a model's layers in a row, from what enters the first of them to what enters another.

What a head changes begins in its own layer: whoever judges many heads computes the layers before
them once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from fhecost.errors import UsageError
from fhecost.gpt2.layout import layout_of
from fhecost.gpt2.model import GPT2, ReachedError, check_states
from fhecost.quantization import FloatArray, IntArray

BATCH = 32
"""Windows that go through the model together."""


@dataclass(frozen=True)
class Entering:
    """What enters ``layer`` of a model on windows of ``tokens``, shape (windows, L).

    ``states`` has shape (windows, L, E), in the model's own precision: what the layers before hand
    on, which no norm has seen. None before layer 0, where it is for the embedding to say.
    """

    tokens: IntArray
    layer: int = 0
    states: Any = None

    def through(self, gpt2: GPT2, layer: int) -> Entering:
        """What enters a ``layer`` from this one on; heads that are replaced go their own way."""
        if layer == self.layer and self.states is not None:
            return self
        reached = [_stopped(gpt2, batch, layer) for batch in self._batches()]
        return Entering(self.tokens, layer, np.concatenate(reached))

    def normalized(self, gpt2: GPT2) -> FloatArray:
        """What reaches the attention of the layer, behind its norm, shape (windows, L, E).

        Raises:
            UsageError: the weights, finite all of them, let it overflow.
        """
        import torch

        if self.states is None:
            return self.through(gpt2, self.layer).normalized(gpt2)
        with torch.no_grad():
            norm = layout_of(gpt2.model).norm_in(gpt2.model, self.layer)
            states: FloatArray = norm(torch.from_numpy(self.states)).double().numpy()
        check_states(gpt2.shape, self.layer, states)
        return states

    def final(self, gpt2: GPT2) -> FloatArray:
        """What the head that makes logits takes, behind all layers, shape (windows, L, E)."""
        return np.concatenate([_finished(gpt2, batch) for batch in self._batches()])

    def _batches(self) -> Iterator[Entering]:
        for start in range(0, len(self.tokens), BATCH):
            part = slice(start, start + BATCH)
            states = None if self.states is None else self.states[part]
            yield Entering(self.tokens[part], self.layer, states)


def logits_of(gpt2: GPT2, final: FloatArray) -> FloatArray:
    """Logits of what came out behind all layers, shape (..., E) to (..., vocabulary).

    Raises:
        UsageError: the model's weights let them overflow.
    """
    import torch

    with torch.no_grad():
        logits: FloatArray = gpt2.model.get_output_embeddings()(torch.from_numpy(final)).numpy()
    if not np.isfinite(logits).all():
        raise UsageError("model: its logits are infinite or no number: weights overflow float32")
    return logits


def _stopped(gpt2: GPT2, entering: Entering, layer: int) -> FloatArray:
    """The states that enter ``layer``."""
    caught: list[Any] = []

    def catch(states: Any) -> None:
        caught.append(states)
        raise ReachedError

    with _only(gpt2, entering, layer + 1, catch), suppress(ReachedError):
        _forward(gpt2, entering)
    states: FloatArray = caught[0].numpy()
    return states


def _finished(gpt2: GPT2, entering: Entering) -> FloatArray:
    with _only(gpt2, entering, gpt2.shape.layers):
        states: FloatArray = _forward(gpt2, entering).last_hidden_state.numpy()
    return states


def _forward(gpt2: GPT2, entering: Entering) -> Any:
    import torch

    with torch.no_grad():
        decoder = layout_of(gpt2.model).decoder_in(gpt2.model)
        return decoder(input_ids=torch.from_numpy(entering.tokens), use_cache=False)


@contextmanager
def _only(
    gpt2: GPT2, entering: Entering, end: int, catch: Callable[[Any], None] | None = None
) -> Iterator[None]:
    """Inside, the model has the layers from that of ``entering`` to ``end`` alone.

    They begin with its states; ``catch`` sees those that enter the last one.
    """
    import torch

    layout = layout_of(gpt2.model)
    decoder = layout.decoder_in(gpt2.model)
    blocks: Any = layout.blocks_in(gpt2.model)

    def put(_module: Any, inputs: Any) -> Any:
        return (torch.from_numpy(entering.states), *inputs[1:])

    hooks = []
    if entering.states is not None:
        hooks.append(blocks[entering.layer].register_forward_pre_hook(put))
    if catch is not None:
        hooks.append(blocks[end - 1].register_forward_pre_hook(lambda _, inputs: catch(inputs[0])))
    setattr(decoder, layout.blocks, blocks[entering.layer : end])
    try:
        yield
    finally:
        setattr(decoder, layout.blocks, blocks)
        for hook in hooks:
            hook.remove()
