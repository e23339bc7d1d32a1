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

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fhecost.errors import ImpossibleError
from fhecost.heads.attention_head import AttentionHead, causal_mask
from fhecost.heads.operators import ClearOperators, Operators, Table
from fhecost.heads.parameter_rules import USUAL, ParameterRules
from fhecost.heads.rotary import (
    HeadWeights,
    TurnedWeights,
    every_part_of,
    multiplied,
    token_rows,
)
from fhecost.heads.stated import COVERED, REACH, StatedHeads, StatedMatrix, StatedShape
from fhecost.quantization import (
    FloatArray,
    IntArray,
    Quantizer,
    calibrate,
    largest_integer,
    quantizer_for,
)


@dataclass(frozen=True)
class Stages:
    """The stages of one head: what ``prefix`` they are called by, what their lookups drop."""

    operators: Operators
    prefix: str = ""
    dropped: Mapping[str, int] = field(default_factory=dict)

    def tag(self, stage: str) -> AbstractContextManager[Any]:
        """The stage of the operations inside it."""
        return self.operators.tag(f"{self.prefix}{stage}")

    def lookup(
        self, stage: str, values: Any, table: Table, bounds: tuple[int, int] | None = None
    ) -> Any:
        """A lookup of what the stage doesn't drop."""
        dropped = self.dropped.get(stage, 0)
        read = self.operators.rounded(values, dropped) if dropped else values
        return self.operators.lookup(read, table, bounds)


def quantized_softmax(q: Mapping[str, Quantizer], scores: Any, stages: Stages) -> Any:
    """Quantized attention weights of quantized scores, both of shape (L, L).

    ``q`` holds the quantizers called scores, exponential, inverse and attention_weights.
    """
    operators, length = stages.operators, scores.shape[1]
    highest = 2 * q["scores"].largest
    with stages.tag("softmax.maximum"):
        maximum = scores[:, :1]
        for column in range(1, length):
            difference = scores[:, column : column + 1] - maximum
            positive = stages.lookup("softmax.maximum", difference, lambda z: np.maximum(z, 0))
            maximum = operators.within(maximum + positive, 0, highest)
    with stages.tag("softmax.subtract"):
        shifted = operators.within(scores - maximum, -highest if length > 1 else 0, 0)
    with stages.tag("softmax.exponential"):
        # Rounding can go beyond 0, the largest exponent.
        exponential = stages.lookup(
            "softmax.exponential",
            shifted,
            lambda z: q["exponential"].rounded(np.exp(np.minimum(q["scores"].dequantize(z), 0.0))),
        )
    with stages.tag("softmax.sum"):
        total = np.sum(exponential, axis=1, keepdims=True)
        # The maximum of a row has the largest exponential. In the first row it is the only one that
        # counts; in another all may be as large.
        largest = q["exponential"].largest
        total = operators.within(total, largest, largest * length)
    with stages.tag("softmax.inverse"):
        # A row's sum is positive; the lookup's other entries must not divide by zero.
        inverse = stages.lookup(
            "softmax.inverse",
            total,
            lambda z: q["inverse"].rounded(
                1 / np.maximum(q["exponential"].dequantize(z), q["exponential"].scale)
            ),
        )
    with stages.tag("softmax.product"):
        weights = exponential * inverse
    with stages.tag("softmax.requantize"):
        scale = q["exponential"].scale * q["inverse"].scale
        return stages.lookup(
            "softmax.requantize", weights, lambda z: q["attention_weights"].rounded(z * scale)
        )


