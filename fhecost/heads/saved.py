"""Quantized heads as a JSON file: integers, scales and widths, to be used again as they are."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

import numpy as np

from fhecost.errors import ImpossibleError, UsageError
from fhecost.files import read_json, write_atomically
from fhecost.heads.parameter_rules import ParameterRules, Restriction
from fhecost.heads.variants import VARIANTS, QuantizedHeads
from fhecost.quantization import Quantizer

SCHEMA_VERSION = 2
LARGEST_BYTES = 256 * 2**20
"""Of a file of heads, which holds a layer's weights as text."""

_DTYPES = frozenset({"bool", "int8", "int16", "int32", "int64", "uint8", "float32", "float64"})
_WIDEST = 64
"""Bits of any integer of heads: tables and ranges are made from widths."""
_LARGEST = 2**20
"""Any other whole number of heads: ranks, lengths, numbers of heads."""


def save_heads(heads: QuantizedHeads, path: Path, about: Mapping[str, Any]) -> None:
    """Write ``heads`` to ``path``, whole or not at all.

    Args:
        heads: what a variant made.
        path: a JSON file.
        about: what the heads were made of, so that they aren't put into another model.

    Raises:
        ImpossibleError: a data class of theirs is no part of a registered variant.
    """
    content = {"schema_version": SCHEMA_VERSION, "about": dict(about), "heads": _encoded(heads)}
    write_atomically(path, json.dumps(content) + "\n")


def load_heads(path: Path, about: Mapping[str, Any]) -> QuantizedHeads:
    """Read heads that :func:`save_heads` wrote.

    Raises:
        UsageError: the file is missing or no such file, or its heads were made of something else
            than ``about`` says.
    """
    content = read_json(path, LARGEST_BYTES)
    if not isinstance(content, dict) or content.get("schema_version") not in (1, 2):
        raise UsageError(f"{path}: schema_version: not quantized heads of version 1 or 2")
    saved = content.get("about", {})
    if not isinstance(saved, dict):
        raise UsageError(f"{path}: about: must be an object")
    for name, value in about.items():
        if saved.get(name) != value:
            raise UsageError(
                f"{path}: about.{name}: the heads were made for {saved.get(name)!r}, not {value!r}"
            )
    try:
        heads = _decoded(content["heads"], "heads")
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise UsageError(f"{path}: heads: not quantized heads: {error}") from error
    except RecursionError as error:
        raise UsageError(f"{path}: heads: not quantized heads: nested too deeply") from error
    if not hasattr(heads, "quantize_input"):
        raise UsageError(f"{path}: heads: not quantized heads: a {type(heads).__name__}")
    return cast(QuantizedHeads, heads)


def _encoded(value: Any) -> Any:
    if is_dataclass(value):
        name = type(value).__name__
        if _classes().get(name) is not type(value):
            raise ImpossibleError(f"{name} is no part of a registered variant: none could load it")
        parts = {field.name: _encoded(getattr(value, field.name)) for field in fields(value)}
        return {"class": name, **parts}
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": value.dtype.name}
    if isinstance(value, tuple):
        return {"tuple": [_encoded(part) for part in value]}
    if isinstance(value, dict):
        return {"dict": {key: _encoded(part) for key, part in value.items()}}
    return value


def _decoded(value: Any, name: str) -> Any:
    """What ``value`` stands for, of the field ``name``, whose numbers are checked."""
    if not isinstance(value, dict):
        return _checked(value, name)
    if "class" in value:
        parts = {key: _decoded(part, key) for key, part in value.items() if key != "class"}
        # Version 1 had compact heads of full rank only.
        if value["class"] == "CompactHead" and "rank" not in parts:
            parts["rank"] = parts["weight"].shape[1] // 3
        if value["class"] == "CompactAttention":
            parts.setdefault("kept_bits", parts["heads"].kept_bits)
        return _built(value["class"], parts)
    if "array" in value:
        return _array(value["array"], value["dtype"], name)
    if "tuple" in value:
        return tuple(_decoded(part, name) for part in value["tuple"])
    return {key: _decoded(part, key) for key, part in value["dict"].items()}


def _built(name: str, parts: Mapping[str, Any]) -> Any:
    """The data class called ``name`` of these parts, each of the type that the class states."""
    if name not in _classes():
        raise ValueError(f"{name!r} is no part of heads")
    kind = _classes()[name]
    for part, hint in get_type_hints(kind).items():
        if part in parts and not _is_a(parts[part], hint):
            raise ValueError(f"{name}.{part}: must not be a {type(parts[part]).__name__}")
    return kind(**parts)


def _is_a(value: Any, hint: Any) -> bool:
    """Whether ``value`` is of the type ``hint``, as far as a file can get it wrong."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_is_a(value, part) for part in parts)
    if hint in (int, float):
        kinds = (int,) if hint is int else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool)
    if origin is tuple:
        return isinstance(value, tuple) and all(_is_a(one, parts[0]) for one in value)
    kind = origin if isinstance(origin, type) else hint
    return not isinstance(kind, type) or isinstance(value, kind)


def _array(values: Any, dtype: Any, name: str) -> Any:
    if dtype not in _DTYPES:
        raise ValueError(f"{name}: an array of {dtype!r}; there is {', '.join(sorted(_DTYPES))}")
    array = np.asarray(values, dtype=dtype)
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: an array with an infinite value, or one that is no number")
    return array


def _checked(value: Any, name: str) -> Any:
    """A word or number of heads; one that nothing could be built from is none."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name}: must be a finite number, not {value}")
    if isinstance(value, int) and not isinstance(value, bool):
        bits = name.endswith("bits")
        least, most = (1 if name == "n_bits" else 0, _WIDEST) if bits else (-_LARGEST, _LARGEST)
        if not least <= value <= most:
            raise ValueError(f"{name}: must be from {least} to {most}, not {value:.6g}")
    if isinstance(value, list):
        raise ValueError(f"{name}: a list, which is neither a tuple nor an array here")
    return value


def _classes() -> dict[str, Any]:
    """What a file may name: the data classes of the registered variants, and no others."""
    kinds = [kind for variant in VARIANTS.values() for kind in (variant.heads, *variant.parts)]
    return {kind.__name__: kind for kind in (Quantizer, ParameterRules, Restriction, *kinds)}
