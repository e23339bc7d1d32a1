"""Circuits without compiling: whether widths come from weights or from a shape, and the former."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from fhecost.circuits.description import Scope, Widths
from fhecost.circuits.profile import CircuitProfile
from fhecost.closed_form.circuit import PlannedCircuit, predicted_profiles
from fhecost.closed_form.held import Sampled
from fhecost.closed_form.plan import Plan
from fhecost.closed_form.plan_operators import plan_of
from fhecost.closed_form.scopes import ShapeRequest
from fhecost.errors import FieldError, ImpossibleError
from fhecost.gpt2.head_circuit import HeadCircuit, HeadRequest, locate, quantize_heads
from fhecost.gpt2.hybrid import MultiHeadsQGPT2Model
from fhecost.gpt2.weights import holds_weights
from fhecost.heads.parameter_rules import ParameterRules
from fhecost.heads.variants import Variant
from fhecost.models.gguf_file import is_gguf
from fhecost.models.kept import folder_at_hand
from fhecost.models.shape import Heads, find_shape, head_numbers
from fhecost.progress import Progress, silent


def widths_of(model: str, scope: Scope = "head", widths: Widths | None = None) -> Widths:
    """Where the widths of a part of ``model`` come from, if they may come from ``widths``.

    Weights set those of heads when they are at hand, unless stated ones are asked for.

    Raises:
        FieldError: calibrated widths are asked for, and there are no weights to calibrate.
    """
    folder = folder_at_hand(model)
    # Weights that aren't loaded are weights too: the folder is refused by their name.
    in_folder = folder is not None and any(map(holds_weights, folder.iterdir()))
    has_weights = in_folder or is_gguf(Path(model))
    if scope == "head" and widths != "stated" and has_weights:
        return "calibrated"
    if widths == "calibrated":
        why = f"scope {scope} has stated widths only"
        raise FieldError(
            "widths", why if has_weights else f"model {model} has no weights at hand", widths
        )
    return "stated"


def shape_request(
    model: str,
    scope: Scope = "head",
    *,
    seq_len: int = 6,
    bits: int | None = None,
    variant: str | Variant = "reference",
    heads: Heads = (0,),
) -> ShapeRequest:
    """The request for ``model`` by its shape alone.

    Raises:
        UsageError: no such shape, or heads that it hasn't got.
    """
    shape = find_shape(model)
    count = len(head_numbers(shape, heads))
    return ShapeRequest(shape, scope, seq_len, bits, variant, count)


def predict_heads(quantized: HeadCircuit, *, global_p_error: float | None = None) -> CircuitProfile:
    """The circuit profile that compiling ``quantized`` would give.

    With ``global_p_error``: for so many errors in all, whatever its own rules say.

    Raises:
        ImpossibleError: no parameters keep the noise low enough.
    """
    plan, rules = planned_heads(quantized), quantized.heads.rules
    (profile,) = predict_planned(quantized, plan, [rules], global_p_error=global_p_error)
    if isinstance(profile, ImpossibleError):
        raise profile
    return profile


def planned_heads(quantized: HeadCircuit) -> Plan:
    """The plan of ``quantized``, whose widths its calibration sentences tell."""
    return plan_of(quantized.heads.run, Sampled(np.stack(quantized.inputset)))


def predict_planned(
    quantized: HeadCircuit,
    plan: Plan,
    rules: Iterable[ParameterRules],
    *,
    global_p_error: float | None = None,
) -> list[CircuitProfile | ImpossibleError]:
    """The circuit profile of ``plan``, that of ``quantized``, by each of some ``rules``.

    Or that no parameters keep the noise low enough.
    """
    located = quantized.located
    description = located.description.changed(widths="calibrated")
    planned = [PlannedCircuit(plan, located.circuit_name, description, rules=one) for one in rules]
    return predicted_profiles(planned, solve=True, global_p_error=global_p_error)


def predict_lengths(
    model: MultiHeadsQGPT2Model, lengths: Iterable[int]
) -> list[CircuitProfile | ImpossibleError]:
    """The circuit profiles that compiling ``model`` for sentences of these lengths would give.

    Or that no parameters keep the noise low enough.

    Raises:
        UsageError: a length doesn't fit the model.
    """
    quantized = model.quantized
    planned = [
        PlannedCircuit(
            plan_of(quantized.run, Sampled(np.stack(model.inputset(length)))),
            model.circuit_name,
            model.description(length).changed(widths="calibrated"),
            rules=quantized.rules,
        )
        for length in lengths
    ]
    return predicted_profiles(planned, solve=True)


def profile_of_weights(
    request: HeadRequest,
    progress: Progress = silent,
    *,
    use_cache: bool = True,
    global_p_error: float | None = None,
) -> CircuitProfile:
    """The circuit profile that compiling the heads of ``request`` would give.

    With ``global_p_error``: for so many errors in all, whatever the variant's own rules say.

    Raises:
        UsageError: the request is out of range or doesn't fit the model.
        ImpossibleError: nothing is left of the head at this width, or a lookup reads more than any
            circuit in the table of parameter sets.
    """
    located = locate(request)

    def predicted() -> CircuitProfile:
        quantized = quantize_heads(located, progress)
        progress("predicting the circuit")
        return predict_heads(quantized, global_p_error=global_p_error)

    made = "closed form" if global_p_error is None else f"closed form, {global_p_error:g} in all"
    return located.through_cache(predicted, made) if use_cache else predicted()
