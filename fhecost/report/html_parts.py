"""Building blocks of a page: sections, tables, cards, lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fhecost.report.pages import escape
from fhecost.report.tables import Column


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


def paragraph(text: str, style: str = "") -> str:
    """A paragraph; ``style`` is ``note`` for what stands behind."""
    return f"<p{f' class={style!r}' if style else ''}>{escape(text)}</p>"


def cards(found: Iterable[Card]) -> str:
    """Cards in a grid."""
    parts = "\n".join(
        f'<div><dt>{escape(card.label)}</dt><dd class="value">{escape(card.value)}</dd>'
        f'<dd class="about">{escape(card.about)}</dd></div>'
        for card in found
    )
    return f'<dl class="cards">\n{parts}\n</dl>'


def table(caption: str, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    """A table that scrolls sideways where it must; the first cell of a row is its heading."""
    label = escape(caption)
    head = "".join(
        f'<th scope="col"{_side(column)}>{escape(column.heading)}</th>' for column in columns
    )
    lines = "\n".join(_row(columns, row) for row in rows)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{label}">\n<table>\n'
        f"<caption>{label}</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{lines}\n</tbody>\n</table></div>"
    )


def bullets(items: Iterable[str]) -> str:
    """A list."""
    return "<ul>\n" + "\n".join(f"<li>{escape(item)}</li>" for item in items) + "\n</ul>"


def foldable(summary: str, body: str) -> str:
    """What is shown when one asks for it."""
    return f"<details><summary>{escape(summary)}</summary>\n{body}\n</details>"


def _row(columns: Sequence[Column], cells: Sequence[str]) -> str:
    first = f'<th scope="row"{_side(columns[0])}>{escape(cells[0])}</th>'
    others = "".join(
        f"<td{_side(column)}>{escape(cell)}</td>"
        for column, cell in zip(columns[1:], cells[1:], strict=True)
    )
    return f"<tr>{first}{others}</tr>"


def _side(column: Column) -> str:
    return ' class="right"' if column.right else ""
