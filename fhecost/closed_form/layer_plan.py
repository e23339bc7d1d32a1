"""A whole decoder layer of GPT-2: LayerNorm, attention, MLP with GELU, residuals.

No circuit of a layer is compiled here, and how accurate it is isn't known; it is the cheapest one
known that stays on integers, in the operations of the compact attention. With T tokens computed,
E = width, I = inner width, r bits dropped by a rounding, and n bits asked for, the residual stream
holds n + 2 bits, and:

* **LayerNorm**: the mean is one rounded lookup of the sum of a token (T). The centred values are
  requantized to n + 1 bits (T E, and r T E on one bit): squared as they are, they would read two
  bits more, which costs a bootstrap four to ten times as much. These, c, are squared (T E) and
  summed up; the inverse of the deviation s is one rounded lookup (T). The product c s needs
  (c + s)^2 (T E) and s^2 (T), since the squares of c are there: 2 c s = (c + s)^2 - c^2 - s^2. It
  is rounded and requantized, gain and shift in the table, a column each (T E, and r T E on one
  bit).
* **attention**: the compact attention, its sums of exponentials rounded before the logarithm, so
  that long rows don't widen that lookup; its output projection is rounded and requantized to the
  residual stream (T E, and r T E on one bit).
* **MLP**: the product with the first matrix is rounded and goes through GELU and requantization in
  one table (T I, and r T I on one bit); the product with the second is requantized to the residual
  stream (T E, and r T E on one bit).
* **residuals**: additions only. The stream's scale leaves room for what layers add.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fhecost.closed_form.compact_plan import CompactRanges, attention_head, requantized
from fhecost.closed_form.plan import Plan, Wire
from fhecost.closed_form.ranges import Range, symmetric, unsigned
from fhecost.closed_form.shapes import HeadShape
from fhecost.closed_form.stated import stated_attention, stated_product

RESIDUAL_WIDER = 2
"""Bits that the residual stream has beyond those asked for."""


@dataclass(frozen=True)
class LayerShape:
    """``heads`` is the shape of all heads of the layer side by side; ``inner`` is I."""

    heads: HeadShape
    inner: int

    @property
    def hidden(self) -> int:
        """Integers of the residual stream."""
        return self.heads.tokens * self.heads.width


def attention_block(plan: Plan, hidden: Wire, shape: HeadShape, n_bits: int) -> Wire:
    """Write a layer's attention with its output projection down, all heads side by side."""
    return _projected(
        plan,
        "output_projection",
        attention_head(plan, hidden, shape, stated_attention(shape, n_bits), round_sums=True),
        shape.tokens * shape.width,
        shape.width,
        shape.width,
        n_bits,
    )


def decoder_layer(plan: Plan, hidden: Wire, shape: LayerShape, n_bits: int) -> Wire:
    """Write one decoder layer down, from residual stream to residual stream."""
    ranges = stated_attention(shape.heads, n_bits)
    normalized = layer_norm(plan, hidden, shape, ranges.head, n_bits, "norm1")
    attended = attention_block(plan, normalized, shape.heads, n_bits)
    hidden = _added(plan, hidden, attended, ranges.head, shape, n_bits, "attention")
    normalized = layer_norm(plan, hidden, shape, ranges.head, n_bits, "norm2")
    tokens, width = shape.heads.tokens, shape.heads.width
    inner = _projected(plan, "mlp.up", normalized, tokens * shape.inner, width, shape.inner, n_bits)
    activated = requantized(plan, "mlp.gelu", inner, symmetric(n_bits + 1), ranges.head)
    down = _projected(plan, "mlp.down", activated, tokens * width, shape.inner, width, n_bits)
    return _added(plan, hidden, down, ranges.head, shape, n_bits, "mlp")


def layer_norm(
    plan: Plan, hidden: Wire, shape: LayerShape, ranges: CompactRanges, n_bits: int, name: str
) -> Wire:
    """Write a LayerNorm down: from the residual stream to inputs of a projection."""
    n, tokens, width = shape.hidden, shape.heads.tokens, shape.heads.width
    residual = symmetric(n_bits + RESIDUAL_WIDER)
    # A sum of normal values reaches some sqrt(E) of the largest.
    reach = int(math.sqrt(width) * residual.high)
    total = plan.linear(
        f"{name}.mean",
        (hidden,),
        tokens,
        Range(-reach, reach),
        norm2=width * hidden.norm2,
        encrypted_addition=n,
    )
    mean = requantized(plan, f"{name}.mean", total, residual, ranges)
    centred = plan.linear(
        f"{name}.centre",
        (hidden, mean),
        n,
        residual + residual,
        encrypted_addition=n,
        encrypted_negation=n,
    )
    narrow = symmetric(n_bits + 1)
    centred = requantized(plan, f"{name}.centre", centred, narrow, ranges)
    squares = plan.lookup(f"{name}.squares", centred, Range(0, narrow.high**2))
    variance = plan.linear(
        f"{name}.inverse",
        (squares,),
        tokens,
        # The mean square of normal values is some ninth of the largest one's.
        Range(0, width * narrow.high**2 // 9),
        norm2=float(width),
        encrypted_addition=n,
    )
    inverse = requantized(plan, f"{name}.inverse", variance, unsigned(n_bits), ranges)
    stage = f"{name}.product"
    sums = plan.linear(
        stage, (centred, inverse), n, centred.range + inverse.range, encrypted_addition=n
    )
    of_sums = plan.lookup(stage, sums, Range(0, sums.range.high**2))
    of_inverse = plan.lookup(stage, inverse, Range(0, inverse.range.high**2))
    product = plan.linear(
        stage,
        (of_sums, squares, of_inverse),
        n,
        Range(-(sums.range.high**2), sums.range.high**2),
        encrypted_addition=2 * n,
        encrypted_negation=2 * n,
    )
    return requantized(plan, f"{name}.requantize", product, narrow, ranges)


def _projected(
    plan: Plan, stage: str, values: Wire, count: int, width: int, columns: int, n_bits: int
) -> Wire:
    """A product with a matrix of weights, shape (width, columns)."""
    values_of = HeadShape(width, columns, 1, 1, 1)
    products, bits, norm2 = stated_product(values_of, n_bits)
    return plan.linear(
        stage,
        (values,),
        count,
        products,
        width=bits,
        norm2=norm2 * values.norm2,
        tensor=width * columns,
        clear_multiplication=count * width,
        encrypted_addition=count * width,
    )


def _added(
    plan: Plan,
    hidden: Wire,
    product: Wire,
    ranges: CompactRanges,
    shape: LayerShape,
    n_bits: int,
    name: str,
) -> Wire:
    """The residual stream with a product requantized to it."""
    residual = symmetric(n_bits + RESIDUAL_WIDER)
    update = requantized(plan, f"{name}.requantize", product, residual, ranges)
    return plan.linear(
        f"{name}.residual",
        (hidden, update),
        shape.hidden,
        residual,
        encrypted_addition=shape.hidden,
    )