@dataclass(frozen=True)
class ReferenceHead:
    """A quantized head.

    ``dropped`` holds by stage how many bits its lookups round away before they read; it is empty
    for a head whose lookups read all bits. ``score_scale`` is what scores are multiplied by besides
    1/sqrt(d). Where queries and keys turn with their token's position, their biases do too: they
    are among the weights then, and ``bias`` has what is the value's.
    """

    weight: HeadWeights
    bias: IntArray
    quantizers: dict[str, Quantizer]
    mask_value: float
    seq_len: int
    n_bits: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    score_scale: float = 1.0

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

    def run(self, hidden: Any, operators: Operators, prefix: str = "") -> Any:
        """The head on quantized hidden states.

        Args:
            hidden: integers of shape (L, E).
            operators: what they are computed with.
            prefix: what stands before the names of the head's stages.

        Returns:
            integers of shape (L, d); :meth:`dequantize_output` gives their values.
        """
        stages = Stages(operators, prefix, self.dropped)
        query, key, value = self.project(hidden, stages)
        scores = self._scores(query, key, stages)
        weights = quantized_softmax(self.quantizers, scores, stages)
        q = self.quantizers
        with stages.tag("weighted_values"):
            # Concrete gives factors one bit beyond their own for a + b and a - b: too few where one
            # is unsigned and the other signed, and the product is then off by a power of two. The
            # addition is there because a hint on what comes out of a lookup is lost.
            attended = operators.narrow(weights + 0, q["value"].n_bits + 1) @ value
            # A row's weights sum up to about one.
            most = q["attention_weights"].largest * q["value"].largest
            return operators.within(attended, -most, most)

    def project(self, hidden: Any, stages: Stages) -> tuple[Any, Any, Any]:
        """Query, key and value on quantized hidden states, each of shape (L, d)."""
        q = self.quantizers
        weight = every_part_of(self.weight, hidden.shape[0])
        rows = token_rows(hidden, weight)
        with stages.tag("projection"):
            product = multiplied(rows, weight)
        with stages.tag("projection.requantize"):
            scale = q["input"].scale * q["weight"].scale
            projected = stages.lookup(
                "projection.requantize",
                product,
                lambda z: q["projection"].rounded(z * scale) + q["projection"].largest,
            )
        with stages.tag("projection.bias"):
            projected = projected + (self.biases(hidden.shape[0]) + q["projection"].largest)
        query, key, value = (
            self._part(name, index, projected, stages)
            for index, name in enumerate(("query", "key", "value"))
        )
        return query, key, value

    def biases(self, tokens: int) -> IntArray:
        """Integers of the biases, shape (3d,), or (tokens, 3d) where these turn."""
        if not isinstance(self.weight, TurnedWeights):
            return self.bias
        turned = np.concatenate([self.weight.means(part, tokens) for part in (0, 1)], axis=-1)
        value = np.broadcast_to(self.bias, (tokens, self.dimension))
        return np.concatenate((self.quantizers["projection"].quantize(turned), value), axis=-1)

    def _part(self, name: str, index: int, projected: Any, stages: Stages) -> Any:
        """Query, key or value, requantized to a scale of its own, shape (L, d)."""
        q, d, stage = self.quantizers, self.dimension, f"{name}.requantize"
        with stages.tag(stage):
            # Both terms start from zero: what is subtracted here is inside the lookups.
            part = projected[:, index * d : (index + 1) * d] - 2 * q["projection"].largest
            return stages.lookup(
                stage, part, lambda z: q[name].rounded(q["projection"].dequantize(z))
            )

    def _scores(self, query: Any, key: Any, stages: Stages) -> Any:
        """Scaled, masked scores, shape (L, L)."""
        q = self.quantizers
        with stages.tag("scores"):
            scores = query @ np.transpose(key)
        unit = q["query"].scale * q["key"].scale / np.sqrt(self.dimension) * self.score_scale

        def scaled_and_masked(products: Any) -> Any:
            mask, largest = causal_mask(scores.shape[0]), q["scores"].largest
            return q["scores"].rounded(np.where(mask, products * unit, self.mask_value)) + largest

        with stages.tag("scores.scale_and_mask"):
            bounds = (0, 2 * q["scores"].largest)
            return stages.lookup("scores.scale_and_mask", scores, scaled_and_masked, bounds)


