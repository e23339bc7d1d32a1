"""A whole decoder layer of GPT-2 or Llama, and a model of them: norms, attention, MLP, residuals.

How accurate a layer is isn't known; it is the cheapest one known that stays on integers, in the
operations of the compact attention. A small one is compiled in the tests, none of real size. With T
tokens computed, E = width, I = inner width, r bits dropped by a rounding, and n bits asked for, the
residual stream holds n + 2 bits, and:

* **LayerNorm**: the centred values are requantized before they are squared: as they are, they would
  read two bits more, which costs a bootstrap four to ten times as much. The product c s with the
  inverse s of the deviation is 2 c s = (c + s)^2 - c^2 - s^2, with the squares that are there.
  **RMSNorm** is the same without a mean: its values are requantized as they are.
* **attention**: the compact attention, its sums of exponentials rounded before the logarithm, so
  that long rows don't widen that lookup. Heads that share a key and a value (grouped-query
  attention) have them projected, requantized and squared once. Rotary positions are in the clear
  weights of each token.
* **MLP**: the product with the first matrix goes through GELU and requantization in one table.
  **SwiGLU** is silu(x G) (x U) of two matrices G and U, both requantized. Their product is a
  difference of quarter squares, ab = floor((a + b)^2 / 4) - floor((a - b)^2 / 4), which is exact
  since a + b and a - b are both even or both odd; it is requantized before the last matrix. Whole
  squares would give 4 ab: two bits more to round away.
* **residuals**: additions only. The stream's scale leaves room for what layers add.
* **logits**: a model ends in one more LayerNorm, of the last token alone, and its product with the
  clear embedding: no lookup.

docs/closed_form.md counts the lookups of each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fhecost.heads.compact_attention import (
    WIDER_OUTPUT,
    CompactAttention,
    state_compact_attention,
)
from fhecost.heads.compact_circuit import EarlierOf
from fhecost.heads.head_quantization import SPARE, signed_bits
from fhecost.heads.operators import Operators, Table
from fhecost.heads.output_projection import stated_projection
from fhecost.heads.stated import REACH, StatedHeads, StatedShape, least_error_spread
from fhecost.quantization import IntArray, largest_integer

SILU_SIZE = 0.597
"""The root mean square of the SiLU of a normal value."""

RESIDUAL_WIDER = 2
"""Bits that the residual stream has beyond those asked for."""


@dataclass(frozen=True)
class Requantization:
    """A sum of ``bits``, rounded to its top ``kept_bits`` and looked up to within ``bounds``."""

    bits: int
    kept_bits: int
    table: Table
    bounds: tuple[int, int]
    signed: bool = True

    def run(self, values: Any, operators: Operators, name: str) -> Any:
        """The integers that ``table`` gives."""
        rounded = operators.accumulator(name, values, self.bits, self.kept_bits, signed=self.signed)
        return operators.lookup(rounded, self.table, self.bounds)


@dataclass(frozen=True)
class Norm:
    """From the residual stream to the inputs of a projection; RMSNorm is one without a ``mean``."""

    mean: Requantization | None
    centre: Requantization
    inverse: Requantization
    product: Requantization

    def run(self, hidden: Any, operators: Operators, name: str) -> Any:
        """Shapes (T, E); ``name`` is what its stages are called by."""
        if self.mean is not None:
            with operators.tag(f"{name}.mean"):
                total = np.sum(hidden, axis=1, keepdims=True)
                mean = self.mean.run(total, operators, f"{name}.mean")
            with operators.tag(f"{name}.centre"):
                hidden = hidden - mean
        with operators.tag(f"{name}.centre"):
            centred = self.centre.run(hidden, operators, f"{name}.centre")
        with operators.tag(f"{name}.squares"):
            squares = operators.lookup(centred, lambda c: c**2)
        with operators.tag(f"{name}.inverse"):
            variance = np.sum(squares, axis=1, keepdims=True)
            inverse = self.inverse.run(variance, operators, f"{name}.inverse")
        with operators.tag(f"{name}.product"):
            of_sums = operators.lookup(centred + inverse, lambda z: z**2)
            of_inverse = operators.lookup(inverse, lambda s: s**2)
            product = of_sums - squares - of_inverse
        with operators.tag(f"{name}.requantize"):
            return self.product.run(product, operators, f"{name}.product")


@dataclass(frozen=True)
class Mlp:
    """GPT-2's: ``up`` and ``down`` are its weights, with a table between them."""

    up: IntArray
    gelu: Requantization
    down: IntArray

    def run(self, normalized: Any, operators: Operators) -> Any:
        """Products of shape (T, E), of as many bits as they take."""
        with operators.tag("mlp.up"):
            inner = normalized @ self.up
        with operators.tag("mlp.gelu"):
            activated = self.gelu.run(inner, operators, "mlp.up")
        with operators.tag("mlp.down"):
            return activated @ self.down


