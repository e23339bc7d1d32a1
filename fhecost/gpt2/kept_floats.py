"""What heads are quantized from, kept in the user's cache folder: then no model is loaded for it.

Loading torch and a model takes seconds, and what calibration takes from them is a megabyte: the
weights of the heads, and what reaches them of the calibration sentences and the text. It is kept to
the bit, and in the order in which it lies in memory, on which the last bit of a product depends.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Literal, Self

import numpy as np

from fhecost.caches import cache_named
from fhecost.circuits.cache import key_of
from fhecost.frozen import Frozen
from fhecost.heads.attention_head import AttentionHead
from fhecost.heads.rotary import Rotary
from fhecost.quantization import FloatArray

MOST_VALUES = 2_000_000
"""Of what is kept of heads: some megabytes. More is made anew each time."""

_PACKAGES = ("numpy", "torch", "transformers")


class KeptArray(Frozen):
    """An array: its values as ``kind``, base64 of them, in the ``order`` that they have."""

    shape: tuple[int, ...]
    kind: Literal["<f4", "<f8"]
    order: Literal["C", "F"]
    values: str

    @classmethod
    def of(cls, array: FloatArray) -> Self:
        """``array``, whose values are those of single precision where these are enough."""
        narrow = array.astype("<f4")
        kind: Literal["<f4", "<f8"] = "<f4" if np.array_equal(narrow, array) else "<f8"
        columns_first = array.ndim > 1 and abs(array.strides[0]) < abs(array.strides[-1])
        order: Literal["C", "F"] = "F" if columns_first else "C"
        data = array.astype(kind).tobytes(order)
        return cls(
            shape=array.shape, kind=kind, order=order, values=base64.b64encode(data).decode()
        )

    def array(self) -> FloatArray:
        """The array in double precision."""
        values = np.frombuffer(base64.b64decode(self.values), self.kind).astype(np.float64)
        return values.reshape(self.shape, order=self.order)


class KeptHead(Frozen):
    """An :class:`AttentionHead`."""

    weight: KeptArray
    bias: KeptArray
    layer_weight_magnitude: float
    output_weight: KeptArray | None
    output_bias: KeptArray | None
    score_scale: float
    frequencies: KeptArray | None
    of_layer: int | None

    @classmethod
    def of(cls, head: AttentionHead) -> Self:
        """``head`` as it is kept."""
        return cls(
            weight=KeptArray.of(head.weight),
            bias=KeptArray.of(head.bias),
            layer_weight_magnitude=head.layer_weight_magnitude,
            output_weight=_kept(head.output_weight),
            output_bias=_kept(head.output_bias),
            score_scale=head.score_scale,
            frequencies=None if head.rotary is None else KeptArray.of(head.rotary.frequencies),
            of_layer=head.of_layer,
        )

    def head(self) -> AttentionHead:
        """The head."""
        turns = _array(self.frequencies)
        return AttentionHead(
            weight=self.weight.array(),
            bias=self.bias.array(),
            layer_weight_magnitude=self.layer_weight_magnitude,
            output_weight=_array(self.output_weight),
            output_bias=_array(self.output_bias),
            score_scale=self.score_scale,
            rotary=None if turns is None else Rotary(turns),
            of_layer=self.of_layer,
        )


class KeptFloats(Frozen):
    """Heads, and what reaches them: calibration sentences (sentences, L, E) and a text (L, E)."""

    heads: tuple[KeptHead, ...]
    calibration: KeptArray
    text: KeptArray


def kept_floats(
    asked: Sequence[str],
) -> tuple[tuple[AttentionHead, ...], FloatArray, FloatArray] | None:
    """The heads, calibration and text that are kept under words that say which; or None."""
    found = cache_named("calibration").get(_key(asked), KeptFloats)
    if found is None:
        return None
    heads = tuple(head.head() for head in found.heads)
    return heads, found.calibration.array(), found.text.array()


def keep_floats(
    asked: Sequence[str],
    heads: Sequence[AttentionHead],
    calibration: FloatArray,
    text: FloatArray,
) -> None:
    """Keep what heads are quantized from under words that say which, unless that is too much."""
    values = calibration.size + text.size + sum(2 * head.weight.size for head in heads)
    if values > MOST_VALUES:
        return
    kept = KeptFloats(
        heads=tuple(map(KeptHead.of, heads)),
        calibration=KeptArray.of(calibration),
        text=KeptArray.of(text),
    )
    cache_named("calibration").put(_key(asked), kept)


def _key(asked: Sequence[str]) -> str:
    return key_of({"floats": "\n".join(asked)}, _PACKAGES)


def _kept(array: FloatArray | None) -> KeptArray | None:
    return None if array is None else KeptArray.of(array)


def _array(kept: KeptArray | None) -> FloatArray | None:
    return None if kept is None else kept.array()
