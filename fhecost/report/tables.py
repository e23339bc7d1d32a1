"""Tables and text as wide as there is room; nothing here imports a library, to start at once.

Nothing is cut off: what is too wide for its column goes on in the next line.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from itertools import zip_longest

from fhecost.plain import plain_line
from fhecost.report.columns import Column, Table

TERMINAL_WIDTH = 80
"""Of a table that nobody's terminal shows."""
WIDEST_TEXT = 100
"""Longer lines of prose are hard to read."""
_NARROW_HEADING, _WIDE_HEADING = 6, 12
"""Between these a heading is folded where there is little room."""
_BETWEEN = 2
"""Spaces between columns."""

_UNIT = re.compile(r"(?<=\d) (?=(?:%|[kMGTP]?B|[nµm]?s|min|h|days|years|ct|\$|m?J|W)(?:\W|$))")
_NO_BREAK = "\u00a0"
_SEPARATORS = re.compile(r"[^-/._:,+=]*[-/._:,+=]*")


def unbroken(text: str) -> str:
    """``text`` with spaces between numbers and units that no line is broken at."""
    return _UNIT.sub(_NO_BREAK, text)


def wrap(text: str, indent: str = "", width: int = TERMINAL_WIDTH) -> str:
    """``text`` in lines of at most ``width``, the following ones indented two further.

    A number stays with its unit.
    """
    lines = textwrap.fill(
        unbroken(plain_line(text)),
        min(width, WIDEST_TEXT),
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines.replace(_NO_BREAK, " ")


def folded(text: str, width: int) -> list[str]:
    """``text`` in lines of at most ``width``: broken at spaces, a longer word behind separators.

    What has neither is broken anywhere; but for spaces, the lines together are the text.
    """
    lines: list[str] = []
    line = ""
    for word in re.findall(r"\S+|\s+", text):
        for piece in [word] if len(word) <= width else _pieces(word, width):
            if len(line) + len(piece) > width:
                lines.append(line.rstrip())
                line = piece.lstrip()
            else:
                line += piece
    return [*lines, line.rstrip()] if line or not lines else lines


def _pieces(word: str, width: int) -> list[str]:
    """A word that is too long, at its separators; of a piece too long, at any place."""
    return [
        part[start : start + width]
        for part in _SEPARATORS.findall(word)
        for start in range(0, len(part), width)
    ]


def text_tables(table: Table, width: int = TERMINAL_WIDTH) -> list[str]:
    """Columns two spaces apart under a rule, in as many tables as their width needs."""
    return [_drawn(columns, widths) for columns, widths in _parts(table, width)]


def _drawn(columns: Sequence[Column], widths: Sequence[int]) -> str:
    headings = [folded(one.heading, width) for one, width in zip(columns, widths, strict=True)]
    high = max(map(len, headings))
    # Headings stand on the rule below them.
    lines = _lines([[""] * (high - len(one)) + one for one in headings], columns, widths)
    lines.append(["─" * width for width in widths])
    for row in zip(*(column.cells for column in columns), strict=True):
        cells = [folded(cell, width) for cell, width in zip(row, widths, strict=True)]
        lines += _lines(cells, columns, widths)
    return "\n".join((" " * _BETWEEN).join(line).rstrip() for line in lines)


def _lines(
    cells: Sequence[Sequence[str]], columns: Sequence[Column], widths: Sequence[int]
) -> list[list[str]]:
    """The lines of one row, whose cells have lines of their own."""
    return [
        [
            text.rjust(width) if column.right else text.ljust(width)
            for text, column, width in zip(line, columns, widths, strict=True)
        ]
        for line in zip_longest(*cells, fillvalue="")
    ]


def _parts(table: Table, width: int) -> list[tuple[list[Column], list[int]]]:
    """The columns of each table with their widths.

    All in one where they fit, if need be with folded headings; else those that stand for the spread
    ones, or these over several tables; then texts are folded until each is narrow enough.
    """
    columns = list(table.columns)
    for widths in ([_width(one) for one in columns], [_least_width(one) for one in columns]):
        if _total(widths) <= width:
            return [(columns, widths)]
    fixed, spread = columns[: table.fixed or None], columns[table.fixed :] if table.fixed else []
    if table.instead:
        return [_fitted([*fixed, *table.instead], width)]
    parts = [list(fixed)]
    for column in spread:
        beside = [_narrowest(one) for one in parts[-1]]
        if len(parts[-1]) > len(fixed) and _total([*beside, _least_width(column)]) > width:
            parts.append(list(fixed))
        parts[-1].append(column)
    return [_fitted(part, width) for part in parts]


def _fitted(columns: list[Column], width: int) -> tuple[list[Column], list[int]]:
    """Columns with widths that add up to ``width`` at most, as far as texts can be folded."""
    widths = [_width(one) for one in columns]
    if _total(widths) > width:
        widths = [_least_width(one) for one in columns]
    while _total(widths) > width:
        foldable = [
            number for number, one in enumerate(columns) if widths[number] > _narrowest(one)
        ]
        if not foldable:
            break
        widths[max(foldable, key=widths.__getitem__)] -= 1
    return columns, widths


def _width(column: Column) -> int:
    """As wide as its heading and its cells."""
    return max(len(column.heading), _cells_width(column))


def _least_width(column: Column) -> int:
    """The same with its heading folded."""
    return max(_heading_width(column), _cells_width(column))


def _narrowest(column: Column) -> int:
    """The same with its cells folded, if they may be."""
    if column.least is None:
        return _least_width(column)
    return max(_heading_width(column), min(column.least, _cells_width(column)))


def _cells_width(column: Column) -> int:
    return max(map(len, column.cells), default=0)


def _heading_width(column: Column) -> int:
    parts = (part for word in column.heading.split() for part in _SEPARATORS.findall(word))
    longest = max(map(len, parts), default=0)
    return min(len(column.heading), max(_NARROW_HEADING, min(longest, _WIDE_HEADING)))


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _BETWEEN * (len(widths) - 1)
