"""What all figures share: plotly where it is installed, colors, lines, bands and axes."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import sub
from typing import TYPE_CHECKING, Any

from fhecost.errors import UsageError
from fhecost.hardware.profile import Kind
from fhecost.units import duration

if TYPE_CHECKING:
    from fhecost.projection.trend_fit import Band

Drawn = tuple[str, Any]
"""A heading and the plotly figure below it."""


@dataclass(frozen=True)
class Plot:
    """What a command draws: figures under their headings, and what to know of them."""

    title: str
    note: str
    figures: Sequence[Drawn]


BLUE, GREEN, ORANGE, PURPLE = "#2b7fb8", "#4d7c3a", "#c4661f", "#8b5fa8"
NEUTRAL = "#8a8f98"
"""For lines and areas that stand for no machine."""

KIND_COLORS: Mapping[Kind, str] = {"cpu": BLUE, "gpu": GREEN, "fpga": ORANGE, "asic": PURPLE}
"""One for each kind of machine, on light and dark paper alike."""

STAR: Mapping[str, Any] = {
    "symbol": "star",
    "size": 15,
    "color": "#c2304a",
    "line": {"width": 1},
}
"""The mark of what was chosen."""


def kind_color(kind: Kind | None) -> str:
    """The color of a kind; a neutral one where it isn't known."""
    return NEUTRAL if kind is None else KIND_COLORS[kind]


DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
"""For lines of one color."""

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
    return plotly.graph_objects.Figure(layout={"template": "plotly_white"})


def add_line(figure: Any, x: Iterable[float], y: Iterable[float], color: str, **about: Any) -> None:
    """A line; ``dash``, ``width`` and all that plotly takes of a scatter may be given."""
    line = {"color": color, "dash": about.pop("dash", "solid"), "width": about.pop("width", 2)}
    figure.add_scatter(x=list(x), y=list(y), line=line, **{"mode": "lines", **about})


def add_target(figure: Any, x: Iterable[float], target_s: float) -> None:
    """A dotted line at the latency that is asked for, between the two ends ``x``."""
    about = {"name": f"target {duration(target_s)}", "hoverinfo": "skip"}
    add_line(figure, x, [target_s] * 2, NEUTRAL, dash="dot", width=1.5, **about)


def add_band(
    figure: Any,
    name: str,
    color: str,
    bands: Mapping[float, Band] | Mapping[int, Band],
    texts: Sequence[str],
    **about: Any,
) -> None:
    """A line with its range behind it, by x; ``texts`` are shown where one points at it."""
    ends = list(bands.values())
    red, green, blue = bytes.fromhex(color[1:])
    figure.add_scatter(
        x=[*bands, *reversed(list(bands))],
        y=[*(band.high for band in ends), *(band.low for band in reversed(ends))],
        fill="toself",
        fillcolor=f"rgba({red},{green},{blue},0.18)",
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        legendgroup=name,
    )
    shown = {"name": name, "legendgroup": name, "text": texts, "hoverinfo": "text"}
    add_line(figure, bands, [band.value for band in ends], color, **shown, **about)


def say_on(figure: Any, text: str) -> None:
    """Write above the plot what a reader must know who sees this figure alone."""
    lines = textwrap.wrap(text, _SAID_WIDTH)
    figure.add_annotation(
        x=0, y=1, xref="paper", yref="paper", xanchor="left", yanchor="bottom", align="left",
        showarrow=False, text="<br>".join(map(_without_tags, lines)), font={"size": 11},
    )  # fmt: skip
    figure.update_layout(margin_t=14 + 15 * len(lines))


_SAID_WIDTH = 52
"""Letters of a line that fits a small screen."""


def error_bars(
    low: Sequence[float], value: Sequence[float], high: Sequence[float], thickness: float = 2
) -> dict[str, Any]:
    """Bars from ``low`` to ``high`` around ``value``, in the color of the points."""
    above, below = list(map(sub, high, value)), list(map(sub, value, low))
    return {"type": "data", "array": above, "arrayminus": below, "thickness": thickness}


