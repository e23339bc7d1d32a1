"""The head of a GGUF file: what it says of a model's shape, without its weights.

GGUF is llama.cpp's file of a model: metadata, then where the tensors are, then these. Its layout is
that of https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. A size is called after the
architecture, as in ``llama.block_count``; a Mistral's architecture is called ``llama`` too.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as short
from typing import Any, BinaryIO

from fhecost.errors import UsageError

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_FORMATS: Mapping[int, str] = {
    **{0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?"},
    **{10: "Q", 11: "q", 12: "d"},
}
"""How numbers of each type are packed."""
_TEXT, _LIST = 8, 9
_LONGEST = 2**24
"""Bytes of a text, or entries of a list or of the head; damaged counts go far beyond."""

_ARCHITECTURES: Mapping[str, str] = {"llama": "Llama", "qwen2": "Qwen2"}

_SIZES: Mapping[str, str] = {
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "max_position_embeddings": "context_length",
    "head_dim": "attention.key_length",
    "sliding_window": "attention.sliding_window",
    "num_local_experts": "expert_count",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
    "attn_logit_softcapping": "attn_logit_softcapping",
    "final_logit_softcapping": "final_logit_softcapping",
}
"""What a ``config.json`` calls a size, and GGUF behind the architecture's name."""


def is_gguf(path: Path) -> bool:
    """Whether ``path`` is a GGUF file by its name."""
    return path.suffix.lower() == ".gguf" and path.is_file()


def read_gguf_configuration(path: Path) -> dict[str, Any]:
    """What the GGUF file says of its model, as a ``config.json`` does.

    Raises:
        UsageError: it can't be read, or holds no model that is known.
    """
    try:
        with path.open("rb") as stream:
            head = _read_head(path, stream)
    except OSError as error:
        raise UsageError(f"{path}: can't be read: {error.strerror}") from error
    except RecursionError as error:
        raise UsageError(f"{path}: not GGUF that can be read: nested too deeply") from error
    except (struct.error, ValueError) as error:
        raise UsageError(f"{path}: not GGUF that can be read: {error}") from error
    said, kind = head.said, head.said.get("general.architecture")
    if not isinstance(kind, str) or kind not in _ARCHITECTURES:
        known = ", ".join(_ARCHITECTURES)
        raise UsageError(f"{path}: general.architecture: must be {known}, not {short(kind)}")
    scaling = said.get(f"{kind}.rope.scaling.type", "none")
    if scaling != "none" or "rope_freqs.weight" in head.tensors:
        name = "rope_freqs.weight" if scaling == "none" else f"{kind}.rope.scaling.type"
        raise UsageError(f"{path}: {name}: RoPE scaling in a GGUF file isn't honoured")
    sizes = {name: said.get(f"{kind}.{key}") for name, key in _SIZES.items()}
    for name in ("bos", "eos", "padding"):
        called = "pad" if name == "padding" else name
        sizes[f"{called}_token_id"] = said.get(f"tokenizer.ggml.{name}_token_id")
    given = {name: value for name, value in sizes.items() if value is not None}
    heads, turned = given.get("num_attention_heads"), said.get(f"{kind}.rope.dimension_count")
    if heads and turned and "head_dim" not in given:
        given["head_dim"] = given.get("hidden_size", 0) // heads
    if turned and turned != given.get("head_dim", turned):
        given["partial_rotary_factor"] = turned / given["head_dim"]
    return {
        "model_type": kind,
        "architectures": [f"{_ARCHITECTURES[kind]}ForCausalLM"],
        # A list has but its length here.
        "vocab_size": said.get(f"{kind}.vocab_size", said.get("tokenizer.ggml.tokens")),
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": said.get(f"{kind}.rope.freq_base", 10000.0),
        },
        "hidden_act": "silu",
        "tie_word_embeddings": "output.weight" not in head.tensors,
        **given,
    }


@dataclass(frozen=True)
class _Head:
    """Metadata by name, of lists their lengths; and the names of the tensors."""

    said: Mapping[str, Any]
    tensors: frozenset[str]


def _read_head(path: Path, stream: BinaryIO) -> _Head:
    magic = stream.read(4)
    if magic != _MAGIC:
        raise UsageError(f"{path}: no GGUF file: it begins with {magic!r}, not with {_MAGIC!r}")
    (version,) = _unpack(stream, "I")
    if version not in _VERSIONS:
        raise UsageError(f"{path}: GGUF of version {version}; 2 and 3 are read, little-endian")
    tensors, entries = _unpack(stream, "QQ")
    said = {}
    for _ in range(_count(entries)):
        name = _text(stream)
        (kind,) = _unpack(stream, "I")
        said[name] = _value(stream, kind)
    names = set()
    for _ in range(_count(tensors)):
        names.add(_text(stream))
        (dimensions,) = _unpack(stream, "I")
        _unpack(stream, "Q" * _count(dimensions) + "IQ")
    return _Head(said, frozenset(names))


def _value(stream: BinaryIO, kind: int) -> Any:
    if kind == _TEXT:
        return _text(stream)
    if kind != _LIST:
        if kind not in _FORMATS:
            raise ValueError(f"a value of the unknown type {kind}")
        return _unpack(stream, _FORMATS[kind])[0]
    inner, length = _unpack(stream, "IQ")
    for _ in range(_count(length)):
        _value(stream, inner)
    return length


def _text(stream: BinaryIO) -> str:
    (length,) = _unpack(stream, "Q")
    return _bytes(stream, _count(length)).decode()


def _unpack(stream: BinaryIO, form: str) -> tuple[Any, ...]:
    form = f"<{form}"
    return struct.unpack(form, _bytes(stream, struct.calcsize(form)))


def _bytes(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise ValueError("it ends within its head")
    return data


def _count(number: int) -> int:
    if number > _LONGEST:
        raise ValueError(f"it counts {number} where far fewer can be")
    return number
