"""A document for a terminal, a program, a spreadsheet or a README: one renderer each."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from typing import Literal

from fhecost.report.columns import Table
from fhecost.report.document import Document, Heading, Listing
from fhecost.report.tables import text_tables, wrap

Format = Literal["table", "json", "csv", "markdown"]


def as_table(document: Document) -> str:
    """For a terminal of 80 columns."""
    return _text(document, str.upper, text_tables, between_lines="\n")


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
    # Without blank lines between them, lines would run into one paragraph.
    return _text(document, "### {}".format, lambda table: [markdown_table(table)], "\n\n")


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


def _text(
    document: Document,
    heading: Callable[[str], str],
    tables: Callable[[Table], list[str]],
    between_lines: str,
) -> str:
    parts: list[str] = []
    for block in document.blocks:
        if isinstance(block, Heading):
            parts.append(heading(block.text))
        elif isinstance(block, Table):
            parts += [wrap(block.title), *tables(block)]
        else:
            parts.append(between_lines.join(map(_wrapped, block.lines)))
    return "\n\n".join(filter(None, parts)) + "\n"


def _wrapped(line: str | Listing) -> str:
    if isinstance(line, str):
        return wrap(line)
    items = (wrap(f"- {item}", indent="  ") for item in line.items)
    return "\n".join([wrap(line.line), *items])
