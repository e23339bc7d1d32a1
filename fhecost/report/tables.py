"""Tables and text in 80 columns; nothing here imports a library, so that it starts at once."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count

from fhecost.plain import plain_line
from fhecost.report.columns import Column, Table

TERMINAL_WIDTH = 80
_LONGEST_HEADING = 12
_BETWEEN = 2
"""Spaces between columns."""


def elide(text: str, width: int) -> str:
    """``text`` in at most ``width`` characters; what is cut off the end leaves an ellipsis."""
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


def distinct(names: Sequence[str], width: int) -> list[str]:
    """Distinct ``names`` in at most ``width`` characters each, and still distinct.

    Where beginnings are the same, ends are shown too; where these are the same as well, numbers.
    """
    beginnings = Counter(elide(name, width) for name in names)
    taken = {name for name in names if len(name) <= width}
    shortened = []
    for name in names:
        if len(name) > width:
            unique = beginnings[elide(name, width)] == 1
            name = next(c for c in _shortenings(name, width, unique) if c not in taken)
            taken.add(name)
        shortened.append(name)
    return shortened


def _shortenings(name: str, width: int, beginning: bool) -> Iterator[str]:
    if beginning:
        yield elide(name, width)
    end = (width - 1) // 2
    yield name[: width - 1 - end] + "…" + name[-end:]
    for number in count(2):
        yield elide(name, width - len(str(number))) + str(number)


def wrap(text: str, indent: str = "") -> str:
    """``text`` in lines of at most 80 columns, the following ones indented two further."""
    return textwrap.fill(
        plain_line(text),
        TERMINAL_WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def text_tables(table: Table, width: int = TERMINAL_WIDTH) -> list[str]:
    """Columns two spaces apart under a rule, in as many tables as their width needs."""
    return [_drawn(columns) for columns in _parts(table, width)]


def _drawn(columns: Sequence[Column]) -> str:
    drawn = []
    for column in columns:
        width = _width(column)
        pad = str.rjust if column.right else str.ljust
        drawn.append([pad(c, width) for c in (column.heading, "─" * width, *column.cells)])
    return "\n".join("  ".join(line).rstrip() for line in zip(*drawn, strict=True))


def _parts(table: Table, width: int) -> list[list[Column]]:
    """The columns of each table: all in one, or cut and spread until each is narrow enough."""
    columns = list(table.columns)
    if _total(columns) <= width:
        return [columns]
    if table.fixed:
        spread = columns[table.fixed :]
        headings = distinct([column.heading for column in spread], _LONGEST_HEADING)
        columns[table.fixed :] = [
            replace(column, heading=heading)
            for column, heading in zip(spread, headings, strict=True)
        ]
    for index, column in enumerate(columns):
        if column.least is not None:
            others = [*columns[:index], *columns[index + 1 :]]
            left = width - _total(others) - _BETWEEN
            # In a table of those that are spread, it stands beside one of them at least.
            beside = [*columns[1 : table.fixed], *sorted(columns[table.fixed :], key=_width)[-1:]]
            room = width - _total(beside) - _BETWEEN if table.fixed else column.least
            columns[index] = _cut(column, max(left, min(column.least, room)))
    if not table.fixed:
        return [columns]
    fixed, parts = columns[: table.fixed], [columns[: table.fixed]]
    for column in columns[table.fixed :]:
        if len(parts[-1]) > table.fixed and _total([*parts[-1], column]) > width:
            parts.append(list(fixed))
        parts[-1].append(column)
    return parts


def _cut(column: Column, width: int) -> Column:
    cells = list(dict.fromkeys(column.cells))
    if column.distinct:
        cut = dict(zip(cells, distinct(cells, width), strict=True))
    else:
        cut = {cell: elide(cell, width) for cell in cells}
    return replace(column, values=tuple(cut[cell] for cell in column.cells))


def _width(column: Column) -> int:
    return max(map(len, [column.heading, *column.cells]))


def _total(columns: Sequence[Column]) -> int:
    return sum(_width(column) + _BETWEEN for column in columns) - _BETWEEN
