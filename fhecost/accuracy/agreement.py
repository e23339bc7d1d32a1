"""Agreement of a quantized model with its float model, position by position.

The published example counts a position as kept when the float model's most likely next token is
among the quantized model's k most likely ones; so does this module.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from fhecost.accuracy.intervals import ratio_interval, share_interval
from fhecost.quantization import FloatArray, IntArray

TOP_K = (1, 5, 10)


@dataclass(frozen=True)
class Agreement:
    """Sums over positions, so that parts of a text add up to the whole.

    ``kept`` counts positions by k in the order of ``TOP_K``; ``squared_error`` sums the mean
    squared difference of a position's logits; the losses are sums of cross-entropies in nats over
    the ``predictions`` positions whose next token is known.
    """

    positions: int
    kept: IntArray
    squared_error: float
    predictions: int
    float_loss: float
    quantized_loss: float

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(**{name: one + getattr(other, name) for name, one in vars(self).items()})

    def share(self, k: int) -> float:
        """Share of positions whose float top-1 token is among the quantized top ``k``."""
        return float(self.kept[TOP_K.index(k)] / self.positions)

    @property
    def logit_rmse(self) -> float:
        """Root mean squared difference of the logits."""
        return math.sqrt(self.squared_error / self.positions)

    @property
    def float_perplexity(self) -> float:
        """Perplexity of the float model on the text."""
        return math.exp(self.float_loss / self.predictions)

    @property
    def quantized_perplexity(self) -> float:
        """Perplexity of the quantized model on the text."""
        return math.exp(self.quantized_loss / self.predictions)

    @property
    def perplexity_ratio(self) -> float:
        """The quantized model's perplexity over the float model's."""
        return math.exp((self.quantized_loss - self.float_loss) / self.predictions)


@dataclass(frozen=True)
class Said:
    """What a model says of a sentence of L tokens.

    ``best`` are its most likely next tokens, shape (L,); ``loss`` is the sum of cross-entropies of
    those that really follow, in nats.
    """

    best: IntArray
    loss: float

    @classmethod
    def by(cls, logits: FloatArray, tokens: IntArray) -> Said:
        """By logits of shape (L, vocabulary) on the L ``tokens``."""
        return cls(logits.argmax(axis=-1), _loss(logits[:-1], tokens[1:]))


def compare(said: Said, logits: FloatArray, tokens: IntArray, squared_error: float) -> Agreement:
    """What ``logits``, shape (L, vocabulary), on L tokens keep of what the float model ``said``.

    ``squared_error`` is the sum over positions of the mean squared difference of both's logits.
    """
    chosen = np.take_along_axis(logits, said.best[:, None], axis=-1)
    # The rank of the float top-1 token: how many tokens the quantized model puts before it.
    rank = np.count_nonzero(logits > chosen, axis=-1)
    return Agreement(
        positions=len(tokens),
        kept=np.array([(rank < k).sum() for k in TOP_K]),
        squared_error=squared_error,
        predictions=len(tokens) - 1,
        float_loss=said.loss,
        quantized_loss=_loss(logits[:-1], tokens[1:]),
    )


def figures(sentences: Sequence[Agreement]) -> dict[str, Any]:
    """What sentences come to, by the names of a row, with intervals that know of the sentences."""
    whole = reduce(add, sentences)
    positions = [one.positions for one in sentences]
    found: dict[str, Any] = {"sentences": len(sentences), "positions": whole.positions}
    for place, k in enumerate(TOP_K):
        low, high = share_interval([int(one.kept[place]) for one in sentences], positions)
        found |= {f"top{k}": whole.share(k), f"top{k}_low": low, f"top{k}_high": high}
    found["logit_rmse"] = whole.logit_rmse
    error = ratio_interval([one.squared_error for one in sentences], positions)
    if error is not None:
        low, high = error
        found |= {"logit_rmse_low": math.sqrt(max(0.0, low)), "logit_rmse_high": math.sqrt(high)}
    found["float_perplexity"] = whole.float_perplexity
    found["quantized_perplexity"] = whole.quantized_perplexity
    found["perplexity_ratio"] = whole.perplexity_ratio
    more = [one.quantized_loss - one.float_loss for one in sentences]
    ratio = ratio_interval(more, [one.predictions for one in sentences])
    if ratio is not None:
        low, high = map(math.exp, ratio)
        found |= {"perplexity_ratio_low": low, "perplexity_ratio_high": high}
    return found


def _loss(logits: FloatArray, targets: IntArray) -> float:
    wanted = np.take_along_axis(logits, targets[:, None], axis=-1)[:, 0]
    most = logits.max(axis=-1)
    # Shifted, no exponential overflows, and the largest is one.
    sums = np.exp(logits - most[:, None]).sum(axis=-1, dtype=np.float64)
    return float((most + np.log(sums) - wanted).sum(dtype=np.float64))
