"""A variant that is this one file: each token gets the sum of the values that it attends to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fhecost.heads.attention_head import AttentionHead
from fhecost.heads.operators import ClearOperators, Operators
from fhecost.heads.pairs import Pairs
from fhecost.heads.parameter_rules import USUAL
from fhecost.heads.stated import REACH, StatedHeads, StatedMatrix, StatedShape, least_error_spread
from fhecost.heads.variants import Variant
from fhecost.quantization import FloatArray, IntArray, Quantizer, least_error_quantizer

KEPT_BITS = 5


@dataclass(frozen=True)
class ToyHead:
    """A head's value weights, shape (E, d), and the scale of what its products stand for."""

    weight: IntArray
    product_scale: float
    value: Quantizer
    product_bits: int

    def run(self, values: Any, operators: Operators, prefix: str) -> Any:
        pairs = Pairs(values.shape[0])
        with operators.tag(f"{prefix}value"):
            product = values @ self.weight
        with operators.tag(f"{prefix}value.requantize"):
            product = operators.accumulator(
                f"{prefix}product", product, self.product_bits, KEPT_BITS
            )
            value = operators.lookup(product, lambda p: self.value.quantize(p * self.product_scale))
        with operators.tag(f"{prefix}sum"):
            return operators.row_sums(operators.take(value, pairs.attended), pairs)


@dataclass(frozen=True)
class ToyHeads:
    """Several heads on one input."""

    input: Quantizer
    heads: tuple[ToyHead, ...]
    n_bits: int

    projected = False
    rules = USUAL

    def quantize_input(self, hidden: FloatArray) -> IntArray:
        integers: IntArray = self.input.quantize(hidden)
        return integers

    def saturated(self, hidden: FloatArray) -> int:
        return int(np.count_nonzero(np.abs(hidden) > self.input.scale * self.input.largest))

    def run(self, values: Any, operators: Operators) -> Any:
        outputs = operators.side_by_side(
            self.heads, lambda head, prefix: head.run(values, operators, prefix)
        )
        return np.concatenate(tuple(outputs), axis=1)

    def dequantize_output(self, integers: Any) -> FloatArray:
        parts = np.split(np.asarray(integers, dtype=np.float64), len(self.heads), axis=-1)
        tokens = np.arange(1, integers.shape[0] + 1)[:, None]
        return np.stack(
            [part / tokens * head.value.scale for head, part in zip(self.heads, parts, strict=True)]
        )


def quantize(heads: Sequence[AttentionHead], hidden: FloatArray, n_bits: int) -> ToyHeads:
    entering = least_error_quantizer(hidden, n_bits)
    integers = entering.quantize(hidden)
    quantized = []
    for head in heads:
        weight = head.weight[:, 2 * head.dimension :]
        of_weight = least_error_quantizer(weight, n_bits)
        product = integers @ of_weight.quantize(weight)
        scale = entering.scale * of_weight.scale
        toy = ToyHead(
            of_weight.quantize(weight), scale, least_error_quantizer(product * scale, n_bits), 60
        )
        seen = ClearOperators()
        for sentence in integers:
            toy.run(sentence, seen, "")
        bits = int(1.5 * seen.largest["product"]).bit_length() + 1
        quantized.append(replace(toy, product_bits=bits))
    return ToyHeads(entering, tuple(quantized), n_bits)


def state(shape: StatedShape, _: object) -> StatedHeads:
    spread = least_error_spread(shape.n_bits)
    product = math.sqrt(shape.width) * spread**2
    head = ToyHead(
        weight=StatedMatrix(shape.width, shape.dimension, spread),
        product_scale=1 / product,
        value=Quantizer(1 / spread, shape.n_bits),
        product_bits=int(1.5 * REACH * product).bit_length() + 1,
    )
    heads = tuple(replace(head) for _ in range(shape.heads))
    return StatedHeads(
        ToyHeads(Quantizer(1.0, shape.n_bits), heads, shape.n_bits), shape.n_bits, spread
    )


VARIANT = Variant("toy", ToyHeads, quantize, state, parts=(ToyHead,))
