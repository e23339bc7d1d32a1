"""Pages of figures in HTML: one file each, which opens offline, light and dark."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --paper: #ffffff; --faint: #5c6675; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e8ee; --paper: #14181e; --faint: #9aa4b2; }
}
body { margin: 0 auto; max-width: 960px; padding: 24px 16px 48px; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .5rem; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p { color: var(--faint); margin: 0 0 1rem; max-width: 70ch; }
.figure { width: 100%; min-height: 420px; }
"""

_SCRIPT = """
const dark = matchMedia("(prefers-color-scheme: dark)");
function paint() {
  const ink = getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
  const grid = dark.matches ? "#333b47" : "#e2e6ec";
  for (const figure of document.querySelectorAll(".js-plotly-plot")) {
    Plotly.relayout(figure, {
      "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)", "font.color": ink,
      "xaxis.gridcolor": grid, "yaxis.gridcolor": grid, "xaxis.linecolor": grid,
      "yaxis.linecolor": grid, "xaxis.zeroline": false, "yaxis.zeroline": false,
      "modebar.bgcolor": "rgba(0,0,0,0)", "modebar.color": grid, "modebar.activecolor": ink,
    });
  }
}
dark.addEventListener("change", paint);
paint();
"""


def figure_page(title: str, note: str, figures: Sequence[tuple[str, Any]]) -> str:
    """One page with plotly's ``figures``, each under its heading; plotly itself is inside."""
    parts = []
    for index, (heading, figure) in enumerate(figures):
        drawn = figure.to_html(
            full_html=False,
            include_plotlyjs="inline" if index == 0 else False,
            config={"responsive": True, "displaylogo": False},
            default_height="460px",
        )
        label = html.escape(heading)
        parts.append(
            f'<h2>{label}</h2>\n<div class="figure" role="img" aria-label="{label}">{drawn}</div>'
        )
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{html.escape(title)}</h1>\n<p>{html.escape(note)}</p>\n{body}\n"
        f"<script>{_SCRIPT}</script>\n</body>\n</html>\n"
    )
