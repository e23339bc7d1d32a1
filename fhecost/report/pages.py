"""Pages in HTML: one file each, which opens offline, light and dark, and asks nobody for anything.

The page's content security policy allows what is inside the file and nothing else.
"""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib.resources import files

from fhecost.report.columns import Column, Table
from fhecost.report.document import Block, Heading, Note, Refusals, Text
from fhecost.report.drawing import Drawn, Plot
from fhecost.report.tables import unbroken

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:"
)
_FIGURE_SETTINGS = {
    "responsive": True,
    "displaylogo": False,
    "modeBarButtons": [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
}
_MOST_ROWS = 24
"""Longer tables are folded."""


def figure_page(plot: Plot, command: str | None = None) -> str:
    """One page with the figures of ``plot``, each under its heading, and what made it, and when."""
    parts, made = "\n".join(map(figure_part, plot.figures)), escape(f"{made_by(command)}.")
    return page(plot.title, plot.note, parts, footer=f"\n<footer>{made}</footer>")


def made_by(command: str | None) -> str:
    """When a page was made, and by which command where there was one."""
    return f"Made {_today()}" + (f" by: {command}" if command else "")


def _today() -> str:
    """The date, as ISO 8601 in UTC; that of ``SOURCE_DATE_EPOCH``, for builds that are repeated."""
    said = os.environ.get("SOURCE_DATE_EPOCH", "")
    moment = float(said) if said.isdecimal() else time.time()
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).date().isoformat()


def section_page(
    title: str, lead: str, sections: Sequence[tuple[str, str, str]], footer: str
) -> str:
    """One page of sections, each with its anchor, its heading and what is below it in HTML."""
    links = "\n".join(
        f'<li><a href="#{anchor}">{escape(heading)}</a></li>' for anchor, heading, _ in sections
    )
    parts = "\n".join(
        f'<section id="{anchor}" aria-labelledby="{anchor}-heading">\n'
        f'<h2 id="{anchor}-heading">{escape(heading)}</h2>\n{body}\n</section>'
        for anchor, heading, body in sections
    )
    navigation = f'\n<nav aria-label="Sections"><ul>\n{links}\n</ul></nav>'
    return page(title, lead, parts, navigation, f"\n<footer>{escape(footer)}</footer>")


def page(title: str, lead: str, main: str, navigation: str = "", footer: str = "") -> str:
    """A whole page with its style, plotly, and the script that paints figures."""
    from plotly.offline import get_plotlyjs

    assets = files("fhecost.report") / "assets"
    style, script = ((assets / f"page.{kind}").read_text("utf-8") for kind in ("css", "js"))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n"
        f"<script>{get_plotlyjs()}</script>\n</head>\n<body>\n"
        '<a class="skip" href="#content">Skip to the content</a>\n'
        f'<header><h1>{escape(title)}</h1>\n<p class="lead">{escape(lead)}</p>{navigation}'
        f'</header>\n<main id="content">\n{main}\n</main>{footer}\n'
        f"<script>\n{script}</script>\n</body>\n</html>\n"
    )


def figure_part(drawn: Drawn) -> str:
    """One plotly figure with its caption; its figures are in a table beside it."""
    heading, figure = drawn
    label = escape(heading)
    plot = figure.to_html(
        full_html=False, include_plotlyjs=False, config=_FIGURE_SETTINGS, default_height="440px"
    )
    # No role of an image: the buttons above a figure can be reached with the keyboard.
    return f'<figure><figcaption>{label}</figcaption>\n<div class="figure">{plot}</div></figure>'


def cards(found: Iterable[tuple[str, str, str]]) -> str:
    """Figures that are worth a large type: what each is, the figure, and what to know of it."""
    parts = "\n".join(
        f'<div><dt>{escape(label)}</dt><dd class="value">{escape(value)}</dd>'
        f'<dd class="about">{escape(about)}</dd></div>'
        for label, value, about in found
    )
    return f'<dl class="cards">\n{parts}\n</dl>'


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
            yield f"<p{style}>{escape(unbroken(line))}</p>"
        else:
            items = "\n".join(f"<li>{escape(item)}</li>" for item in line.items)
            yield _folded(line.line, f"<ul>\n{items}\n</ul>")


def _folded(summary: str, body: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>\n{body}\n</details>"


def _table(table: Table) -> str:
    """A table that scrolls sideways where it must; the first cell of a row is its heading."""
    headings = [column.heading for column in table.columns]
    label = escape(table.title or ", ".join(headings))
    caption = f"<caption>{label}</caption>\n" if table.title else ""
    lines = "\n".join(_row(table.columns, row, "row") for row in table.rows)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{label}">\n<table>\n'
        f"{caption}<thead>{_row(table.columns, headings, 'col')}</thead>\n"
        f"<tbody>\n{lines}\n</tbody>\n</table></div>"
    )


def _row(columns: Sequence[Column], cells: Sequence[str], heads: str) -> str:
    """One row, whose first cell heads the others; that of the headings heads columns."""
    parts = []
    for number, (column, cell) in enumerate(zip(columns, cells, strict=True)):
        tag = "th" if number == 0 or heads == "col" else "td"
        scope = f' scope="{heads}"' if tag == "th" else ""
        side = ' class="right"' if column.right else ""
        parts.append(f"<{tag}{scope}{side}>{escape(cell)}</{tag}>")
    return f"<tr>{''.join(parts)}</tr>"
