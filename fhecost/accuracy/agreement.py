"""Agreement of a quantized model with its float model, position by position.

The published example counts a position as kept when the float model's most likely next token is
among the quantized model's k most likely ones; so does this module, with Wilson's interval for how
sure the share is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax
from scipy.stats import binomtest

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

    def interval(self, k: int) -> tuple[float, float]:
        """The 95 % interval of :meth:`share`."""
        return wilson_interval(int(self.kept[TOP_K.index(k)]), self.positions)

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


def compare(float_logits: FloatArray, quantized_logits: FloatArray, tokens: IntArray) -> Agreement:
    """Compare two models on one sentence: logits of shape (L, vocabulary), and its L tokens."""
    best = float_logits.argmax(axis=-1)
    chosen = np.take_along_axis(quantized_logits, best[:, None], axis=-1)
    # The rank of the float top-1 token: how many tokens the quantized model puts before it.
    rank = (quantized_logits > chosen).sum(axis=-1)
    following = tokens[1:]
    return Agreement(
        positions=len(tokens),
        kept=np.array([(rank < k).sum() for k in TOP_K]),
        squared_error=float(((float_logits - quantized_logits) ** 2).mean(axis=-1).sum()),
        predictions=len(following),
        float_loss=_loss(float_logits[:-1], following),
        quantized_loss=_loss(quantized_logits[:-1], following),
    )


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a share (E. B. Wilson, JASA 22, 1927)."""
    low, high = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    return float(low), float(high)


def _loss(logits: FloatArray, targets: IntArray) -> float:
    return -float(np.take_along_axis(log_softmax(logits, axis=-1), targets[:, None], axis=-1).sum())
