"""Shapes of decoder-only models: by name, from a ``config.json``, or from a model's folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fhecost.data import data_folder
from fhecost.errors import FieldError, did_you_mean
from fhecost.models.configuration import Configuration, read_configuration

EMBEDDED = "embedded"
"""The model that comes with fhecost."""

Heads = Sequence[int] | Literal["all"]
"""Heads of a layer, from 0."""


@dataclass(frozen=True)
class ModelShape:
    """All that counts depend on of a decoder.

    E = ``width``, d = ``dimension`` of each of ``heads`` heads, which share ``kv_heads`` keys and
    values; ``inner`` is the MLP's width, ``context`` the longest sequence, ``reference`` where the
    shape is from.
    """

    name: str
    layers: int
    heads: int
    kv_heads: int
    dimension: int
    width: int
    inner: int
    vocabulary: int
    context: int
    reference: str


_VOCABULARY = 50257
_GPT2 = "Radford et al., Language Models are Unsupervised Multitask Learners, 2019, and its config"
_GPT3 = "Brown et al., Language Models are Few-Shot Learners, 2020, table 2.1"


def _gpt(
    name: str, layers: int, heads: int, width: int, context: int = 1024, of: str = f"{_GPT2}.json"
) -> ModelShape:
    sizes = (layers, heads, heads, width // heads, width, 4 * width, _VOCABULARY, context)
    return ModelShape(name, *sizes, reference=of)


SHAPES: Mapping[str, ModelShape] = {
    shape.name: shape
    for shape in (
        _gpt("gpt2", 12, 12, 768),
        _gpt("gpt2-medium", 24, 16, 1024),
        _gpt("gpt2-large", 36, 20, 1280),
        _gpt("gpt2-xl", 48, 25, 1600),
        _gpt("gpt3-175b", 96, 96, 12288, context=2048, of=_GPT3),
    )
}


def find_shape(name: str) -> ModelShape:
    """The shape called ``name``, or that of a ``config.json`` or of the folder that holds one.

    Raises:
        FieldError: no such shape.
        UsageError: the file is no GPT-2's configuration.
    """
    if name in SHAPES:
        return SHAPES[name]
    path = data_folder("models/embedded") if name == EMBEDDED else Path(name)
    if path.is_dir():
        path = path / "config.json"
    if not path.is_file():
        known = [EMBEDDED, *SHAPES]
        said = f"no shape of that name, no config.json; there is {', '.join(known)}"
        raise FieldError("model", said + did_you_mean(name, known), name)
    return read_shape(path, name if name == EMBEDDED else None)


def read_shape(path: Path, name: str | None = None) -> ModelShape:
    """The shape that a ``config.json`` describes, called ``name`` or after its folder.

    Raises:
        UsageError: the file is no GPT-2's configuration.
    """
    return shape_of(read_configuration(path), name or path.resolve().parent.name)


def shape_of(configuration: Configuration, name: str) -> ModelShape:
    """The shape that ``configuration`` describes, called ``name``."""
    content, left_out = configuration
    width, heads = content["n_embd"], content["n_head"]
    return ModelShape(
        name=name,
        layers=content["n_layer"],
        heads=heads,
        kv_heads=heads,
        dimension=width // heads,
        width=width,
        inner=content["n_inner"] or 4 * width,
        vocabulary=content["vocab_size"],
        context=content["n_positions"],
        reference="its config.json"
        + (f", and GPT-2's own {', '.join(left_out)}" if left_out else ""),
    )


def head_numbers(shape: ModelShape, heads: Heads) -> tuple[int, ...]:
    """The heads of a layer that ``heads`` names, by number.

    Raises:
        FieldError: none, the same one twice, or one that the layer hasn't got.
    """
    if isinstance(heads, str):
        if heads != "all":
            raise FieldError("heads", "must be numbers, or all", heads)
        heads = range(shape.heads)
    numbers = tuple(int(head) for head in heads)
    if not numbers:
        raise FieldError("heads", f"name at least one; the layer has heads 0 to {shape.heads - 1}")
    for head in numbers:
        check_head(shape.heads, head)
    if len(set(numbers)) < len(numbers):
        raise FieldError("heads", "the same head is named twice")
    return numbers


def check_head(n_heads: int, head: int) -> None:
    """Raise a FieldError unless a layer of ``n_heads`` heads has ``head``."""
    if not 0 <= head < n_heads:
        raise FieldError("heads", f"the layer has heads 0 to {n_heads - 1}", head)
