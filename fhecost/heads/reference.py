"""The reference variant: the operations of the published example, each stage under its own tag.

One head with its QKV projection, quantized after training. It re-quantizes wherever the published
example does, because that is what makes its cost:

1. the projection's accumulator is re-quantized to the scale at which the bias is added (a lookup a
   value), then query, key and value are re-quantized apart (another lookup a value);
2. products of two ciphertexts are two lookups each: query with key, exponential with the inverse
   of its sum, weights with value, the masked half included;
3. the softmax subtracts a running maximum (L - 1 lookups a row, one after the other);
4. masked scores become the smallest score that calibration saw, since minus infinity has no
   integer: masked positions keep a small weight.

Tensors that are sliced (the projection, the scores) are quantized from zero: Concrete can't compile
a slice without negative values of a tensor that has some, and which slices those are depends on
the data. The offsets are constants: they cost no lookup, and a maximum's offset cancels.

One thing differs: the published example quantizes the exponential twice, with equal results, once
for the sum and once for the product. Here it is quantized once, which saves L^2 lookups.

Lookups: ``4*d*L^2 + 6*L^2 + 6*d*L`` for head dimension d and sequence length L.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fhecost.errors import ImpossibleError
from fhecost.heads.attention_head import AttentionHead, causal_mask
from fhecost.heads.operators import Operators
from fhecost.quantization import FloatArray, IntArray, Quantizer, calibrate, quantizer_for

Tag = Callable[[str], AbstractContextManager[Any]]


def _no_tag(_: str) -> AbstractContextManager[None]:
    return nullcontext()


Widen = Callable[[Any, int], Any]


def _as_it_is(values: Any, _: int) -> Any:
    return values


Read = Callable[[str, Any], Any]
"""What a lookup of a stage reads, from the integers that lie before it."""


def _whole(_: str, values: Any) -> Any:
    return values


def quantized_softmax(
    quantizers: Mapping[str, Quantizer], scores: Any, tag: Tag = _no_tag, read: Read = _whole
) -> Any:
    """Quantized attention weights of quantized scores, both of shape (L, L).

    ``quantizers`` holds those called scores, exponential, inverse and attention_weights; ``read``
    is what lookups read, as in :meth:`ReferenceHead.run`.
    """
    q = quantizers
    with tag("softmax.maximum"):
        maximum = scores[:, :1]
        for column in range(1, scores.shape[1]):
            difference = scores[:, column : column + 1] - maximum
            maximum = maximum + np.maximum(read("softmax.maximum", difference), 0)
    with tag("softmax.subtract"):
        shifted = scores - maximum
    with tag("softmax.exponential"):
        real = q["scores"].dequantize(read("softmax.exponential", shifted))
        # Rounding can go beyond 0, the largest exponent.
        exponential = q["exponential"].quantize(np.exp(np.minimum(real, 0.0)))
    with tag("softmax.sum"):
        total = np.sum(exponential, axis=1, keepdims=True)
    with tag("softmax.inverse"):
        # A row's sum is positive; the lookup's other entries must not divide by zero.
        read_total = q["exponential"].dequantize(read("softmax.inverse", total))
        real_total = np.maximum(read_total, q["exponential"].scale)
        inverse = q["inverse"].quantize(1 / real_total)
    with tag("softmax.product"):
        weights = exponential * inverse
    with tag("softmax.requantize"):
        return q["attention_weights"].quantize(
            read("softmax.requantize", weights) * (q["exponential"].scale * q["inverse"].scale)
        )


@dataclass(frozen=True)
class ReferenceHead:
    """A quantized head; ``run`` works on integer arrays and on what Concrete traces through.

    ``dropped`` holds by stage how many bits its lookups round away before they read; it is empty
    for a head whose lookups read all bits.
    """

    weight: IntArray
    bias: IntArray
    quantizers: dict[str, Quantizer]
    mask_value: float
    seq_len: int
    n_bits: int
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def dimension(self) -> int:
        """d, the head dimension."""
        return int(self.weight.shape[1] // 3)

    def quantize_input(self, hidden: FloatArray) -> IntArray:
        """Integers of normalized hidden states, shape (..., L, E)."""
        integers: IntArray = self.quantizers["input"].quantize(hidden)
        return integers

    def dequantize_output(self, integers: Any) -> FloatArray:
        """Real values of what ``run`` returned, shape (..., L, d)."""
        scale = self.quantizers["attention_weights"].scale * self.quantizers["value"].scale
        return np.asarray(integers, dtype=np.float64) * scale

    def run(
        self, hidden: Any, tag: Tag = _no_tag, widen: Widen = _as_it_is, read: Read = _whole
    ) -> Any:
        """The head on quantized hidden states.

        Args:
            hidden: integers of shape (L, E), or Concrete's tracer of one.
            tag: names the stage of the operations inside it; ``fhe.tag`` when compiling.
            widen: gives values a number of bits when compiling.
            read: given a stage and integers, what the lookups of the stage read of them.

        Returns:
            integers of shape (L, d); :meth:`dequantize_output` gives their values.
        """
        query, key, value = self.project(hidden, tag, read)
        scores = self._scores(query, key, tag, read)
        weights = quantized_softmax(self.quantizers, scores, tag, read)
        with tag("weighted_values"):
            # Concrete gives factors one bit beyond their own for a + b and a - b: too few where one
            # is unsigned and the other signed, and the product is then off by a power of two. The
            # addition is there because a hint on what comes out of a lookup is lost.
            return widen(weights + 0, self.quantizers["value"].n_bits + 1) @ value

    def project(self, hidden: Any, tag: Tag = _no_tag, read: Read = _whole) -> tuple[Any, Any, Any]:
        """Query, key and value on quantized hidden states, each of shape (L, d)."""
        q, d = self.quantizers, self.dimension
        with tag("projection"):
            projected = hidden @ self.weight
        with tag("projection.requantize"):
            projected = q["projection"].quantize_from_zero(
                read("projection.requantize", projected) * (q["input"].scale * q["weight"].scale)
            )
        with tag("projection.bias"):
            projected = projected + (self.bias + q["projection"].largest)
        # Both terms start from zero: what is subtracted here is inside the lookups.
        zero = 2 * q["projection"].largest
        with tag("query.requantize"):
            query = q["query"].quantize(
                q["projection"].dequantize(read("query.requantize", projected[:, :d] - zero))
            )
        with tag("key.requantize"):
            key = q["key"].quantize(
                q["projection"].dequantize(read("key.requantize", projected[:, d : 2 * d] - zero))
            )
        with tag("value.requantize"):
            value = q["value"].quantize(
                q["projection"].dequantize(read("value.requantize", projected[:, 2 * d :] - zero))
            )
        return query, key, value

    def _scores(self, query: Any, key: Any, tag: Tag, read: Read) -> Any:
        """Scaled, masked scores, shape (L, L)."""
        q = self.quantizers
        with tag("scores"):
            scores = query @ np.transpose(key)
        with tag("scores.scale_and_mask"):
            unit = q["query"].scale * q["key"].scale / np.sqrt(self.dimension)
            scaled = read("scores.scale_and_mask", scores) * unit
            masked = np.where(causal_mask(scores.shape[0]), scaled, self.mask_value)
            return q["scores"].quantize_from_zero(masked)


@dataclass(frozen=True)
class ReferenceHeads:
    """Several reference heads of a layer on one encrypted input."""

    heads: tuple[ReferenceHead, ...]

    projected = False

    @property
    def n_bits(self) -> int:
        """Width of inputs, weights and activations."""
        return self.heads[0].n_bits

    def quantize_input(self, hidden: FloatArray) -> IntArray:
        """Integers of normalized hidden states, shape (..., L, E); all heads take the same."""
        return self.heads[0].quantize_input(hidden)

    def saturated(self, hidden: FloatArray) -> int:
        """How many input values fall outside the calibrated range."""
        quantizer = self.heads[0].quantizers["input"]
        return int(np.count_nonzero(np.abs(hidden) > quantizer.scale * (quantizer.largest + 0.5)))

    def run(self, values: Any, operators: Operators) -> Any:
        """All heads on quantized hidden states, shape (L, E) to (L, heads * d)."""
        if len(self.heads) == 1:
            head = self.heads[0]
            return head.run(values, operators.tag, operators.narrow, _reading(head, operators))

        def prefixed(index: int) -> Tag:
            return lambda name: operators.tag(f"head{index}.{name}")

        outputs = [
            head.run(values, prefixed(index), operators.narrow, _reading(head, operators))
            for index, head in enumerate(self.heads)
        ]
        return np.concatenate(tuple(outputs), axis=1)

    def dequantize_output(self, integers: Any) -> FloatArray:
        """Real values of what :meth:`run` returned, shape (heads, L, d)."""
        parts = np.split(np.asarray(integers), len(self.heads), axis=-1)
        return np.stack(
            [head.dequantize_output(part) for head, part in zip(self.heads, parts, strict=True)]
        )


def _reading(head: ReferenceHead, operators: Operators) -> Read:
    """What lookups of ``head`` read: all, or what rounding leaves of it."""

    def read(stage: str, values: Any) -> Any:
        dropped = head.dropped.get(stage, 0)
        return operators.rounded(values, dropped) if dropped else values

    return read


def quantize_reference_heads(
    heads: Sequence[AttentionHead], hidden: FloatArray, n_bits: int
) -> ReferenceHeads:
    """Quantize ``heads`` of one layer, each as :func:`quantize_reference_head` does."""
    return ReferenceHeads(tuple(quantize_reference_head(head, hidden, n_bits) for head in heads))


def quantize_reference_head(head: AttentionHead, hidden: FloatArray, n_bits: int) -> ReferenceHead:
    """Quantize ``head`` with scales calibrated on ``hidden``.

    Args:
        head: the float weights.
        hidden: normalized hidden states of the calibration sentences, shape (sentences, L, E).
        n_bits: width of inputs, weights and activations.

    Raises:
        ImpossibleError: at this width some tensor of the head is zero for every sentence, so that
            no circuit is left to compile.
    """
    d, seq_len = head.dimension, hidden.shape[1]
    products = hidden @ head.weight
    projected = products + head.bias
    query, key, value = np.split(projected, 3, axis=-1)
    scaled = query @ np.swapaxes(key, -1, -2) / np.sqrt(d)
    mask_value = float(scaled.min())
    masked = np.where(causal_mask(seq_len), scaled, mask_value)
    exponential = np.exp(masked - masked.max(axis=-1, keepdims=True))
    inverse = 1 / exponential.sum(axis=-1, keepdims=True)
    quantizers = calibrate(
        {
            "input": hidden,
            # One scale for what is added: the product and the bias.
            "projection": np.concatenate([products.ravel(), head.bias]),
            "query": query,
            "key": key,
            "value": value,
            "scores": masked,
            "exponential": exponential,
            "inverse": inverse,
            "attention_weights": exponential * inverse,
        },
        n_bits,
    )
    quantizers["weight"] = quantizer_for(head.layer_weight_magnitude, n_bits)
    quantized = ReferenceHead(
        weight=quantizers["weight"].quantize(head.weight),
        bias=quantizers["projection"].quantize(head.bias),
        quantizers=quantizers,
        mask_value=mask_value,
        seq_len=seq_len,
        n_bits=n_bits,
    )
    _refuse_vanished(quantized, hidden)
    return quantized


def _refuse_vanished(quantized: ReferenceHead, hidden: FloatArray) -> None:
    """Refuse a head of which quantization leaves too little: Concrete can't compile constants."""
    sentences = list(quantized.quantize_input(hidden))
    tensors = dict(
        zip(
            ("query", "key", "value"),
            zip(*(quantized.project(sentence) for sentence in sentences), strict=True),
            strict=True,
        )
    )
    tensors["output"] = tuple(quantized.run(sentence) for sentence in sentences)
    for name, values in tensors.items():
        if not np.any(values):
            raise ImpossibleError(
                f"at {quantized.n_bits} bits the head's {name} is zero on every calibration "
                "sentence; use more bits, another head or another layer"
            )
