"""Tables whose columns hold both the values and the words for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fhecost.plain import plain_line

UNKNOWN = "-"


@dataclass(frozen=True)
class Column:
    """Values of one kind under a heading, and the words by which people read them.

    None is unknown: people see a dash and spreadsheets nothing, neither of them a zero. A value
    that is a string is in words already. In a table that is too wide, cells of a column that has a
    ``least`` are folded over several lines of so many characters or more.
    """

    heading: str
    values: tuple[Any, ...]
    words: Callable[[Any], str] = str
    right: bool = False
    least: int | None = None

    @cached_property
    def cells(self) -> list[str]:
        """The values in words."""
        return [self._cell(value) for value in self.values]

    def _cell(self, value: Any) -> str:
        if value is None:
            return UNKNOWN
        return plain_line(str(value) if isinstance(value, str) else self.words(value))


def column(heading: str, values: Iterable[object], *, least: int | None = None) -> Column:
    """Text, aligned left, which may be folded down to ``least`` characters."""
    return Column(heading, tuple(values), least=least)


def names(heading: str, values: Iterable[str], least: int = 7) -> Column:
    """What tells the rows apart: it may be folded, and is all there."""
    return Column(heading, tuple(values), least=least)


def numbers(
    heading: str, values: Iterable[object], words: Callable[[Any], str] = "{:,}".format
) -> Column:
    """Figures, aligned right."""
    return Column(heading, tuple(values), words, right=True)


@dataclass(frozen=True, init=False)
class Table:
    """Columns beside each other, under a title.

    Where they don't fit beside each other, the others than the first ``fixed`` are spread over
    several tables, each with these first; with none fixed, it stays one. Columns ``instead`` of the
    others say less and keep it one.
    """

    columns: tuple[Column, ...]
    title: str
    fixed: int
    instead: tuple[Column, ...]

    def __init__(
        self, *columns: Column, title: str = "", fixed: int = 0, instead: Sequence[Column] = ()
    ) -> None:
        object.__setattr__(self, "columns", columns)
        object.__setattr__(self, "title", title)
        object.__setattr__(self, "fixed", fixed)
        object.__setattr__(self, "instead", tuple(instead))

    @cached_property
    def rows(self) -> list[tuple[str, ...]]:
        """The rows in words."""
        return list(zip(*(each.cells for each in self.columns), strict=True))


def records(fields: Sequence[str], rows: Iterable[Mapping[str, object]]) -> Table:
    """Raw values by field, for a spreadsheet; what a row doesn't have is unknown."""
    found = list(rows)
    return Table(*(column(field, [row.get(field) for row in found]) for field in fields))
