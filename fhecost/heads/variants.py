"""The registry of head variants: each is a file of its own and one line here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from types import MappingProxyType
from typing import Any, Protocol

from fhecost.errors import FieldError, did_you_mean
from fhecost.heads.attention_head import AttentionHead
from fhecost.heads.compact import CompactHeads, quantize_compact_heads, state_compact_heads
from fhecost.heads.compact_attention import (
    CompactAttention,
    quantize_compact_attention,
    state_compact_attention,
)
from fhecost.heads.compact_circuit import CompactHead
from fhecost.heads.fast import quantize_fast_heads, state_fast_heads
from fhecost.heads.operators import Operators
from fhecost.heads.parameter_rules import ParameterRules
from fhecost.heads.projected_heads import ProjectedHead, ProjectedHeads
from fhecost.heads.reference import (
    ReferenceHead,
    ReferenceHeads,
    quantize_reference_heads,
    state_reference_heads,
)
from fhecost.heads.reference_rounded import quantize_reference_rounded, state_reference_rounded
from fhecost.heads.rotary import TurnedWeights
from fhecost.heads.saved_setting import SavedSetting, load_setting
from fhecost.heads.stated import StateHeads
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
        """The integers of all heads, shape (L, c): what a circuit of them computes."""

    @property
    def projected(self) -> bool:
        """Whether the output projection is inside."""

    @property
    def rules(self) -> ParameterRules:
        """How often lookups of their circuit may go wrong."""

    def dequantize_output(self, integers: Any) -> FloatArray:
        """Real values of what :meth:`run` returned, shape (heads, L, d); projected, (1, L, E)."""


QuantizeHeads = Callable[[Sequence[AttentionHead], FloatArray, int], QuantizedHeads]


@dataclass(frozen=True)
class Variant:
    """A way to compute attention heads on integers.

    ``heads`` is the class of what ``quantize`` makes of float heads, hidden states and a width;
    ``parts`` are the data classes of which it consists, which a file of saved heads may hold.
    ``state`` makes heads from a shape alone; a variant without it needs weights. ``bits`` is the
    width of one that has no other, None for most; ``usual_bits`` that of one nobody chose. With
    ``any_length`` a token gets in a longer circuit, its sentence filled up, what it gets in one of
    the sentence's own length; without it masked tokens leave a trace in their row.
    """

    name: str
    heads: type
    quantize: QuantizeHeads
    state: StateHeads | None
    parts: tuple[type, ...] = ()
    bits: int | None = None
    usual_bits: int = 4
    any_length: bool = True

    def width(self, asked: int | None = None) -> int:
        """The width of heads for which ``asked`` was said; its own or the usual one for None.

        Raises:
            FieldError: it has a width of its own, and another is asked for.
        """
        if self.bits is None:
            return self.usual_bits if asked is None else asked
        if asked not in (None, self.bits):
            raise FieldError("bits", f"{self.name} has widths of its own; leave this out", asked)
        return self.bits


_VARIANTS: dict[str, Variant] = {}

VARIANTS: Mapping[str, Variant] = MappingProxyType(_VARIANTS)
"""All variants by name."""

_NEEDED = (
    "n_bits",
    "quantize_input",
    "saturated",
    "run",
    "projected",
    "rules",
    "dequantize_output",
)


def register(variant: Variant) -> None:
    """Add ``variant`` to those that every command knows.

    Raises:
        TypeError: it is registered by half: what everything else relies on is missing.
        ValueError: there is one of that name, or it is no name.
    """
    if not re.fullmatch(r"[a-z][a-z0-9-]*", variant.name):
        raise ValueError(f"variant {variant.name!r}: a name has small letters, digits and dashes")
    if variant.name in _VARIANTS:
        raise ValueError(f"variant {variant.name}: there is one of that name")
    declared = {*dir(variant.heads), *getattr(variant.heads, "__annotations__", {})}
    missing = [name for name in _NEEDED if name not in declared]
    if missing:
        raise TypeError(
            f"variant {variant.name}: {variant.heads.__name__} has no {', '.join(missing)}"
        )
    for kind in (variant.heads, *variant.parts):
        if not is_dataclass(kind):
            raise TypeError(f"variant {variant.name}: {kind.__name__} is no data class")
    if not callable(variant.quantize) or not (variant.state is None or callable(variant.state)):
        raise TypeError(f"variant {variant.name}: quantize and state must be functions")
    _VARIANTS[variant.name] = variant


def variant_of(saved: SavedSetting) -> Variant:
    """The variant that settings make; it is known to nobody by its name."""
    return Variant(saved.name, saved.heads, saved.quantize, saved.state, bits=saved.bits)


def variant_named(name: str | Variant) -> Variant:
    """The variant called ``name``, or that of a file of settings, a ``name`` in .json.

    A variant itself is given back as it is.

    Raises:
        UsageError: no such variant or file, or the file holds no settings.
    """
    if isinstance(name, Variant):
        return name
    if name.endswith(".json"):
        return variant_of(load_setting(name))
    if name not in _VARIANTS:
        there = f"{', '.join(_VARIANTS)}, or a saved head's FILE.json"
        like = did_you_mean(name, _VARIANTS)
        raise FieldError("variant", f"unknown; there is {there}{like}", name)
    return _VARIANTS[name]


for _variant in (
    Variant("reference", ReferenceHeads, quantize_reference_heads, state_reference_heads,
            parts=(ReferenceHead, TurnedWeights), any_length=False),
    Variant("reference-rounded", ReferenceHeads, quantize_reference_rounded,
            state_reference_rounded, parts=(ReferenceHead, TurnedWeights), any_length=False),
    Variant("compact", CompactHeads, quantize_compact_heads, state_compact_heads,
            parts=(CompactHead, TurnedWeights)),
    Variant("compact-attention", CompactAttention, quantize_compact_attention,
            state_compact_attention, parts=(CompactHeads, CompactHead, TurnedWeights)),
    # Saved settings make projected heads too, which have no name of their own.
    Variant("fast", CompactHeads, quantize_fast_heads, state_fast_heads,
            parts=(CompactHead, ProjectedHeads, ProjectedHead, TurnedWeights),
            # The narrowest that keeps what the published example promised; all kinds of machines
            # hold it.
            usual_bits=3),
):  # fmt: skip
    register(_variant)
