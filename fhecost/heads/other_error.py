"""A variant whose lookups may go wrong more or less often than its own rules say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from fhecost.errors import FieldError
from fhecost.heads.attention_head import AttentionHead
from fhecost.heads.output_projection import BehindHeads
from fhecost.heads.stated import ReadWidths, StatedHeads, StatedShape
from fhecost.heads.variants import QuantizedHeads, Variant
from fhecost.quantization import FloatArray


def at_p_error(variant: Variant, p_error: float) -> Variant:
    """``variant`` with the probability ``p_error`` that a lookup reads a neighbour.

    Its name says so, ``compact@0.001``: what is kept of one is never taken for another.

    Raises:
        FieldError: it is no probability below a half, or the variant's heads have no rules that
            could be changed.
    """
    if not 0 < p_error < 0.5:
        raise FieldError("p_error", "must be above 0 and below 0.5", p_error)
    if not _has_rules(variant.heads):
        raise FieldError("p_error", f"the variant {variant.name} has its own, which is fixed")
    other = _Other(variant, p_error)
    return replace(
        variant,
        name=f"{variant.name}@{p_error!r}",
        quantize=other.quantize,
        state=None if variant.state is None else other.state,
    )


@dataclass(frozen=True)
class _Other:
    """What makes heads of ``variant`` with other rules; it goes to other processes whole."""

    variant: Variant
    p_error: float

    def quantize(
        self, heads: Sequence[AttentionHead], hidden: FloatArray, bits: int
    ) -> QuantizedHeads:
        """As the variant does, with other rules."""
        made: QuantizedHeads = self._with_rules(self.variant.quantize(heads, hidden, bits))
        return made

    def state(self, shape: StatedShape, widths: ReadWidths) -> StatedHeads:
        """As the variant does, with other rules."""
        assert self.variant.state is not None, "see at_p_error"
        stated = self.variant.state(shape, widths)
        return replace(stated, heads=self._with_rules(stated.heads))

    def _with_rules(self, heads: Any) -> Any:
        """``heads`` that tolerate this error, or those that they stand behind."""
        if isinstance(heads, BehindHeads):
            return replace(heads, heads=self._with_rules(heads.heads))
        return replace(heads, rules=replace(heads.rules, p_error=self.p_error))


def _has_rules(kind: type) -> bool:
    """Whether heads of the class have rules of their own, or heads that have."""
    own = any(field.name == "rules" for field in fields(kind))
    return own or issubclass(kind, BehindHeads)
