"""Pages in HTML: one file each, which opens offline, light and dark, and asks nobody for anything.

The page's content security policy allows what is inside the file and nothing else.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from fhecost.report.drawing import Drawn

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:"
)
_FIGURE_SETTINGS = {
    "responsive": True,
    "displaylogo": False,
    "modeBarButtons": [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
}


def figure_page(title: str, note: str, figures: Sequence[Drawn]) -> str:
    """One page with plotly's ``figures``, each under its heading."""
    drawn = "\n".join(figure_part(heading, figure) for heading, figure in figures)
    head = f'<header><h1>{escape(title)}</h1>\n<p class="lead">{escape(note)}</p></header>'
    return document(title, f"{head}\n<main>\n{drawn}\n</main>")


def document(title: str, body: str) -> str:
    """A whole page around ``body``, with its style, plotly, and the script that paints figures."""
    from plotly.offline import get_plotlyjs

    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_asset('page.css')}</style>\n"
        f"<script>{get_plotlyjs()}</script>\n</head>\n<body>\n{body}\n"
        f"<script>\n{_asset('page.js')}</script>\n</body>\n</html>\n"
    )


def figure_part(heading: str, figure: Any) -> str:
    """One plotly figure with its caption; its figures are in a table beside it."""
    drawn = figure.to_html(
        full_html=False,
        include_plotlyjs=False,
        config=_FIGURE_SETTINGS,
        default_height="440px",
    )
    label = escape(heading)
    return (
        f'<figure><figcaption>{label}</figcaption>\n<div class="figure" role="img" '
        f'aria-label="{label}">{drawn}</div></figure>'
    )


def escape(text: str) -> str:
    """``text`` for the inside of an element or an attribute."""
    return html.escape(text)


def _asset(name: str) -> str:
    return (files("fhecost.report") / "assets" / name).read_text(encoding="utf-8")