@dataclass(frozen=True)
class GatedMlp:
    """Llama's SwiGLU (Shazeer, arXiv:2002.05202): what ``up`` gives times what the gate lets by."""

    gate: IntArray
    silu: Requantization
    up: IntArray
    linear: Requantization
    product: Requantization
    down: IntArray

    def run(self, normalized: Any, operators: Operators) -> Any:
        """Products of shape (T, E), of as many bits as they take."""
        with operators.tag("mlp.gate"):
            gate = normalized @ self.gate
        with operators.tag("mlp.silu"):
            gate = self.silu.run(gate, operators, "mlp.gate")
        with operators.tag("mlp.up"):
            inner = normalized @ self.up
        with operators.tag("mlp.up.requantize"):
            inner = self.linear.run(inner, operators, "mlp.up")
        with operators.tag("mlp.product"):
            of_sums = operators.lookup(inner + gate, quarter_square)
            product = of_sums - operators.lookup(inner - gate, quarter_square)
        with operators.tag("mlp.product.requantize"):
            product = self.product.run(product, operators, "mlp.product")
        with operators.tag("mlp.down"):
            return product @ self.down


@dataclass(frozen=True)
class DecoderLayer:
    """From residual stream to residual stream."""

    norm1: Norm
    attention: CompactAttention
    attended: Requantization
    norm2: Norm
    mlp: Mlp | GatedMlp
    activated: Requantization
    residual_bits: int

    def run(self, hidden: Any, operators: Operators, earlier: EarlierOf | None = None) -> Any:
        """Integers of the residual stream, shapes (T, E)."""
        normalized = self.norm1.run(hidden, operators, "norm1")
        product = self.attention.products(normalized, operators, earlier)
        hidden = self._added(hidden, product, self.attended, operators, "attention")
        normalized = self.norm2.run(hidden, operators, "norm2")
        product = self.mlp.run(normalized, operators)
        return self._added(hidden, product, self.activated, operators, "mlp")

    def _added(
        self, hidden: Any, product: Any, to: Requantization, operators: Operators, name: str
    ) -> Any:
        """The residual stream with a product requantized to it."""
        with operators.tag(f"{name}.requantize"):
            update = to.run(product, operators, name)
        with operators.tag(f"{name}.residual"):
            return operators.accumulator(f"{name}.residual", hidden + update, self.residual_bits)


@dataclass(frozen=True)
class DecoderModel:
    """All layers, the last norm, and the logits of the last token."""

    layers: tuple[DecoderLayer, ...]
    norm: Norm
    unembedding: IntArray
    logit_bits: int

    def run(self, hidden: Any, operators: Operators, earlier: EarlierOf | None = None) -> Any:
        """Embeddings of shape (T, E) to logits, (1, vocabulary)."""
        hidden = operators.in_turn(
            self.layers, lambda layer, values: layer.run(values, operators, earlier), hidden
        )
        last = self.norm.run(hidden[-1:], operators, "norm")
        with operators.tag("logits"):
            return operators.accumulator("logits", last @ self.unembedding, self.logit_bits)


def state_block(shape: StatedShape) -> StatedHeads:
    """The attention of a layer with all its heads alike: they are written down as one."""
    stated = state_compact_attention(shape)
    attention: CompactAttention = stated.heads
    heads = replace(attention.heads, heads=attention.heads.heads[:1] * shape.heads)
    return replace(stated, heads=replace(attention, heads=heads, rounds_sums=True))


def state_layer(shape: StatedShape, inner: int) -> StatedHeads:
    """A decoder layer of a shape, and the residual stream that enters it; ``inner`` is I."""
    n_bits, width, attention = shape.n_bits, shape.width, state_block(shape).heads
    kept = attention.heads.kept_bits
    residual_bits = n_bits + RESIDUAL_WIDER
    down, down_bits = stated_projection(inner, width, n_bits + WIDER_OUTPUT)
    norm = _state_norm(shape, kept)
    layer = DecoderLayer(
        norm1=norm,
        attention=attention,
        attended=_requantized(attention.product_bits, kept, residual_bits),
        norm2=norm,
        mlp=_state_mlp(shape, inner, kept, down),
        activated=_requantized(down_bits, kept, residual_bits),
        residual_bits=residual_bits,
    )
    return StatedHeads(layer, residual_bits, least_error_spread(residual_bits))