@dataclass(frozen=True)
class ReferenceHeads:
    """Several reference heads of a layer on one encrypted input."""

    heads: tuple[ReferenceHead, ...]
    rules: ParameterRules = USUAL

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
        outputs = operators.side_by_side(
            self.heads, lambda head, prefix: head.run(values, operators, prefix)
        )
        return outputs[0] if len(outputs) == 1 else np.concatenate(tuple(outputs), axis=1)

    def dequantize_output(self, integers: Any) -> FloatArray:
        """Real values of what :meth:`run` returned, shape (heads, L, d)."""
        parts = np.split(np.asarray(integers), len(self.heads), axis=-1)
        return np.stack(
            [head.dequantize_output(part) for head, part in zip(self.heads, parts, strict=True)]
        )


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
    products = head.turned(hidden @ head.weight)
    biases = head.turned(np.broadcast_to(head.bias, (seq_len, 3 * d)))
    query, key, value = np.split(products + biases, 3, axis=-1)
    scaled = query @ np.swapaxes(key, -1, -2) / np.sqrt(d) * head.score_scale
    mask_value = float(scaled.min())
    masked = np.where(causal_mask(seq_len), scaled, mask_value)
    exponential = np.exp(masked - masked.max(axis=-1, keepdims=True))
    inverse = 1 / exponential.sum(axis=-1, keepdims=True)
    quantizers = calibrate(
        {
            "input": hidden,
            # One scale for what is added: the product and the bias.
            "projection": np.concatenate([products.ravel(), biases.ravel()]),
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
        weight=_weights(head, quantizers["weight"]),
        # What turns is among the weights.
        bias=quantizers["projection"].quantize(head.bias[2 * d if head.rotary else 0 :]),
        quantizers=quantizers,
        mask_value=mask_value,
        seq_len=seq_len,
        n_bits=n_bits,
        score_scale=head.score_scale,
    )
    _refuse_vanished(quantized, hidden)
    return quantized


def _weights(head: AttentionHead, quantizer: Quantizer) -> HeadWeights:
    """The integer weights of ``head``, turned for each token if they turn."""
    d = head.dimension
    if head.rotary is None:
        whole: IntArray = quantizer.quantize(head.weight)
        return whole
    return TurnedWeights(
        rows=head.weight[:, : 2 * d],
        mean=head.bias[: 2 * d],
        frequencies=head.rotary.frequencies,
        of_query=np.eye(d),
        of_key=np.eye(d),
        scale=np.full(2 * d, quantizer.scale),
        largest=quantizer.largest,
        value=quantizer.quantize(head.weight[:, 2 * d :]),
    )


def _refuse_vanished(quantized: ReferenceHead, hidden: FloatArray) -> None:
    """Refuse a head of which quantization leaves too little: Concrete can't compile constants."""
    sentences, clear = list(quantized.quantize_input(hidden)), ClearOperators()
    stages = Stages(clear)
    tensors = dict(
        zip(
            ("query", "key", "value"),
            zip(*(quantized.project(sentence, stages) for sentence in sentences), strict=True),
            strict=True,
        )
    )
    tensors["output"] = tuple(quantized.run(sentence, clear) for sentence in sentences)
    for name, values in tensors.items():
        if not np.any(values):
            raise ImpossibleError(
                f"at {quantized.n_bits} bits the head's {name} is zero on every calibration "
                "sentence; use more bits, another head or another layer"
            )


def state_reference_heads(shape: StatedShape, _: object = None) -> StatedHeads:
    """Reference heads of a shape: every scale covers the largest value of its tensor."""
    n_bits, d, largest = shape.n_bits, shape.dimension, largest_integer(shape.n_bits)
    spread = largest / COVERED
    projected = COVERED * np.sqrt(shape.width) * spread**2 / largest
    scales = {
        "input": 1.0,
        "weight": 1.0,
        **dict.fromkeys(("projection", "query", "key", "value"), projected),
        "scores": REACH / largest,
        **dict.fromkeys(("exponential", "inverse", "attention_weights"), 1 / largest),
    }
    # Biases of about half of what a product reaches, to both sides.
    bias = np.full(3 * d, largest // 2)
    bias[::2] *= -1
    head = ReferenceHead(
        weight=StatedMatrix(shape.width, 3 * d, spread, shape.turns),  # type: ignore[arg-type]
        bias=bias,
        quantizers={name: Quantizer(float(scale), n_bits) for name, scale in scales.items()},
        mask_value=0.0,
        seq_len=shape.seq_len,
        n_bits=n_bits,
    )
    heads = ReferenceHeads((head, *(replace(head) for _ in range(1, shape.heads))))
    return StatedHeads(heads, n_bits, spread)
