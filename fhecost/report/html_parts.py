"""Building blocks of a page: sections and cards, and a document's blocks in HTML."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from fhecost.report.columns import Column, Table
from fhecost.report.document import Block, Heading, Line, Note, Refusals
from fhecost.report.pages import escape


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
    """A document's blocks as a page shows them; refusals only when one asks for them."""
    return "\n".join(part for block in blocks for part in _parts(block))


def _parts(block: Block) -> Iterator[str]:
    if isinstance(block, Heading):
        yield f"<h3>{escape(block.text)}</h3>"
    elif isinstance(block, Table):
        yield _table(block)
    elif isinstance(block, Refusals):
        if block.lines:
            yield foldable("What has no figures, and why", _items(map(str, block.lines)))
    else:
        style = " class='note'" if isinstance(block, Note) else ""
        yield from (_line(line, style) for line in block.lines)


def _line(line: Line, style: str = "") -> str:
    if isinstance(line, str):
        return f"<p{style}>{escape(line)}</p>"
    return _items(line)


def _items(items: Iterable[str]) -> str:
    return "<ul>\n" + "\n".join(f"<li>{escape(item)}</li>" for item in items) + "\n</ul>"


def cards(found: Iterable[Card]) -> str:
    """Cards in a grid."""
    parts = "\n".join(
        f'<div><dt>{escape(card.label)}</dt><dd class="value">{escape(card.value)}</dd>'
        f'<dd class="about">{escape(card.about)}</dd></div>'
        for card in found
    )
    return f'<dl class="cards">\n{parts}\n</dl>'


def foldable(summary: str, body: str) -> str:
    """What is shown when one asks for it."""
    return f"<details><summary>{escape(summary)}</summary>\n{body}\n</details>"


def _table(table: Table) -> str:
    """A table that scrolls sideways where it must; the first cell of a row is its heading."""
    label = escape(table.title)
    columns = table.columns
    head = "".join(
        f'<th scope="col"{_side(column)}>{escape(column.heading)}</th>' for column in columns
    )
    lines = "\n".join(_row(columns, row) for row in table.rows)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{label}">\n<table>\n'
        f"<caption>{label}</caption>\n<thead><tr>{head}</tr></thead>\n"
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
