"""Plain tables for terminals and Markdown; they import no library and start at once."""

from __future__ import annotations

import csv
import io
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count

TERMINAL_WIDTH = 80


@dataclass(frozen=True)
class Column:
    """A column's heading and its alignment."""

    heading: str
    right: bool = False


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


def text_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    """Columns two spaces apart under a rule."""
    widths = [
        max(len(column.heading), *(len(row[index]) for row in rows))
        if rows
        else len(column.heading)
        for index, column in enumerate(columns)
    ]
    lines = [
        _line([column.heading for column in columns], columns, widths),
        "  ".join("─" * width for width in widths),
        *(_line(row, columns, widths) for row in rows),
    ]
    return "\n".join(lines)


def markdown_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    """A GitHub table."""
    rule = ["---:" if column.right else "---" for column in columns]
    lines = [[column.heading for column in columns], rule, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def csv_text(names: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Lines of a spreadsheet under their header; what is None stays empty."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return stream.getvalue()


def wrap(text: str, indent: str = "") -> str:
    """``text`` in lines of at most 80 columns, the following ones indented two further."""
    return textwrap.fill(
        text,
        TERMINAL_WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _line(cells: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> str:
    padded = [
        cell.rjust(width) if column.right else cell.ljust(width)
        for cell, column, width in zip(cells, columns, widths, strict=True)
    ]
    return "  ".join(padded).rstrip()
