"""The quantized variants of heads, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from fhecost.errors import UsageError
from fhecost.heads.attention_head import AttentionHead
from fhecost.heads.compact import quantize_compact_heads
from fhecost.heads.compact_attention import quantize_compact_attention
from fhecost.heads.operators import ClearOperators, Operators
from fhecost.heads.reference import quantize_reference_heads
from fhecost.heads.reference_rounded import quantize_reference_rounded
from fhecost.quantization import FloatArray, IntArray


class QuantizedHeads(Protocol):
    """Heads of one layer on integers, all on the same input."""

    @property
    def n_bits(self) -> int:
        """The width that was asked for."""

    def quantize_input(self, hidden: FloatArray) -> IntArray:
        """Integers of normalized hidden states, shape (L, E)."""

    def saturated(self, hidden: FloatArray) -> int:
        """How many values of ``hidden`` fall outside the calibrated range."""

    def run(self, values: Any, operators: Operators) -> Any:
        """The integers of all heads, in the clear or as Concrete traces them, shape (L, c)."""

    @property
    def projected(self) -> bool:
        """Whether the output projection is inside."""

    def dequantize_output(self, integers: Any) -> FloatArray:
        """Real values of what :meth:`run` returned, shape (heads, L, d); projected, (1, L, E)."""


QuantizeHeads = Callable[[Sequence[AttentionHead], FloatArray, int], QuantizedHeads]

VARIANTS: Mapping[str, QuantizeHeads] = {
    "reference": quantize_reference_heads,
    "reference-rounded": quantize_reference_rounded,
    "compact": quantize_compact_heads,
    "compact-attention": quantize_compact_attention,
}


def variant_named(name: str) -> QuantizeHeads:
    """What quantizes heads as the variant ``name``: from weights, hidden states and a width.

    Raises:
        UsageError: no such variant.
    """
    try:
        return VARIANTS[name]
    except KeyError:
        known = ", ".join(VARIANTS)
        raise UsageError(f"--variant {name}: unknown; there is {known}") from None


def attend_quantized(
    heads: QuantizedHeads, hidden: FloatArray, operators: ClearOperators | None = None
) -> FloatArray:
    """The values of quantized heads in the clear, (L, E) to (heads, L, d).

    ``operators`` collects what the accumulators did.
    """
    integers = heads.run(heads.quantize_input(hidden), operators or ClearOperators())
    return heads.dequantize_output(integers)
