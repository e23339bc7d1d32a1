"""The weights in a model's folder: all there, in the configuration's shapes, and finite.

transformers fills what a file lacks with random numbers and says so in a log that nobody reads; a
head of those has a cost and an accuracy, both of nothing. So what the files hold is held against
the configuration before they are loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as short
from typing import Any

from fhecost.errors import UsageError
from fhecost.files import read_json
from fhecost.gpt2.layout import layout_of
from fhecost.gpt2.tensors import OUTPUT, TensorNames

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_OTHER_FORMATS = (".h5", ".msgpack", ".gguf", ".onnx")
_ADAPTER = "adapter_config.json"
_FLOATS = ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True)
class _Tensor:
    """Where a tensor is, and what the header says of it."""

    path: Path
    name: str
    kind: str
    shape: tuple[int, ...]

    @property
    def place(self) -> str:
        """The file and the tensor, as an error names them."""
        return f"{self.path}: {self.name}"


def holds_weights(path: Path) -> bool:
    """Whether a file has weights by its name, of whatever format."""
    named = path.name.endswith((".safetensors", *_PICKLES, *_OTHER_FORMATS))
    return path.is_file() and (named or path.name in (INDEX, _ADAPTER))


def no_weights(names: Iterable[str]) -> str:
    """Why files of these names aren't loaded: what they have in the place of safetensors."""
    # An optimizer's state beside the weights isn't what is looked for.
    found = sorted(names, key=lambda name: (not name.startswith("pytorch_model"), name))
    for name in found:
        if name.endswith(_PICKLES):
            return (
                f"{name}: a pickle, which can run code when it is opened, isn't loaded; save the "
                f"model as {SINGLE}"
            )
        if name.endswith(_OTHER_FORMATS):
            return f"{name}: not a format that is loaded; save the model as {SINGLE}"
    others = [name for name in found if name.endswith(".safetensors")]
    return f"{SINGLE}: missing{f'; there is {others[0]}' if others else ''}"


def check_weights(folder: Path, names: TensorNames, tied: bool) -> None:
    """Hold the weights in ``folder`` against its configuration.

    Args:
        folder: of the model.
        names: the tensors that its configuration stands for.
        tied: whether logits come from the embedding; else from a matrix of their own.

    Raises:
        UsageError: there are none in a format that is loaded, a file can't be read, or a tensor is
            missing, stored twice, of another shape, of integers, or no part of this model.
    """
    tensors = _tensors(folder)
    first = next(iter(tensors.values()), None)
    expected = dict(names.expected)
    bare: dict[str, _Tensor] = {}
    for name, tensor in tensors.items():
        inner = name.removeprefix(names.prefix)
        if inner in bare:
            raise UsageError(f"{tensor.place}: there is {bare[inner].name} too; one must go")
        bare[inner] = tensor
    if not tied:
        expected[OUTPUT] = expected[names.embedding]
    for name, dimensions in expected.items():
        found = bare.get(name)
        if found is None:
            raise UsageError(_missing(folder, name, first, names))
        if found.shape != dimensions:
            raise UsageError(
                f"{found.place}: has the shape {found.shape}, by config.json {dimensions}"
            )
        if found.kind not in _FLOATS:
            known = ", ".join(_FLOATS)
            raise UsageError(f"{found.place}: holds {found.kind}; weights must be {known}")
    for name, tensor in bare.items():
        in_decoder = tensor.name.startswith(names.prefix) or names.decoder.match(name)
        if in_decoder and name not in expected and not names.spare.fullmatch(name):
            raise UsageError(f"{tensor.place}: no part of the model that config.json describes")
    if tied and OUTPUT in bare:
        _check_tied(bare[OUTPUT], bare[names.embedding])