def log_axis(
    title: str, values: Iterable[float] | None = None, *, fine: bool = False
) -> dict[str, Any]:
    """A log axis of numbers, with a tick each decade.

    There are ticks at 2 and 5 too where ``values`` span few decades, or if it is to be ``fine``.
    """
    few = fine or _span_few_decades(values)
    ticks = (n * 10.0**power for power in range(-9, 22) for n in ((1, 2, 5) if few else (1,)))
    return _with_ticks(title, {tick: _plain_number(tick) for tick in ticks})


def time_axis(title: str, values: Iterable[float] | None = None) -> dict[str, Any]:
    """A log axis of seconds, whose ticks are called as clocks and calendars call them."""
    few = _span_few_decades(values)
    ticks = {}
    for unit, seconds, decades, between in _CLOCK:
        for decade in decades:
            for n in (1, *between) if few else (1,):
                number = n * decade
                name = f"{unit}s" if unit in ("day", "year") and number > 1 else unit
                ticks[number * seconds] = f"{_plain_number(number)} {name}"
    return _with_ticks(title, ticks)


_DECADES = (1, 10, 100)
_CLOCK: Sequence[tuple[str, float, Sequence[int], Sequence[int]]] = (
    ("ns", 1e-9, _DECADES, (2, 5)),
    ("µs", 1e-6, _DECADES, (2, 5)),
    ("ms", 1e-3, _DECADES, (2, 5)),
    ("s", 1.0, (1,), (2, 5)),
    ("s", 1.0, (10,), (2,)),
    ("min", 60.0, (1,), (2, 5)),
    ("min", 60.0, (10,), (2,)),
    ("h", 3600.0, (1,), (2, 5, 10)),
    ("day", 86400.0, (1,), (2, 5)),
    ("day", 86400.0, (10,), (2, 5, 10)),
    ("year", 365.25 * 86400, (1, 10, 100, 1000), (2, 5)),
    ("year", 365.25 * 86400, (10**4, 10**5, 10**6), ()),
)
"""Units, the decades of each that have a tick, and what has one between where there is room."""

_WITH_PREFIX = {1e18: "E", 1e15: "P", 1e12: "T", 1e9: "G", 1e6: "M"}


def _plain_number(value: float) -> str:
    """Digits, as far as people count their zeros; prefixes from a million on."""
    for scale, prefix in _WITH_PREFIX.items():
        if value >= 0.999 * scale:
            return f"{value / scale:,.0f} {prefix}"
    return f"{value:,.0f}" if value >= 1 else f"{value:.9f}".rstrip("0")


def _span_few_decades(values: Iterable[float] | None) -> bool:
    known = [value for value in values or () if value > 0]
    return bool(known) and math.log10(max(known) / min(known)) <= _FEW_DECADES


def _with_ticks(title: str, ticks: Mapping[float, str]) -> dict[str, Any]:
    named = {"tickvals": list(ticks), "ticktext": list(ticks.values())}
    return {"title": title, "type": "log", "automargin": True, **named}


_WORDS = ("name", "legendgroup", "text", "hovertext", "hovertemplate", "x", "y")
_TAG = re.compile(r"<(?!br>|extra>|/extra>)")


def _without_tags(said: Any) -> Any:
    """What a trace says, in which plotly finds no HTML but the line breaks written here.

    It would make a live link of ``<a href=…>`` in the name of a stage.
    """
    if isinstance(said, str):
        return _TAG.sub("&lt;", said)
    if isinstance(said, list | tuple) and any(isinstance(one, str) for one in said):
        return [_without_tags(one) for one in said]
    return said


def finish(
    figure: Any, x: Mapping[str, Any], y: Mapping[str, Any], legend_y: float = -0.2, **layout: Any
) -> Any:
    """The figure with its axes, and its legend below it, or above it for a ``legend_y`` over 1."""
    for trace in figure.data:
        for part in _WORDS:
            said = getattr(trace, part, None)
            if said is not None:
                setattr(trace, part, _without_tags(said))
    said_px = figure.layout.margin.t or 20
    margin = {"l": 60, "r": 20, "t": said_px, "b": 60} | layout.pop("margin", {})
    # Where there is little room, a legend has several lines: they go away from the plot.
    side = "bottom" if legend_y > 1 else "top"
    legend = {"orientation": "h", "y": legend_y, "yanchor": side} | layout.pop("legend", {})
    return figure.update_layout(xaxis=x, yaxis=y, legend=legend, margin=margin, **layout)
