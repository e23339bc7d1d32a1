"""Whether a circuit's widths come from a model's weights or from its shape alone."""

from __future__ import annotations

from pathlib import Path

from fhecost.circuits.description import Scope
from fhecost.closed_form.scopes import ShapeRequest
from fhecost.data import data_folder
from fhecost.errors import FieldError
from fhecost.models.shape import EMBEDDED, Heads, find_shape, head_numbers

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin", "model.safetensors.index.json")


def closed_form_request(
    model: str,
    *,
    scope: Scope = "head",
    widths: str | None = None,
    seq_len: int = 6,
    bits: int = 4,
    variant: str = "reference",
    heads: Heads = (0,),
) -> ShapeRequest | None:
    """The request for ``model`` by its shape; None where its weights are to set the widths.

    Weights set the widths of heads when they are at hand, unless ``widths`` is ``stated``.

    Raises:
        FieldError: no such shape, or calibrated widths without weights to calibrate.
    """
    has_weights = weights_at_hand(model)
    if scope == "head" and widths != "stated" and has_weights:
        return None
    if widths == "calibrated":
        why = f"scope {scope} has stated widths only"
        if not has_weights:
            why = f"model {model} has no weights at hand"
        raise FieldError("widths", why, widths)
    return shape_request(
        model, scope=scope, seq_len=seq_len, bits=bits, variant=variant, heads=heads
    )


def shape_request(
    model: str,
    *,
    scope: Scope = "head",
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


def weights_at_hand(model: str) -> bool:
    """Whether ``model`` is the embedded one or a folder with weights in it."""
    folder = data_folder("models/embedded") if model == EMBEDDED else Path(model)
    return any((folder / name).is_file() for name in WEIGHT_FILES)