def check_finite(model: Any, folder: Path) -> None:
    """Hold what was loaded against what numbers are.

    Raises:
        UsageError: a weight is infinite or no number, or all are finite and what the model makes of
            a token isn't; the weight or the layer is named.
    """
    import torch

    for name, values in model.named_parameters():
        wrong = int((~torch.isfinite(values)).sum())
        if wrong:
            raise UsageError(
                f"{folder}: {name}: {wrong} of its {values.numel()} values are infinite or no "
                "number (NaN) in float32"
            )
    with torch.no_grad():
        states = model(torch.tensor([[0]]), output_hidden_states=True, use_cache=False)
    for layer, values in enumerate((*states.hidden_states[1:], states.logits)):
        if not torch.isfinite(values).all():
            name = layout_of(model).block_name(min(layer, len(states.hidden_states) - 2))
            raise UsageError(
                f"{folder}: {name}: its weights are finite, and what it returns isn't: they "
                "overflow float32"
            )


def _missing(folder: Path, name: str, first: _Tensor | None, names: TensorNames) -> str:
    if first is None:
        return f"{folder}: {name}: missing: the files hold no tensor at all"
    hint = f"config.json has {names.layers} layers"
    if first.name.startswith(names.prefix):
        name = name if name == OUTPUT else names.prefix + name
    elif not names.decoder.match(first.name):
        hint = f"names begin with {names.prefix} or with nothing, here one is {short(first.name)}"
    return f"{first.path.parent}: {name}: missing; {hint}"


def _check_tied(output: _Tensor, embedding: _Tensor) -> None:
    from safetensors import safe_open

    def values(of: _Tensor) -> Any:
        with safe_open(of.path, framework="pt") as file:
            return file.get_tensor(of.name)

    one, other = values(output), values(embedding)
    if one.shape != other.shape or not (one.double() == other.double()).all():
        raise UsageError(
            f"{output.place}: isn't {embedding.name}, though tie_word_embeddings in config.json "
            "says that they are one"
        )


def _tensors(folder: Path) -> dict[str, _Tensor]:
    """All tensors in the folder by name."""
    if (folder / _ADAPTER).is_file():
        raise UsageError(f"{folder / _ADAPTER}: adapters aren't applied; merge them into the model")
    if (folder / SINGLE).is_file():
        return {tensor.name: tensor for tensor in _read_header(folder / SINGLE)}
    if not (folder / INDEX).is_file():
        found = [path.name for path in folder.iterdir() if path.is_file()]
        raise UsageError(f"{folder}: {no_weights(found)}")
    tensors: dict[str, _Tensor] = {}
    shards = _shards(folder / INDEX)
    for name, path in shards.items():
        if not path.is_file():
            raise UsageError(f"{path}: missing; {INDEX} says that {short(name)} is in it")
    for path in sorted(set(shards.values())):
        for tensor in _read_header(path):
            if tensor.name in tensors:
                raise UsageError(f"{tensor.place}: {tensors[tensor.name].path.name} has it too")
            tensors[tensor.name] = tensor
    for name, path in shards.items():
        if name not in tensors or tensors[name].path != path:
            raise UsageError(f"{path}: {short(name)}: missing; {INDEX} says that it is there")
    return tensors


def _shards(index: Path) -> dict[str, Path]:
    """By tensor, the file that holds it."""
    content = read_json(index)
    placed = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(placed, dict) or not placed:
        raise UsageError(f"{index}: weight_map: must name a file for each tensor")
    for name, file in placed.items():
        if not isinstance(file, str) or Path(file).name != file or "\0" in file:
            raise UsageError(
                f"{index}: weight_map.{name}: must be a file of this folder, not {short(file)}"
            )
        if not file.endswith(".safetensors"):
            raise UsageError(f"{index}: weight_map.{name}: {short(file)} is no .safetensors file")
    return {name: index.parent / file for name, file in placed.items()}


def _read_header(path: Path) -> Iterator[_Tensor]:
    from safetensors import SafetensorError, safe_open

    try:
        with path.open("rb") as stream:
            if stream.read(24).startswith(b"version https://git-lfs"):
                raise UsageError(f"{path}: a Git LFS pointer, not the weights; run git lfs pull")
        with safe_open(path, framework="np") as file:
            names: list[str] = file.keys()
            for name in names:
                part = file.get_slice(name)
                yield _Tensor(path, name, str(part.get_dtype()), tuple(part.get_shape()))
    except SafetensorError as error:
        raise UsageError(f"{path}: no safetensors file that can be read: {error}") from error
    except OSError as error:
        raise UsageError(f"{path}: can't be read: {error.strerror or error}") from error
