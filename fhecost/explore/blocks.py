"""The blocks of a command's document as parts of the page: the same words, the same tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dash import dcc, html

from fhecost.report.columns import Column, Table
from fhecost.report.document import Block, Heading, Note, Refusals, Text
from fhecost.report.drawing import Drawn
from fhecost.report.tables import unbroken

_CLEAR = "rgba(0,0,0,0)"
"""The page's own paper shows through, light or dark."""
_SETTINGS = {"displayModeBar": False, "responsive": True}
_FONT_PX = 12
_LEGEND_PX = 64


def parts(*blocks: Block) -> list[Any]:
    """Blocks; what is long shows when asked for."""
    return [part for block in blocks for part in _parts(block)]


def _parts(block: Block) -> Iterator[Any]:
    if isinstance(block, Heading):
        yield html.H3(block.text)
    elif isinstance(block, Table):
        yield table(block)
    elif isinstance(block, Refusals):
        if block.lines:
            yield folded("What has no figures, and why", list(_lines(block)))
    else:
        yield from _lines(block)


def _lines(text: Text) -> Iterator[Any]:
    style = "note" if isinstance(text, Note) else ""
    for line in text.lines:
        if isinstance(line, str):
            yield html.P(unbroken(line), className=style)
        else:
            yield folded(line.line, [html.Ul([html.Li(item) for item in line.items])])


def folded(summary: str, body: Sequence[Any]) -> Any:
    """What shows when asked for."""
    return html.Details([html.Summary(summary), *body])


def table(shown: Table) -> Any:
    """A table that scrolls sideways where it must; the first cell of a row is its heading."""
    headings = [column.heading for column in shown.columns]
    caption = [html.Caption(shown.title)] if shown.title else []
    head = html.Thead(html.Tr(_cells(shown.columns, headings, "col")))
    body = html.Tbody([html.Tr(_cells(shown.columns, row, "row")) for row in shown.rows])
    return html.Div(
        html.Table([*caption, head, body]),
        className="scroll",
        role="region",
        tabIndex=0,
        **{"aria-label": shown.title or ", ".join(headings)},
    )


def _cells(columns: Sequence[Column], cells: Sequence[str], heads: str) -> list[Any]:
    made = []
    for number, (column, cell) in enumerate(zip(columns, cells, strict=True)):
        side = "right" if column.right else ""
        if number == 0 or heads == "col":
            made.append(html.Th(cell, scope=heads, className=side))
        else:
            made.append(html.Td(cell, className=side))
    return made


def figure(drawn: Drawn, id: str, height: int | None = None) -> Any:
    """A figure with its caption; its figures stand in a table beside it."""
    heading, made = drawn
    made.update_layout(
        paper_bgcolor=_CLEAR,
        plot_bgcolor=_CLEAR,
        font={"size": _FONT_PX},
        # Above the plot however low that is and however often the legend is broken.
        legend={"yref": "container", "y": 1, "yanchor": "top"},
        margin={"t": _LEGEND_PX},
        height=height or made.layout.height,
    )
    tall = made.layout.height or 450
    return html.Figure(
        [
            html.Figcaption(heading),
            html.Div(
                dcc.Graph(id=id, figure=made, config=_SETTINGS, style={"height": f"{tall}px"}),
                role="img",
                **{"aria-label": heading},
            ),
        ]
    )
