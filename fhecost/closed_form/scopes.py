"""From a shape, bits and a scope to a circuit profile, in milliseconds and without weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fhecost.circuits.description import SCOPES, CircuitDescription, Scope
from fhecost.circuits.profile import CircuitProfile
from fhecost.closed_form.circuit import predicted_profile
from fhecost.closed_form.held import Stated
from fhecost.closed_form.plan import Plan
from fhecost.closed_form.plan_operators import PlanOperators, PlanTensor, plan_of
from fhecost.errors import FieldError
from fhecost.heads.compact_attention import NAME as ATTENTION
from fhecost.heads.compact_circuit import CompactHead, Earlier
from fhecost.heads.layer import state_block, state_layer, state_model
from fhecost.heads.parameter_rules import USUAL
from fhecost.heads.stated import StatedHeads, StatedShape
from fhecost.heads.variants import Variant, variant_named
from fhecost.models.model_shape import ModelShape
from fhecost.quantization import check_bits, largest_integer
from fhecost.quantization.ranges import Range

CIRCUITS: Mapping[Scope, str] = {
    "head": "head",
    "block": "attention block",
    "layer": "decoder layer",
    "model": "whole model",
    "token": "one token",
    "cached-token": "one token",
}
"""What a circuit of each scope is called."""


@dataclass(frozen=True)
class ShapeRequest:
    """What part of a model of which shape runs encrypted.

    Scopes: ``head`` is ``heads`` heads of a variant as they compile; ``block`` all heads of a layer
    side by side with their output projection; ``layer`` a decoder layer, ``model`` all of them with
    the last norm and the logits of the last token. ``token`` is one more token of a text of
    ``seq_len`` computed from scratch (the same work as ``model``), ``cached-token`` with the keys
    and values of the tokens before it, and their squares, kept encrypted: they are inputs.
    ``bits`` are those that the variant usually has when None.
    """

    shape: ModelShape
    scope: Scope = "head"
    seq_len: int = 6
    bits: int | None = None
    variant: str | Variant = "reference"
    heads: int = 1

    @property
    def width(self) -> int:
        """Bits of its tensors: those asked for, or what its variant usually has."""
        named = self.variant if self.scope == "head" else ATTENTION
        return variant_named(named).width(self.bits)

    @property
    def stated(self) -> StatedShape:
        """What its heads are stated for: those asked for, or all of a layer."""
        heads = self.heads if self.scope == "head" else self.shape.heads
        return StatedShape(
            width=self.shape.width,
            dimension=self.shape.dimension,
            heads=heads,
            seq_len=self.seq_len,
            n_bits=self.width,
            family=self.shape.family,
            of_layer=self.shape.heads,
            kv_heads=self.shape.kv_heads,
        )


def profile_of_shape(
    request: ShapeRequest, *, global_p_error: float | None = None
) -> CircuitProfile:
    """The circuit profile of what ``request`` names, with stated widths and predicted sets.

    With ``global_p_error`` the sets are solved for so many errors in all.

    Raises:
        FieldError: a field of the request is out of range.
        ImpossibleError: a lookup reads more than any circuit in the table of parameter sets.
    """
    check_request(request)
    variant = variant_named(request.variant)
    shape, of_head, scope = request.shape, request.scope == "head", request.scope
    # A text in one go shares its cost among its tokens; a token of its own bears all of it.
    sharing = {"model": request.seq_len, "token": 1, "cached-token": 1}.get(scope)
    heads = stated_heads(request)
    return predicted_profile(
        plan_of_shape(request, heads),
        f"{variant.name} {CIRCUITS[scope]}" if of_head else CIRCUITS[scope],
        CircuitDescription(
            model=shape.name,
            scope=scope,
            seq_len=request.seq_len,
            bits=request.width,
            variant=variant.name if of_head else ATTENTION,
            heads=tuple(range(request.heads)) if of_head else None,
            width=shape.width,
            head_dimension=shape.dimension,
            shape_from=shape.reference,
            widths="stated",
        ),
        sharing_tokens=sharing,
        rules=heads.heads.rules if of_head else USUAL,
        global_p_error=global_p_error,
    )


def stated_heads(request: ShapeRequest) -> StatedHeads:
    """The heads of what ``request`` names, or what else it has, with stated widths.

    Raises:
        FieldError: the variant has no stated widths, or not for these heads.
    """
    shape, stated, scope = request.shape, request.stated, request.scope
    if scope == "head":
        variant = variant_named(request.variant)
        if variant.state is None:
            why = "has no stated widths: it takes a model whose weights are at hand"
            raise FieldError("variant", why, variant.name)
        return variant.state(stated, lambda heads: _widths_read(stated, heads))
    if scope == "block":
        return state_block(stated)
    if scope == "layer":
        return state_layer(stated, shape.inner)
    return state_model(stated, shape.inner, shape.layers, shape.vocabulary)


def plan_of_shape(request: ShapeRequest, heads: StatedHeads | None = None) -> Plan:
    """The plan of what ``request`` names; of its stated ``heads`` where these are made already.

    Raises:
        FieldError: the variant has no stated widths, or not for these heads.
    """
    heads = heads or stated_heads(request)
    stated, scope = request.stated, request.scope
    if scope != "cached-token" or stated.seq_len == 1:
        return plan_of(heads.heads.run, _entering(stated, heads))

    def run(hidden: Any, operators: Any) -> Any:
        return heads.heads.run(
            hidden, operators, lambda head: _earlier(operators, head, stated.seq_len - 1)
        )

    return plan_of(run, _entering(replace(stated, seq_len=1), heads))


def _entering(shape: StatedShape, stated: StatedHeads) -> Stated:
    return Stated.symmetric(
        (shape.seq_len, shape.width), largest_integer(stated.input_bits), stated.input_spread
    )


def _widths_read(shape: StatedShape, stated: StatedHeads) -> dict[str, int]:
    """By stage, the width of what its lookups read."""
    plan = plan_of(stated.heads.run, _entering(shape, stated))
    read: dict[str, int] = {}
    for wire in plan.wires:
        if wire.kind == "lookup":
            bits = plan.wires[wire.sources[0]].range.bits
            read[wire.stage] = max(bits, read.get(wire.stage, 0))
    return read


def _earlier(operators: PlanOperators, head: CompactHead, tokens: int) -> Earlier:
    """The encrypted inputs of one head that hold what is known of ``tokens`` before."""
    d, v, most_key, most_value = head.rank, head.value_rank, head.key.largest, head.value.largest

    def input(shape: tuple[int, ...], high: int, norm2: float, low: int = 0) -> PlanTensor:
        middle = (low + high) / 2
        return operators.input(Stated(shape, Range(low, high), middle, (high - middle) / 2), norm2)

    return Earlier(
        key=input((tokens, d), most_key, 1.0, -most_key),
        key_squares=input((tokens,), d * most_key**2, float(d)),
        value=input((tokens, v), 2 * most_value, 1.0),
        value_squares=input((tokens, v), most_value**2, 1.0),
    )


def check_request(request: ShapeRequest) -> None:
    """Raise a FieldError unless ``request`` is in range and fits the shape."""
    shape = request.shape
    if request.scope not in SCOPES:
        raise FieldError("scope", f"must be one of {', '.join(SCOPES)}", request.scope)
    variant_named(request.variant)
    check_bits(request.width)
    if not 1 <= request.seq_len <= shape.context:
        raise FieldError("seq_len", f"{shape.name} takes 1 to {shape.context}", request.seq_len)
    if not 1 <= request.heads <= shape.heads:
        raise FieldError("heads", f"{shape.name} has {shape.heads} a layer")
    if shape.heads % shape.kv_heads:
        raise FieldError("model", f"its {shape.heads} heads can't share {shape.kv_heads} keys")
    if shape.window is not None and request.seq_len > shape.window:
        why = (
            f"beyond the sliding window of {shape.name}, {shape.window} tokens, which isn't counted"
        )
        raise FieldError("seq_len", why, request.seq_len)