def state_model(shape: StatedShape, inner: int, layers: int, vocabulary: int) -> StatedHeads:
    """A model of a shape, its layers alike: they are written down as one."""
    stated = state_layer(shape, inner)
    weight, bits = stated_projection(shape.width, vocabulary, shape.n_bits + WIDER_OUTPUT)
    model = DecoderModel((stated.heads,) * layers, stated.heads.norm1, weight, bits)  # type: ignore[arg-type]
    return replace(stated, heads=model)


def _state_mlp(shape: StatedShape, inner: int, kept: int, down: Any) -> Mlp | GatedMlp:
    """The MLP of the shape's family; ``down`` are its last weights."""
    n_bits = shape.n_bits
    weight, bits = stated_projection(shape.width, inner, n_bits + WIDER_OUTPUT)
    up: Any = weight
    if shape.family == "gpt2":
        return Mlp(up, _requantized(bits, kept, n_bits + 1, gelu), down)
    # Each factor has n + 1 bits.
    product_bits = signed_bits(largest_integer(n_bits + 1) ** 2)
    deviation = SILU_SIZE * least_error_spread(n_bits + 1) ** 2
    return GatedMlp(
        gate=up,
        silu=_requantized(bits, kept, n_bits + 1, silu),
        up=up,
        linear=_requantized(bits, kept, n_bits + 1),
        product=_requantized(product_bits, kept, n_bits + 1, deviation=deviation),
        down=down,
    )


def quarter_square(integers: Any) -> Any:
    """A fourth of the square, rounded down."""
    # A product of integers would be a table of its own for Concrete.
    return np.floor((integers * 1.0) ** 2 / 4)


def silu(real: Any) -> Any:
    """SiLU (Hendrycks and Gimpel, arXiv:1606.08415): x times its logistic."""
    # Beyond these it is 0 or x, up to less than a float tells.
    return real / (1 + np.exp(-np.clip(real, -60.0, 60.0)))


def gelu(real: Any) -> Any:
    """GELU (Hendrycks and Gimpel, arXiv:1606.08415) in its tanh form."""
    return 0.5 * real * (1 + np.tanh(math.sqrt(2 / math.pi) * (real + 0.044715 * real**3)))


def _state_norm(shape: StatedShape, kept: int) -> Norm:
    width, n_bits = shape.width, shape.n_bits
    residual, narrow = (largest_integer(n_bits + wider) for wider in (RESIDUAL_WIDER, 1))
    spread, most_inverse = least_error_spread(n_bits + 1), 2**n_bits - 1
    # E squares of normal values: E s^2 in the mean, with a deviation of sqrt(2 E) s^2.
    variance_bits = int((width + REACH * math.sqrt(2 * width)) * spread**2).bit_length()

    def inverse_of(sums: Any) -> Any:
        # The middle of its integers stands for the inverse of the usual deviation.
        usual = width * spread**2
        inverse = most_inverse / 2 * np.sqrt(usual / np.maximum(sums, 1.0))
        return np.clip(np.rint(inverse), 0, most_inverse)

    def mean_of(sums: Any) -> Any:
        return np.clip(np.rint(sums / width), -residual, residual)

    # A sum of normal values reaches some sqrt(E) of the largest.
    mean_bits = signed_bits(math.sqrt(width) * residual)
    of_mean = Requantization(mean_bits, kept, mean_of, (-residual, residual))
    centred = shape.family == "gpt2"
    # A difference of two is a bit wider than what it is of. The stream alone has no reserve.
    centre = _requantized(signed_bits(2 * residual), kept, n_bits + 1)
    if not centred:
        bits = n_bits + RESIDUAL_WIDER
        centre = _requantized(bits, kept, n_bits + 1, deviation=least_error_spread(bits))
    return Norm(
        mean=of_mean if centred else None,
        centre=centre,
        inverse=Requantization(variance_bits, kept, inverse_of, (0, most_inverse), signed=False),
        product=_requantized(signed_bits((narrow + most_inverse) ** 2), kept, n_bits + 1),
    )


def _requantized(
    bits: int,
    kept: int,
    to_bits: int,
    function: Table = lambda real: real,
    deviation: float | None = None,
) -> Requantization:
    """``function`` of a sum in units of its ``deviation``, in integers of ``to_bits``.

    Without one, the sum fills its ``bits`` but for the reserve of all accumulators.
    """
    largest, spread = largest_integer(to_bits), least_error_spread(to_bits)
    deviation = deviation or 2 ** (bits - 1) / (SPARE * REACH)

    def table(sums: Any) -> Any:
        return np.clip(np.rint(function(sums / deviation) * spread), -largest, largest)

    return Requantization(bits, kept, table, (-largest, largest))
