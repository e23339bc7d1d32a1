"""Circuits without compiling: whether widths come from weights or from a shape, and the former."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fhecost.circuits.description import Scope, Widths
from fhecost.circuits.profile import CircuitProfile
from fhecost.closed_form.circuit import predicted_profile
from fhecost.closed_form.held import Sampled
from fhecost.closed_form.plan import Plan
from fhecost.closed_form.plan_operators import plan_of
from fhecost.closed_form.scopes import ShapeRequest
from fhecost.data import data_folder
from fhecost.errors import FieldError
from fhecost.gpt2.head_circuit import HeadCircuit, HeadRequest, locate, quantize_heads
from fhecost.gpt2.weights import holds_weights
from fhecost.heads.parameter_rules import ParameterRules
from fhecost.heads.variants import Variant
from fhecost.models.shape import EMBEDDED, Heads, find_shape, head_numbers
from fhecost.progress import Progress, silent


def widths_of(model: str, scope: Scope = "head", widths: Widths | None = None) -> Widths:
    """Where the widths of a part of ``model`` come from, if they may come from ``widths``.

    Weights set those of heads when they are at hand, unless stated ones are asked for.

    Raises:
        FieldError: calibrated widths are asked for, and there are no weights to calibrate.
    """
    folder = data_folder("models/embedded") if model == EMBEDDED else Path(model)
    # Weights that aren't loaded are weights too: the folder is refused by their name.
    has_weights = folder.is_dir() and any(map(holds_weights, folder.iterdir()))
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
    bits: int = 4,
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
    return predict_planned(quantized, plan, rules, global_p_error=global_p_error)


def planned_heads(quantized: HeadCircuit) -> Plan:
    """The plan of ``quantized``, whose widths its calibration sentences tell."""
    return plan_of(quantized.heads.run, Sampled(np.stack(quantized.inputset)))


def predict_planned(
    quantized: HeadCircuit,
    plan: Plan,
    rules: ParameterRules,
    *,
    global_p_error: float | None = None,
) -> CircuitProfile:
    """The circuit profile of ``plan``, that of ``quantized``, by other ``rules`` than its own.

    Raises:
        ImpossibleError: no parameters keep the noise low enough.
    """
    located = quantized.located
    description = located.description.changed(widths="calibrated")
    return predicted_profile(
        plan,
        located.circuit_name,
        description,
        rules=rules,
        solve=True,
        global_p_error=global_p_error,
    )


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
