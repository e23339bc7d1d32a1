"""The quantized variants of a head, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fhecost.errors import UsageError
from fhecost.gpt2.attention_head import AttentionHead
from fhecost.gpt2.reference import ReferenceHead, quantize_reference_head
from fhecost.quantization import FloatArray

QuantizeHead = Callable[[AttentionHead, FloatArray, int], ReferenceHead]

VARIANTS: Mapping[str, QuantizeHead] = {"reference": quantize_reference_head}


def variant_named(name: str) -> QuantizeHead:
    """What quantizes a head as the variant ``name``.

    Raises:
        UsageError: no such variant.
    """
    try:
        return VARIANTS[name]
    except KeyError:
        known = ", ".join(VARIANTS)
        raise UsageError(f"--variant {name}: unknown; there is {known}") from None
