"""Shapes of decoder-only models, by name or from a ``config.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhecost.data import data_folder
from fhecost.errors import UsageError
from fhecost.files import read_json


@dataclass(frozen=True)
class TransformerShape:
    """A GPT-2-shaped decoder: ``inner`` is the MLP's width, ``context`` the longest sequence."""

    name: str
    layers: int
    heads: int
    width: int
    inner: int
    vocabulary: int
    context: int
    reference: str

    @property
    def dimension(self) -> int:
        """d, the head dimension."""
        return self.width // self.heads


_GPT2_VOCABULARY = 50257
_GPT2 = "Radford et al., Language Models are Unsupervised Multitask Learners, 2019, and its config"
_GPT3 = "Brown et al., Language Models are Few-Shot Learners, 2020, table 2.1"


def _gpt2(name: str, layers: int, heads: int, width: int) -> TransformerShape:
    return TransformerShape(
        name, layers, heads, width, 4 * width, _GPT2_VOCABULARY, 1024, f"{_GPT2}.json"
    )


SHAPES: Mapping[str, TransformerShape] = {
    shape.name: shape
    for shape in (
        _gpt2("gpt2", 12, 12, 768),
        _gpt2("gpt2-medium", 24, 16, 1024),
        _gpt2("gpt2-large", 36, 20, 1280),
        _gpt2("gpt2-xl", 48, 25, 1600),
        TransformerShape("gpt3-175b", 96, 96, 12288, 4 * 12288, _GPT2_VOCABULARY, 2048, _GPT3),
    )
}


def find_shape(name: str) -> TransformerShape:
    """The shape called ``name``, or that of a ``config.json`` or of the folder that holds one.

    Raises:
        UsageError: no such shape, or the file is no decoder's configuration.
    """
    if name in SHAPES:
        return SHAPES[name]
    path = data_folder("models/embedded") if name == "embedded" else Path(name)
    if path.is_dir():
        path = path / "config.json"
    if not path.is_file():
        known = ", ".join(["embedded", *SHAPES])
        raise UsageError(f"--model {name}: no shape of that name, no config.json; there is {known}")
    content = read_json(path)
    if not isinstance(content, dict):
        raise UsageError(f"{path}: must be an object with n_layer, n_head, n_embd")
    width = _count(path, content, "n_embd")
    heads = _count(path, content, "n_head")
    if width % heads:
        raise UsageError(f"{path}: n_embd: {width} must be a multiple of n_head, {heads}")
    inner = content.get("n_inner")
    return TransformerShape(
        name if name == "embedded" else path.resolve().parent.name,
        _count(path, content, "n_layer"),
        heads,
        width,
        4 * width if inner is None else _count(path, content, "n_inner"),
        _count(path, content, "vocab_size"),
        _count(path, content, "n_positions"),
        "its config.json",
    )


def _count(path: Path, content: Mapping[str, Any], name: str) -> int:
    value = content.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UsageError(f"{path}: {name}: must be a whole number above 0, not {value!r}")
    return value
