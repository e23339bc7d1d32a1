"""Shapes of decoder-only models: by name, from a ``config.json``, or from a model's folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from fhecost.data import data_folder
from fhecost.errors import FieldError, did_you_mean
from fhecost.files import read_json
from fhecost.models.configuration import Configuration, read_configuration
from fhecost.models.gguf_file import is_gguf, read_gguf_configuration
from fhecost.models.llama_configuration import LLAMA_TYPES, read_llama_configuration
from fhecost.models.model_shape import ModelShape

EMBEDDED = "embedded"
"""The model that comes with fhecost."""

Heads = Sequence[int] | Literal["all"]
"""Heads of a layer, from 0."""

_VOCABULARY = 50257
_GPT2 = "Radford et al., Language Models are Unsupervised Multitask Learners, 2019, and its config"
_GPT3 = "Brown et al., Language Models are Few-Shot Learners, 2020, table 2.1"


def _gpt(
    name: str, layers: int, heads: int, width: int, context: int = 1024, of: str = f"{_GPT2}.json"
) -> ModelShape:
    sizes = (layers, heads, heads, width // heads, width, 4 * width, _VOCABULARY, context)
    return ModelShape(name, *sizes, reference=of)


def _llama(
    name: str,
    layers: int,
    heads: tuple[int, int],
    width: int,
    inner: int,
    vocabulary: int,
    context: int,
    of: str,
    paper: str,
    window: int | None = None,
) -> ModelShape:
    """``heads`` are those of queries and those of keys and values; ``of`` is a repository."""
    sizes = (layers, *heads, width // heads[0], width, inner, vocabulary, context)
    reference = f"huggingface.co/{of}, config.json; {paper}"
    return ModelShape(name, *sizes, reference=reference, family="llama", window=window)


SHAPES: Mapping[str, ModelShape] = {
    shape.name: shape
    for shape in (
        _gpt("gpt2", 12, 12, 768),
        _gpt("gpt2-medium", 24, 16, 1024),
        _gpt("gpt2-large", 36, 20, 1280),
        _gpt("gpt2-xl", 48, 25, 1600),
        _gpt("gpt3-175b", 96, 96, 12288, context=2048, of=_GPT3),
        _llama("smollm2", 30, (9, 3), 576, 1536, 49152, 8192,
               "HuggingFaceTB/SmolLM2-135M-Instruct", "Allal et al., arXiv:2502.02737"),
        _llama("tinyllama", 22, (32, 4), 2048, 5632, 32000, 2048,
               "TinyLlama/TinyLlama-1.1B-Chat-v1.0", "Zhang et al., arXiv:2401.02385"),
        _llama("llama-2-7b", 32, (32, 32), 4096, 11008, 32000, 4096,
               "meta-llama/Llama-2-7b-hf", "Touvron et al., arXiv:2307.09288"),
        _llama("llama-3-8b", 32, (32, 8), 4096, 14336, 128256, 8192,
               "meta-llama/Meta-Llama-3-8B", "Grattafiori et al., arXiv:2407.21783"),
        _llama("mistral-7b", 32, (32, 8), 4096, 14336, 32000, 32768,
               "mistralai/Mistral-7B-v0.1", "Jiang et al., arXiv:2310.06825", window=4096),
        _llama("qwen2.5-0.5b", 24, (14, 2), 896, 4864, 151936, 32768,
               "Qwen/Qwen2.5-0.5B", "Qwen Team, arXiv:2412.15115"),
    )
}  # fmt: skip
"""Shapes known by name. Those of Llama's kind were read in November 2026 in public copies of the
``config.json`` that they name, since Meta's own are behind a login; ``tests/test_llama_shapes.py``
holds them to what these say."""


def find_shape(name: str) -> ModelShape:
    """The shape called ``name``, or that of a ``config.json``, a folder with one, or a GGUF file.

    Raises:
        FieldError: no such shape.
        UsageError: the file is no configuration of a model whose layers are counted.
    """
    if name in SHAPES:
        return SHAPES[name]
    path = data_folder("models/embedded") if name == EMBEDDED else Path(name)
    if is_gguf(path):
        content = read_gguf_configuration(path)
        return read_llama_configuration(path, content, path.stem, "its GGUF file").shape
    if path.is_dir():
        path = path / "config.json"
    if not path.is_file():
        known = [EMBEDDED, *SHAPES]
        why = f"no shape of that name, no config.json, no GGUF file; there is {', '.join(known)}"
        raise FieldError("model", why + did_you_mean(name, known), name)
    return read_shape(path, name if name == EMBEDDED else None)


def read_shape(path: Path, name: str | None = None) -> ModelShape:
    """The shape that a ``config.json`` describes, called ``name`` or after its folder.

    Raises:
        UsageError: the file is no configuration of a model whose layers are counted.
    """
    name = name or path.resolve().parent.name
    said = read_json(path)
    # A damaged file may say anything of its kind, a list too.
    if isinstance(said, dict) and said.get("model_type") in tuple(LLAMA_TYPES):
        return read_llama_configuration(path, said, name).shape
    return shape_of(read_configuration(path), name)


def shape_of(configuration: Configuration, name: str) -> ModelShape:
    """The shape that a GPT-2's ``configuration`` describes, called ``name``."""
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
