"""A document for a terminal, a program, a spreadsheet or a README: one renderer each."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping
from typing import Literal

from fhecost.plain import plain, plain_line
from fhecost.report.columns import Table
from fhecost.report.document import Document, Heading, Listing
from fhecost.report.tables import TERMINAL_WIDTH, text_tables, wrap

Format = Literal["table", "json", "csv", "markdown"]


def as_table(document: Document, width: int = TERMINAL_WIDTH) -> str:
    """For a terminal of ``width`` columns."""
    return _text(
        document,
        str.upper,
        lambda table: text_tables(table, width),
        between_lines="\n",
        width=width,
    )


def as_json(document: Document) -> str:
    """The whole report, as its JSON Schema describes it."""
    report = document.report
    text = report.model_dump_json(indent=1, exclude_none=document.omits_unknown)
    # Below the space JSON escapes controls itself; a C1 control is one for a terminal too.
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"


_CONTROLS = re.compile("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def as_csv(document: Document) -> str:
    """The records under their header, unrounded; what is unknown stays empty.

    A text that a spreadsheet would take for a formula has an apostrophe in front, as there.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    columns = document.records.columns
    writer.writerow([column.heading for column in columns])
    cells = ([_no_formula(value) for value in column.values] for column in columns)
    writer.writerows(zip(*cells, strict=True))
    return stream.getvalue()


def _no_formula(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = plain(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def as_markdown(document: Document) -> str:
    """For a README or an issue."""
    # Without blank lines between them, lines would run into one paragraph.
    return _text(
        document,
        lambda text: f"### {_no_tags(text)}",
        lambda table: [markdown_table(table)],
        between_lines="\n\n",
        words=_no_tags,
    )


RENDERERS: Mapping[Format, Callable[[Document], str]] = {
    "table": as_table,
    "json": as_json,
    "csv": as_csv,
    "markdown": as_markdown,
}


def markdown_table(table: Table) -> str:
    """A GitHub table; neither a bar in a cell nor a new line ends it."""
    headings = [column.heading for column in table.columns]
    rule = ["---:" if column.right else "---" for column in table.columns]
    rows = [[_markdown_cell(cell) for cell in row] for row in (headings, *table.rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:]))


def _markdown_cell(text: str) -> str:
    return _no_tags(plain_line(text).replace("\\", r"\\").replace("|", r"\|"))


_TAG = re.compile(r"<(?=[A-Za-z/!?])")


def _no_tags(text: str) -> str:
    """Markdown takes HTML as it is; a name that looks like some is only a name."""
    return _TAG.sub("&lt;", text)


def _text(
    document: Document,
    heading: Callable[[str], str],
    tables: Callable[[Table], list[str]],
    between_lines: str,
    words: Callable[[str], str] = str,
    width: int = TERMINAL_WIDTH,
) -> str:
    parts: list[str] = []
    for block in document.blocks:
        if isinstance(block, Heading):
            parts.append(heading(plain_line(block.text)))
        elif isinstance(block, Table):
            parts += [words(wrap(block.title, width=width)), *tables(block)]
        else:
            lines = (_wrapped(line, width) for line in block.lines)
            parts.append(words(between_lines.join(lines)))
    return "\n\n".join(filter(None, parts)) + "\n"


def _wrapped(line: str | Listing, width: int) -> str:
    if isinstance(line, str):
        return wrap(line, width=width)
    items = (wrap(f"- {item}", indent="  ", width=width) for item in line.items)
    return "\n".join([wrap(line.line, width=width), *items])
