"""Whether a circuit's widths come from a model's weights or from its shape alone."""

from __future__ import annotations

from pathlib import Path

from fhecost.circuits.description import Scope, Widths
from fhecost.closed_form.scopes import ShapeRequest
from fhecost.data import data_folder
from fhecost.errors import FieldError
from fhecost.models.shape import EMBEDDED, Heads, find_shape, head_numbers

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin", "model.safetensors.index.json")


def widths_of(model: str, scope: Scope = "head", widths: Widths | None = None) -> Widths:
    """Where the widths of a part of ``model`` come from, if they may come from ``widths``.

    Weights set those of heads when they are at hand, unless stated ones are asked for.

    Raises:
        FieldError: calibrated widths are asked for, and there are no weights to calibrate.
    """
    folder = data_folder("models/embedded") if model == EMBEDDED else Path(model)
    has_weights = any((folder / name).is_file() for name in WEIGHT_FILES)
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
    variant: str = "reference",
    heads: Heads = (0,),
) -> ShapeRequest:
    """The request for ``model`` by its shape alone.

    Raises:
        UsageError: no such shape, or heads that it hasn't got.
    """
    shape = find_shape(model)
    count = len(head_numbers(shape, heads))
    return ShapeRequest(shape, scope, seq_len, bits, variant, count)
