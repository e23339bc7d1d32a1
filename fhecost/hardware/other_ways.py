"""Encrypted language models of other kinds, as published: from end to end, never in an estimate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveFloat

from fhecost.data import data_folder
from fhecost.errors import UsageError
from fhecost.fields import Positive
from fhecost.files import AnyPath, checked, read_json
from fhecost.frozen import Frozen

_FOLDER, _FILE = "experiments/published", "other_ways.json"


class OtherWay(Frozen):
    """One published figure: a model, what it does, where, and who learns what.

    ``tokens`` is None where the source doesn't say how many there are.
    """

    name: str
    model: str = Field(description="as model names are written here: gpt2, llama-3-8b")
    does: Literal["all tokens at once", "one more token", "classification"]
    tokens: Positive | None
    seconds: PositiveFloat
    machine: str
    scheme: str
    who_sees: str
    basis: Literal["measured", "modelled"]
    year: int
    source: str = Field(min_length=1)


def read_other_ways(path: AnyPath | None = None) -> list[OtherWay]:
    """The published figures in a JSON file; those that come with fhecost when None.

    Raises:
        UsageError: the file can't be read, or isn't a list of them.
    """
    file = data_folder(_FOLDER) / _FILE if path is None else Path(path)
    content = read_json(file)
    if not isinstance(content, list):
        raise UsageError(f"{file}: must be a list of published figures")
    return [
        checked(OtherWay, item, f"{file}: record {number}: ") for number, item in enumerate(content)
    ]


def nearest_first(ways: Sequence[OtherWay], model: str | None) -> tuple[OtherWay, ...]:
    """Those of the same ``model`` first, each group by what it does and how long that takes."""
    return tuple(
        sorted(ways, key=lambda way: (way.model != model, way.does, way.model, way.seconds))
    )
