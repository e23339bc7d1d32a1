"""From a shape, bits and a scope to a circuit profile, in milliseconds and without weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from fhecost.circuits.profile import CircuitProfile, LinearOperation, LinearUse, Stage
from fhecost.circuits.work import ciphertext_bytes
from fhecost.closed_form.circuit import any_error, circuit_profile
from fhecost.closed_form.cost_error import cost_error
from fhecost.closed_form.heads import plan_attention, plan_compact, plan_reference
from fhecost.closed_form.layer_plan import (
    RESIDUAL_WIDER,
    LayerShape,
    attention_block,
    decoder_layer,
)
from fhecost.closed_form.parameter_sets import origin_of, predict_sets
from fhecost.closed_form.partitions import partition
from fhecost.closed_form.plan import Plan
from fhecost.closed_form.ranges import symmetric
from fhecost.closed_form.shapes import next_token, whole_sequence
from fhecost.closed_form.stated import (
    stated_attention,
    stated_compact,
    stated_product,
    stated_reference,
    stated_reference_rounded,
)
from fhecost.errors import UsageError
from fhecost.heads.variants import variant_named
from fhecost.models.shape import TransformerShape
from fhecost.quantization import check_bits

Scope = Literal["head", "block", "layer", "model", "token", "cached-token"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

STATED_REFERENCES = {
    "reference": stated_reference,
    "reference-rounded": stated_reference_rounded,
}


@dataclass(frozen=True)
class ShapeRequest:
    """What part of a model of which shape runs encrypted.

    Scopes: ``head`` is ``heads`` heads of a variant as they compile; ``block`` all heads of a layer
    side by side with their output projection; ``layer`` a decoder layer, ``model`` all of them with
    the last LayerNorm and the logits of the last token. ``token`` is one more token of a text of
    ``seq_len`` computed from scratch (the same work as ``model``), ``cached-token`` with the keys
    and values of the tokens before it kept encrypted: they count among the inputs.
    """

    shape: TransformerShape
    scope: Scope = "head"
    seq_len: int = 6
    bits: int = 4
    variant: str = "reference"
    heads: int = 1


def profile_of_shape(request: ShapeRequest) -> CircuitProfile:
    """The circuit profile of what ``request`` names, with stated widths and predicted sets.

    Raises:
        UsageError: the request is out of range.
        ImpossibleError: a lookup reads more than any circuit in the table of parameter sets.
    """
    check_request(request)
    shape, scope = request.shape, request.scope
    if scope == "head":
        return _profile(plan_of_heads(request), request, f"{request.variant} head")
    tokens = (
        next_token(shape.width, shape.dimension, request.seq_len, shape.heads)
        if scope == "cached-token"
        else whole_sequence(shape.width, shape.dimension, request.seq_len, shape.heads)
    )
    plan = Plan()
    count = tokens.tokens * shape.width
    if scope == "block":
        hidden = plan.input(count, symmetric(request.bits + 1))
        plan.output([attention_block(plan, hidden, tokens, request.bits)])
        return _profile(plan, request, "attention block")
    hidden = plan.input(count, symmetric(request.bits + RESIDUAL_WIDER))
    layer = LayerShape(tokens, shape.inner)
    plan.output([decoder_layer(plan, hidden, layer, request.bits)])
    of_layer = _profile(plan, request, "decoder layer")
    return of_layer if scope == "layer" else repeated(of_layer, request)


def plan_of_heads(request: ShapeRequest) -> Plan:
    """The plan of heads of a variant, each with its own stages, as compiling names them."""
    shape = whole_sequence(request.shape.width, request.shape.dimension, request.seq_len)
    if request.variant in STATED_REFERENCES:
        reference = STATED_REFERENCES[request.variant](shape, request.bits)
        return plan_reference(shape, reference.input, [reference] * request.heads)
    if request.variant == "compact":
        compact = stated_compact(shape, request.bits)
        return plan_compact(shape, compact.input, [compact] * request.heads)
    attention = stated_attention(shape, request.bits)
    heads = [attention] * request.shape.heads
    return plan_attention(shape, attention.head.input, heads, *stated_product(shape, request.bits))


def repeated(layer: CircuitProfile, request: ShapeRequest) -> CircuitProfile:
    """All layers of a model, one after the other, and the logits of the last token.

    Layers wait for each other, so each stage stands for that of all layers, in as many times the
    steps. The last LayerNorm is left out: a model has two for each of its layers.
    """
    shape = request.shape
    stages = [_times(stage, shape.layers) for stage in layer.stages]
    waited_for = {name for stage in layer.stages for name in stage.predecessors}
    dimension = max(use.lwe_dimension for stage in layer.stages for use in stage.linear)
    products = shape.width * shape.vocabulary
    operations: tuple[LinearOperation, ...] = ("clear_multiplication", "encrypted_addition")
    stages.append(
        Stage(
            name="logits",
            linear=tuple(
                LinearUse(operation=operation, lwe_dimension=dimension, count=products)
                for operation in operations
            ),
            parallel_width=products,
            predecessors=tuple(s.name for s in layer.stages if s.name not in waited_for),
        )
    )
    count = sum(stage.pbs_count for stage in stages)
    cached = _cached_bytes(layer, request) if request.scope == "cached-token" else 0
    # A text in one go shares its cost among its tokens; a token of its own bears all of it.
    tokens = request.seq_len if request.scope == "model" else 1
    changed = {
        "name": "whole model" if request.scope == "model" else "one token",
        "description": {
            **layer.description,
            "pbs_per_token": math.ceil(count / tokens),
            **({"cached_bytes": cached} if cached else {}),
        },
        "stages": tuple(stages),
        "input_bytes": layer.input_bytes + cached,
        "complexity": layer.complexity * shape.layers,
        "global_p_error": any_error(layer.p_error, count),
        "hash": "",
    }
    return CircuitProfile(**{**dict(layer), **changed})


def _cached_bytes(layer: CircuitProfile, request: ShapeRequest) -> int:
    """What the keys and values of the tokens before take, in all layers, as ciphertexts."""
    shape = request.shape
    reading = next(stage for stage in layer.stages if stage.name == "scores")
    dimension = max(use.parameters.input_lwe_dimension for use in reading.key_switches)
    earlier = request.seq_len - 1
    return 2 * earlier * shape.width * shape.layers * ciphertext_bytes(dimension)


def _times(stage: Stage, layers: int) -> Stage:
    """``stage`` of ``layers`` layers, one after the other."""
    return Stage(
        name=stage.name,
        pbs=tuple(use.model_copy(update={"count": use.count * layers}) for use in stage.pbs),
        key_switches=tuple(
            use.model_copy(update={"count": use.count * layers}) for use in stage.key_switches
        ),
        linear=tuple(use.model_copy(update={"count": use.count * layers}) for use in stage.linear),
        depth=stage.depth * layers,
        parallel_width=stage.parallel_width,
        bit_width=stage.bit_width,
        predecessors=stage.predecessors,
    )


def _profile(plan: Plan, request: ShapeRequest, name: str) -> CircuitProfile:
    partitions = partition(plan)
    variant = request.variant if request.scope == "head" else "compact-attention"
    parameters = predict_sets(variant, plan, partitions)
    shape = request.shape
    description: dict[str, str | int | float] = {
        "model": shape.name,
        "scope": request.scope,
        "seq_len": request.seq_len,
        "bits": request.bits,
        "variant": variant,
        "width": shape.width,
        "head_dimension": shape.dimension,
        "shape_from": shape.reference,
        "widths": "stated",
        "parameter_sets": origin_of(parameters),
    }
    if request.scope == "head":
        description["heads"] = request.heads
    return circuit_profile(
        plan,
        partitions,
        parameters,
        name=name,
        description=description,
        cost_error=cost_error(parameters, stated=True),
    )


def check_request(request: ShapeRequest) -> None:
    """Raise a UsageError unless ``request`` is in range and fits the shape."""
    check_bits(request.bits)
    if request.scope not in SCOPES:
        raise UsageError(f"--scope {request.scope}: must be one of {', '.join(SCOPES)}")
    variant_named(request.variant)
    if not 1 <= request.seq_len <= request.shape.context:
        raise UsageError(
            f"--seq-len {request.seq_len}: {request.shape.name} takes 1 to {request.shape.context}"
        )
    if not 1 <= request.heads <= request.shape.heads:
        raise UsageError(f"--heads: {request.shape.name} has {request.shape.heads} a layer")
