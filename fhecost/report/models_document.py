"""What ``fhecost models`` says: the models that have a name, and where their weights are."""

from __future__ import annotations

from fhecost.models.listing import KnownModel, ModelList
from fhecost.report.columns import Table, column, names, numbers, records
from fhecost.report.document import Document, Text
from fhecost.units import amount

_BY_NAME = {"hub": "on the Hugging Face hub", "not known": "none: its shape alone"}


def models_document(report: ModelList) -> Document:
    """A line a model."""
    models = report.models
    table = Table(
        names("model", (one.name for one in models), least=14),
        numbers("layers", (one.layers for one in models)),
        column("heads", (_heads(one) for one in models)),
        numbers("width", (one.width for one in models)),
        numbers("context", (one.context for one in models)),
        column("weights", (_weights(one) for one in models)),
    )
    folders = (f"{one.name}: {one.folder}" for one in models if one.folder is not None)
    return Document(
        blocks=(table, *map(Text, folders)),
        records=records(tuple(KnownModel.model_fields), (dict(one) for one in models)),
        report=report,
    )


def _heads(model: KnownModel) -> str:
    shared = "" if model.kv_heads == model.heads else f", {model.kv_heads} KV"
    return f"{model.heads} of {model.head_dimension}{shared}"


def _weights(model: KnownModel) -> str:
    if model.weights == "to fetch" and model.download_bytes is not None:
        size = amount(model.download_bytes, "B")
        return f"to fetch, {size}"
    return "here" if model.weights == "here" else _BY_NAME[model.weights]
