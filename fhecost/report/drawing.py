"""What all figures share: plotly where it is installed, colors, lines, bands and axes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fhecost.errors import UsageError
from fhecost.hardware.profile import Kind

if TYPE_CHECKING:
    from fhecost.projection.trend_fit import Band

Drawn = tuple[str, Any]
"""A heading and the plotly figure below it."""

KIND_COLORS: Mapping[Kind, str] = {
    "cpu": "#2b7fb8",
    "gpu": "#4d7c3a",
    "fpga": "#c4661f",
    "asic": "#8b5fa8",
}
"""One for each kind of machine, on light and dark paper alike."""

NEUTRAL = "#8a8f98"
"""For lines and areas that stand for no machine."""

_FEW_DECADES = 2.5


def new_figure() -> Any:
    """An empty figure of plotly.

    Raises:
        UsageError: plotly isn't installed.
    """
    try:
        import plotly.graph_objects
    except ImportError as error:
        raise UsageError("figures need: pip install 'fhecost[plot]'") from error
    return plotly.graph_objects.Figure()


def add_line(figure: Any, x: Iterable[float], y: Iterable[float], color: str, **about: Any) -> None:
    """A line; ``dash``, ``width`` and all that plotly takes of a scatter may be given."""
    line = {"color": color, "dash": about.pop("dash", "solid"), "width": about.pop("width", 2)}
    figure.add_scatter(x=list(x), y=list(y), line=line, **{"mode": "lines", **about})


def add_band(
    figure: Any,
    name: str,
    color: str,
    x: Sequence[float],
    bands: Sequence[Band],
    texts: Sequence[str],
    **about: Any,
) -> None:
    """A line with its range behind it; ``texts`` are shown where one points at it."""
    red, green, blue = (int(color[start : start + 2], 16) for start in (1, 3, 5))
    figure.add_scatter(
        x=[*x, *reversed(x)],
        y=[*(band.high for band in bands), *(band.low for band in reversed(bands))],
        fill="toself",
        fillcolor=f"rgba({red},{green},{blue},0.18)",
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        legendgroup=name,
    )
    shown = {"name": name, "legendgroup": name, "text": texts, "hoverinfo": "text"}
    add_line(figure, x, [band.value for band in bands], color, **shown, **about)


def log_axis(values: Iterable[float] | None = None) -> dict[str, Any]:
    """A log axis with a tick each decade, and at 2 and 5 where ``values`` span few of them."""
    known = [value for value in values or () if value > 0]
    decades = math.log10(max(known) / min(known)) if known else math.inf
    ticks = 1 if decades > _FEW_DECADES else "D2"
    return {"type": "log", "dtick": ticks, "exponentformat": "power", "automargin": True}


def finish(figure: Any, legend_y: float = -0.2, **layout: Any) -> Any:
    """The figure with its legend below it, or above it where ``legend_y`` is over 1."""
    margin = {"l": 60, "r": 20, "t": 20, "b": 60} | layout.pop("margin", {})
    return figure.update_layout(legend={"orientation": "h", "y": legend_y}, margin=margin, **layout)
