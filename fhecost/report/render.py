"""A document for a terminal, a program, a spreadsheet or a README: one renderer each."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from fhecost.report.columns import Table
from fhecost.report.document import Block, Document, Heading, Listing
from fhecost.report.tables import text_tables, wrap

Format = Literal["table", "json", "csv", "markdown"]


def as_table(document: Document) -> str:
    """For a terminal of 80 columns."""
    return _joined(part for block in document.blocks for part in _plain(block))


def as_json(document: Document) -> str:
    """The whole report, as its JSON Schema describes it."""
    report = document.report
    return report.model_dump_json(indent=1, exclude_none=document.omits_unknown) + "\n"


def as_csv(document: Document) -> str:
    """The records under their header, unrounded; what is unknown stays empty."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    columns = document.records.columns
    writer.writerow([column.heading for column in columns])
    writer.writerows(zip(*(column.values for column in columns), strict=True))
    return stream.getvalue()


def as_markdown(document: Document) -> str:
    """For a README or an issue."""
    return _joined(part for block in document.blocks for part in _marked(block))


RENDERERS: Mapping[Format, Callable[[Document], str]] = {
    "table": as_table,
    "json": as_json,
    "csv": as_csv,
    "markdown": as_markdown,
}


def markdown_table(table: Table) -> str:
    """A GitHub table; a bar in a cell doesn't end it."""
    headings = [column.heading for column in table.columns]
    rule = ["---:" if column.right else "---" for column in table.columns]
    rows = [[cell.replace("|", r"\|") for cell in row] for row in (headings, *table.rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:]))


def _joined(parts: Iterator[str]) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"


def _plain(block: Block) -> Iterator[str]:
    if isinstance(block, Heading):
        yield block.text.upper()
    elif isinstance(block, Table):
        yield wrap(block.title)
        yield from text_tables(block)
    else:
        yield "\n".join(map(_wrapped, block.lines))


def _marked(block: Block) -> Iterator[str]:
    if isinstance(block, Heading):
        yield f"### {block.text}"
    elif isinstance(block, Table):
        yield wrap(block.title)
        yield markdown_table(block)
    else:
        # Without blank lines between them they would run into one paragraph.
        yield from map(_wrapped, block.lines)


def _wrapped(line: str | Listing) -> str:
    if isinstance(line, str):
        return wrap(line)
    items = (wrap(f"- {item}", indent="  ") for item in line.items)
    return "\n".join([wrap(line.line), *items])
