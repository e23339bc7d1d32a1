"""Building blocks of a page: sections and cards, and a document's blocks in HTML."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from fhecost.report.columns import Column, Table
from fhecost.report.document import Block, Heading, Note, Refusals, Text
from fhecost.report.pages import escape

_MOST_ROWS = 24
"""Longer tables are folded."""


@dataclass(frozen=True)
class Card:
    """One figure that is worth a large type, what it is, and what to know of it."""

    label: str
    value: str
    about: str


@dataclass(frozen=True)
class Section:
    """A part of a page: its anchor, its heading, and what is below it in HTML."""

    anchor: str
    heading: str
    body: str


def page_body(title: str, lead: str, sections: Sequence[Section], footer: str) -> str:
    """Heading, links to the sections, the sections, and what stands at the foot."""
    links = "\n".join(
        f'<li><a href="#{part.anchor}">{escape(part.heading)}</a></li>' for part in sections
    )
    parts = "\n".join(
        f'<section id="{part.anchor}" aria-labelledby="{part.anchor}-heading">\n'
        f'<h2 id="{part.anchor}-heading">{escape(part.heading)}</h2>\n{part.body}\n</section>'
        for part in sections
    )
    return (
        '<a class="skip" href="#content">Skip to the content</a>\n'
        f'<header><h1>{escape(title)}</h1>\n<p class="lead">{escape(lead)}</p>\n'
        f'<nav aria-label="Sections"><ul>\n{links}\n</ul></nav></header>\n'
        f'<main id="content">\n{parts}\n</main>\n<footer>{escape(footer)}</footer>'
    )


def html(*blocks: Block) -> str:
    """A document's blocks; what is long, and why there are no figures, shows when asked for."""
    return "\n".join(part for block in blocks for part in _parts(block))


def _parts(block: Block) -> Iterator[str]:
    if isinstance(block, Heading):
        yield f"<h3>{escape(block.text)}</h3>"
    elif isinstance(block, Table):
        table, count = _table(block), len(block.rows)
        title = block.title or "all"
        yield _folded(f"{title} ({count} rows)", table) if count > _MOST_ROWS else table
    elif isinstance(block, Refusals):
        if block.lines:
            yield _folded("What has no figures, and why", "\n".join(_lines(block)))
    else:
        yield from _lines(block)


def _lines(text: Text) -> Iterator[str]:
    """Paragraphs; a list is folded below the line that announces it."""
    style = ' class="note"' if isinstance(text, Note) else ""
    for line in text.lines:
        if isinstance(line, str):
            yield f"<p{style}>{escape(line)}</p>"
        else:
            items = "\n".join(f"<li>{escape(item)}</li>" for item in line.items)
            yield _folded(line.line, f"<ul>\n{items}\n</ul>")


def cards(found: Iterable[Card]) -> str:
    """Cards in a grid."""
    parts = "\n".join(
        f'<div><dt>{escape(card.label)}</dt><dd class="value">{escape(card.value)}</dd>'
        f'<dd class="about">{escape(card.about)}</dd></div>'
        for card in found
    )
    return f'<dl class="cards">\n{parts}\n</dl>'


def _folded(summary: str, body: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>\n{body}\n</details>"


def _table(table: Table) -> str:
    """A table that scrolls sideways where it must; the first cell of a row is its heading."""
    label = escape(table.title or ", ".join(column.heading for column in table.columns))
    caption = f"<caption>{label}</caption>\n" if table.title else ""
    columns = table.columns
    head = "".join(
        f'<th scope="col"{_side(column)}>{escape(column.heading)}</th>' for column in columns
    )
    lines = "\n".join(_row(columns, row) for row in table.rows)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{label}">\n<table>\n'
        f"{caption}<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{lines}\n</tbody>\n</table></div>"
    )


def _row(columns: Sequence[Column], cells: Sequence[str]) -> str:
    first = f'<th scope="row"{_side(columns[0])}>{escape(cells[0])}</th>'
    others = "".join(
        f"<td{_side(column)}>{escape(cell)}</td>"
        for column, cell in zip(columns[1:], cells[1:], strict=True)
    )
    return f"<tr>{first}{others}</tr>"


def _side(column: Column) -> str:
    return ' class="right"' if column.right else ""
