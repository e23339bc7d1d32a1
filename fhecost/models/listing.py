"""The models that have a name: what they are, and where their weights are."""

from __future__ import annotations

from typing import Literal

from fhecost.fields import Positive
from fhecost.frozen import Frozen
from fhecost.models.kept import SOURCES, folder_at_hand
from fhecost.models.shape import EMBEDDED, SHAPES, find_shape

WeightsAre = Literal["here", "to fetch", "hub", "not known"]
"""Where weights are: in a folder, in a package that can be fetched, on the Hugging Face hub under
that very name, or nowhere that fhecost knows: then the model is a shape alone."""


class KnownModel(Frozen):
    """A model that has a name, see :class:`fhecost.ModelShape`; ``weights`` are in ``folder``.

    ``package`` carries those that can be fetched, under ``license``.
    """

    name: str
    family: Literal["gpt2", "llama"]
    layers: Positive
    heads: Positive
    kv_heads: Positive
    head_dimension: Positive
    width: Positive
    vocabulary: Positive
    context: Positive
    reference: str
    weights: WeightsAre
    folder: str | None = None
    package: str | None = None
    license: str | None = None
    download_bytes: Positive | None = None


class ModelList(Frozen):
    """What ``fhecost models list`` and ``fetch`` print."""

    schema_version: Literal[1] = 1
    models: tuple[KnownModel, ...]


def list_models() -> ModelList:
    """What ``fhecost models list`` does: the models that have a name, and where their weights are.

    Raises:
        UsageError: the user has no cache folder.
    """
    return ModelList(models=tuple(known_model(name) for name in (EMBEDDED, *SHAPES)))


def known_model(name: str) -> KnownModel:
    """The model called ``name``, one of :func:`list_models`."""
    shape, source = find_shape(name), SOURCES.get(name)
    folder = folder_at_hand(name) if name == EMBEDDED or source else None
    weights: WeightsAre = "not known"
    if folder is not None:
        weights = "here"
    elif source is not None:
        weights = "to fetch"
    elif name.startswith("gpt2"):
        weights = "hub"
    return KnownModel.like(
        shape,
        head_dimension=shape.dimension,
        weights=weights,
        folder=None if folder is None else str(folder),
        package=source and source.requirement,
        license=source and source.license,
        download_bytes=source and source.size_bytes,
    )
