"""Results as a table: a row a point, a column a figure, for spreadsheets and data frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fhecost.sweep.records import SweepResult


def rows_of(results: Iterable[SweepResult]) -> list[dict[str, Any]]:
    """A row a result: its fields by dotted paths, those of the point without ``point.`` in front.

    Lists are texts with commas; what a result hasn't got is left out.
    """
    return [dict(_leaves(result)) for result in results]


def columns_of(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The columns of all ``rows``, in the order in which they come first."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _leaves(result: SweepResult) -> Iterator[tuple[str, Any]]:
    content = result.model_dump(mode="json")
    point = content.pop("point")
    point["variant"] = result.point.variant_name
    heads = point["heads"]
    point["heads"] = heads if isinstance(heads, str) else _in_words(heads)
    for part in (point, content):
        yield from _flat("", part)


def _flat(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _flat(f"{path}.{name}" if path else str(name), part)
    elif isinstance(value, list):
        yield path, _in_words(value)
    elif value is not None:
        yield path, value


def _in_words(values: Iterable[Any]) -> str:
    return ",".join(str(value) for value in values)
