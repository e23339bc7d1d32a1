"""What accuracy compares with, and what all rows of a text share: computed once and kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from fhecost.accuracy.agreement import Agreement, Said, compare
from fhecost.gpt2.model import GPT2, calibration_windows, find_model, load_gpt2, sentence_windows
from fhecost.gpt2.some_layers import Entering, logits_of
from fhecost.quantization import FloatArray, IntArray


@lru_cache(maxsize=1)
def loaded_model(name: str) -> GPT2:
    """The model called ``name``, loaded once."""
    return load_gpt2(find_model(name))


@dataclass
class Windows:
    """Windows of tokens, and what enters a layer on them in floating point.

    Of all layers the last that was asked for is kept: a later one goes on from it.
    """

    gpt2: GPT2
    tokens: IntArray
    _reached: Entering = field(init=False)

    def __post_init__(self) -> None:
        self._reached = Entering(self.tokens)

    def entering(self, layer: int) -> Entering:
        """What enters ``layer``."""
        known = self._reached if self._reached.layer <= layer else Entering(self.tokens)
        self._reached = known.through(self.gpt2, layer)
        return self._reached


@lru_cache(maxsize=4)
def judged_windows(name: str, sentences: tuple[str, ...], seq_len: int) -> Windows:
    """A window of ``seq_len`` tokens for each of ``sentences``."""
    gpt2 = loaded_model(name)
    return Windows(gpt2, np.asarray(sentence_windows(gpt2, sentences, seq_len)))


@lru_cache(maxsize=4)
def windows_of_calibration(name: str, seq_len: int) -> Windows:
    """The windows of ``seq_len`` tokens that heads are calibrated on."""
    gpt2 = loaded_model(name)
    return Windows(gpt2, np.asarray(calibration_windows(gpt2, seq_len)))


@dataclass(frozen=True)
class FloatSide:
    """What the float model says of windows.

    ``final`` is what its head takes, shape (windows, L, E), ``said`` what that makes of it;
    ``moments`` are those of its weights, shape (E, E): the mean over the vocabulary of the squared
    difference of two logits is a form of the difference of what the head takes.
    """

    gpt2: GPT2
    tokens: IntArray
    final: FloatArray
    said: tuple[Said, ...]
    moments: FloatArray

    def agreements(self, final: FloatArray) -> Iterator[Agreement]:
        """What another model keeps of each window, whose head takes ``final``."""
        for tokens, said, mine, other in zip(
            self.tokens, self.said, self.final, final, strict=True
        ):
            off = other.astype(np.float64) - mine
            squared_error = float(np.einsum("le,ef,lf->", off, self.moments, off, optimize=True))
            yield compare(said, logits_of(self.gpt2, other), tokens, max(0.0, squared_error))


@lru_cache(maxsize=4)
def float_side(name: str, sentences: tuple[str, ...], seq_len: int) -> FloatSide:
    """The float model on windows of ``seq_len`` tokens of ``sentences``."""
    windows = judged_windows(name, sentences, seq_len)
    gpt2, tokens = windows.gpt2, windows.tokens
    final = Entering(tokens).final(gpt2)
    said = tuple(Said.by(logits_of(gpt2, one), of) for one, of in zip(final, tokens, strict=True))
    return FloatSide(gpt2, tokens, final, said, _moments(gpt2.model.get_output_embeddings()))


def _moments(linear: Any) -> FloatArray:
    """Of the rows of a ``Linear`` without bias, shape (E, E)."""
    weight: FloatArray = linear.weight.detach().double().numpy()
    moments: FloatArray = weight.T @ weight / len(weight)
    return moments
