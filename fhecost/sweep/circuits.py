"""From a point to its variant, and to the requests for its circuit."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fhecost.circuit_request import PredictedHeads, PredictedShape
from fhecost.closed_form.requests import shape_request, widths_of
from fhecost.closed_form.scopes import check_request
from fhecost.errors import FieldError, UsageError, all_validation_errors, first_of
from fhecost.gpt2.head_circuit import HeadRequest, locate
from fhecost.gpt2.model import find_model, model_shape
from fhecost.heads.compact import compact_setting
from fhecost.heads.fast import fast_setting
from fhecost.heads.other_error import at_p_error
from fhecost.heads.parameter_rules import USUAL
from fhecost.heads.saved_setting import SavedSetting, load_setting
from fhecost.heads.variants import Variant, variant_named, variant_of
from fhecost.models.shape import EMBEDDED, SHAPES, find_shape
from fhecost.quantization import check_bits
from fhecost.sweep.experiment import Step
from fhecost.sweep.points import Point

NEED_WEIGHTS: frozenset[Step] = frozenset({"compile", "accuracy", "measure"})
"""Steps that a shape alone is not enough for."""

_OF_HEADS = ("layer", "heads", "variant", "settings", "p_error", "widths")
"""Fields that say something of heads only."""


@dataclass(frozen=True)
class PointCircuit:
    """What a point's circuit is asked for by: from weights, by closed form, or both."""

    variant: Variant
    heads: HeadRequest | None
    counted: PredictedHeads | PredictedShape | None

    @property
    def counts_from_weights(self) -> bool:
        """Whether the closed form looks at weights too."""
        return isinstance(self.counted, PredictedHeads)


def model_path(model: str, folder: Path) -> str:
    """The name of a model, or the path of what ``folder``, the experiment's, calls so."""
    if model in (EMBEDDED, *SHAPES) or not (folder / model).exists():
        return model
    return str((folder / model).resolve())


def with_settings_read(point: Point, folder: Path) -> Point:
    """``point`` with the settings of a file that it names as its variant, in ``folder``.

    Raises:
        FieldError: there is no such file, or it holds no settings.
    """
    if not isinstance(point.variant, str) or not point.variant.endswith(".json"):
        return point
    try:
        return point.changed(variant=load_setting(folder / point.variant))
    except UsageError as error:
        raise FieldError("variant", str(error)) from error


def variant_at(point: Point, *, turns: bool) -> Variant:
    """The variant of ``point``, with its own settings and error.

    ``turns`` is whether its heads turn with their token's position, which some start wider for.

    Raises:
        FieldError: there is no such variant, or it has no such settings.
    """
    saved = point.variant if isinstance(point.variant, SavedSetting) else None
    if point.settings:
        saved = _with_settings(point, turns)
    if saved is None:
        variant = variant_named(str(point.variant))
        return variant if point.p_error is None else at_p_error(variant, point.p_error)
    if point.p_error is not None:
        saved = saved.changed(rules=replace(saved.rules, p_error=point.p_error))
    return variant_of(saved)


def _with_settings(point: Point, turns: bool) -> SavedSetting:
    check_bits(point.bits)
    match point.variant:
        case SavedSetting():
            saved = point.variant
        case "fast":
            setting, rules = fast_setting(point.bits, turns=turns)
            saved = SavedSetting(settings=(setting,), rules=rules)
        case "compact":
            saved = SavedSetting(settings=(compact_setting(point.bits),), rules=USUAL)
        case _:
            why = f"the variant {point.variant_name} has none to change; fast and compact have"
            raise FieldError("settings", why)
    try:
        values: dict[str, Any] = dict(point.settings)
        changed = [replace(one, **values) for one in saved.settings]
        return saved.changed(settings=tuple(changed))
    except ValidationError as error:
        raise FieldError("settings", first_of(all_validation_errors(error.errors()))) from error
    except ValueError as error:
        raise FieldError("settings", str(error)) from error


def circuit_of(point: Point, steps: Collection[Step], model: str) -> PointCircuit:
    """How the circuit of ``point`` is come by, for ``steps``; nothing is computed yet.

    Args:
        point: with no file as its variant.
        steps: what is asked of it.
        model: the point's, as :func:`model_path` finds it.

    Raises:
        UsageError: a field is out of range, or doesn't go with the others.
    """
    weights, heads = NEED_WEIGHTS.intersection(steps), None
    variant = variant_at(point, turns=bool(point.settings) and _turns(model, bool(weights)))
    if point.scope != "head":
        if weights:
            step = ", ".join(sorted(weights))
            raise FieldError("scope", f"only heads go with {step}", point.scope)
        _refuse(point, _OF_HEADS, f"scope {point.scope} has all heads, compact; leave it out")
    calibrated = widths_of(model, point.scope, point.widths) == "calibrated"
    if weights or (calibrated and "count" in steps):
        heads = HeadRequest(
            model=model,
            layer=point.layer,
            heads=point.heads,
            seq_len=point.seq_len,
            bits=variant.bits or point.bits,
            variant=variant,
        )
        locate(heads)
    else:
        _refuse(point, ("layer",), "a shape alone has no layer; leave it out")
    counted: PredictedHeads | PredictedShape | None = None
    if "count" in steps and calibrated and heads is not None:
        counted = PredictedHeads(heads)
    elif "count" in steps:
        of_heads: dict[str, Any] = {"variant": variant, "heads": point.heads}
        request = shape_request(
            model,
            point.scope,
            seq_len=point.seq_len,
            bits=variant.bits or point.bits,
            **of_heads if point.scope == "head" else {},
        )
        check_request(request)
        if point.scope == "head" and variant.state is None:
            why = "has no stated widths: it takes a model whose weights are at hand"
            raise FieldError("variant", why, variant.name)
        counted = PredictedShape(request)
    return PointCircuit(variant, heads, counted)


def _turns(model: str, with_weights: bool) -> bool:
    """Whether the heads of ``model`` turn with their token's position."""
    shape = model_shape(find_model(model)) if with_weights else find_shape(model)
    return shape.family == "llama"


def _refuse(point: Point, fields: Collection[str], why: str) -> None:
    for field in fields:
        if field in point.model_fields_set:
            raise FieldError(field, why)
