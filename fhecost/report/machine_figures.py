"""Machines beside each other, drawn: latency, its parts, roofs, and how full they are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from fhecost.hardware.answer import NOT_HAD
from fhecost.hardware.comparison import ComparisonRow
from fhecost.hardware.estimate import OPERATIONS, Estimate, Operation
from fhecost.hardware.profile import Kind
from fhecost.hardware.roof import Roof
from fhecost.report import drawing
from fhecost.report.pbs_words import pbs_words
from fhecost.units import amount, duration, share, span

Machine = Estimate | ComparisonRow

LATENCY = "Latency and its range, by machine"
OPEN = "circle-open"
"""The mark of a machine that can't be had."""

OPERATION_NAMES: Mapping[Operation, str] = {
    "pbs": "PBS",
    "key_switch": "KS",
    "linear": "linear",
    "keys": "keys",
    "transfer": "transfer",
}
OPERATION_COLORS: Mapping[Operation, str] = {
    "pbs": "#2f6ea8",
    "key_switch": "#7db3dc",
    "linear": "#d79a2b",
    "keys": drawing.PURPLE,
    "transfer": drawing.NEUTRAL,
}
_AROUND = 3.0
"""How far a roofline goes beyond its marks and corners, as a factor."""
_LABEL_PX = 14
"""Height of a line of small type."""


def machine_figures(machines: Sequence[Machine]) -> list[drawing.Drawn]:
    """Latencies, what they consist of, rooflines and utilization, where they are known.

    Raises:
        UsageError: plotly isn't installed.
    """
    drawn = [
        (LATENCY, latency_figure(machines)),
        ("Where the time goes, by operation", operations_figure(machines)),
    ]
    if any(one.roof for one in machines):
        drawn.append(("Roofline: work by byte of key, and what machines have", roofline(machines)))
    return [*drawn, ("Utilization, and what holds machines back", utilization_figure(machines))]


def latency_figure(machines: Sequence[Machine]) -> Any:
    """Latencies and their ranges on a log axis."""
    figure = drawing.new_figure()
    for kind, rows in _by_kind(machines):
        latencies = [row.latency_s for row in rows]
        lows, highs = [row.low_s for row in rows], [row.high_s for row in rows]
        texts = [
            f"{row.hardware}: {row.title}<br>{_total(row)}, {span(row.low_s, row.high_s)}"
            f"<br>utilization {row.utilization:.0%}, {row.bottleneck}"
            f"<br>PBS: {pbs_words(row)}"
            for row in rows
        ]
        symbols = list(map(_symbol, rows))
        figure.add_scatter(
            x=latencies,
            y=[row.hardware for row in rows],
            error_x=drawing.error_bars(lows, latencies, highs),
            mode="markers",
            marker={"color": drawing.kind_color(kind), "size": 10, "symbol": symbols},
            name=_legend(kind, rows),
            text=texts,
            hoverinfo="text",
        )
    ends = [end for row in machines for end in (row.low_s, row.high_s)]
    return _in_rows(figure, machines, drawing.time_axis("latency", ends), row_px=24)


def operations_figure(machines: Sequence[Machine]) -> Any:
    """Shares of each machine's latency; an operation of which nothing is known is named."""
    figure = drawing.new_figure()
    for operation in OPERATIONS:
        seconds = [one.by_operation_s.get(operation) for one in machines]
        figure.add_bar(
            x=[
                None if part is None else part / one.latency_s
                for part, one in zip(seconds, machines, strict=True)
            ],
            y=[one.hardware for one in machines],
            orientation="h",
            name=OPERATION_NAMES[operation],
            marker={"color": OPERATION_COLORS[operation]},
            text=[
                f"{one.hardware}, {OPERATION_NAMES[operation]}: "
                + ("not known" if part is None else f"{duration(part)} of {_total(one)}")
                for part, one in zip(seconds, machines, strict=True)
            ],
            textposition="none",
            hoverinfo="text",
        )
    labels = {one.hardware: _with_unknown(one) for one in machines}
    x = {"title": "share of the latency", "tickformat": ".0%", "range": [0, 1]}
    lines = max(label.count("<br>") for label in labels.values()) + 1
    return _in_rows(
        figure,
        machines,
        x,
        labels,
        row_px=20 + 12 * lines,
        barmode="stack",
        bargap=0.35,
        legend={"traceorder": "normal"},
    )


def _with_unknown(one: Machine) -> str:
    """The name of a machine, its latency, and the operations of which nothing is known."""
    missing = [OPERATION_NAMES[name] for name in OPERATIONS if one.by_operation_s.get(name) is None]
    label = f"{one.hardware}, {_total(one)}"
    return f"{label}<br><i>not known: {', '.join(missing)}</i>" if missing else label


def _total(one: Machine) -> str:
    return duration(one.latency_s)


def utilization_figure(machines: Sequence[Machine]) -> Any:
    """In which share of the time each machine would be at work were it always full."""
    figure = drawing.new_figure()
    for kind, rows in _by_kind(machines):
        figure.add_bar(
            x=[row.utilization for row in rows],
            y=[row.hardware for row in rows],
            orientation="h",
            name=kind.upper() if kind else "others",
            marker={"color": drawing.kind_color(kind)},
            text=[f"{share(row.utilization)}, {row.bottleneck}" for row in rows],
            textposition="auto",
            textangle=0,
            hovertext=[
                f"{row.hardware}: at work {duration(row.utilization * row.latency_s)} of "
                f"{_total(row)}<br>held back by {row.bottleneck}"
                for row in rows
            ],
            hoverinfo="text",
        )
    x = {"title": "share of the time at work", "tickformat": ".0%", "range": [0, 1.02]}
    return _in_rows(figure, machines, x, row_px=30, bargap=0.3, barmode="overlay")


def stage_utilization(machines: Sequence[Estimate], stages: Sequence[str]) -> Any:
    """How full each machine is in each of ``stages``, the first on top."""
    found = {
        one.hardware: {part.stage: part for part in one.by_stage if part.latency_s}
        for one in machines
    }
    figure = drawing.new_figure()
    figure.add_heatmap(
        z=[
            [
                parts[stage].busy_s / parts[stage].latency_s if stage in parts else None
                for parts in found.values()
            ]
            for stage in stages
        ],
        x=list(found),
        y=list(stages),
        text=[
            [str(parts[stage].bottleneck) if stage in parts else "" for parts in found.values()]
            for stage in stages
        ],
        colorscale="Blues",
        zmin=0,
        zmax=1,
        texttemplate="%{z:.0%}",
        hovertemplate="%{x}, %{y}: %{z:.0%}, held back by %{text}<extra></extra>",
        showscale=False,
    )
    figure.update_yaxes(autorange="reversed")
    return drawing.finish(
        figure,
        {"automargin": True, "side": "top"},
        {"automargin": True},
        margin={"l": 20, "t": 40, "b": 20},
        height=80 + 28 * len(stages),
    )


def roofline(machines: Sequence[Machine]) -> Any:
    """Work by byte against work a second: what runs reach, under what their machines allow."""
    known = [(one, one.roof) for one in machines if one.roof]
    x_ends = _ends([x for _, roof in known for x in (roof.intensity, _corner(roof)) if x])
    y_ends = _ends([y for _, roof in known for y in (roof.rate, roof.peak)])
    figure = drawing.new_figure()
    for one, roof in known:
        dash = "solid" if roof.bandwidth_bytes_per_s else "dash"
        x, y = _line(roof, x_ends)
        drawing.add_line(
            figure, x, y, drawing.kind_color(one.kind),
            dash=dash, width=1.5, showlegend=False, hoverinfo="skip",
        )  # fmt: skip
    for kind, rows in _by_kind([one for one, _ in known]):
        roofs = [row.roof for row in rows if row.roof]
        figure.add_scatter(
            # Where nothing is streamed, the memory bounds nothing, however far to the right.
            x=[roof.intensity or x_ends[1] for roof in roofs],
            y=[roof.rate for roof in roofs],
            mode="markers",
            marker={
                "color": drawing.kind_color(kind),
                "size": 10,
                "symbol": list(map(_symbol, rows)),
            },
            name=_legend(kind, rows),
            text=[_told(row, roof) for row, roof in zip(rows, roofs, strict=True)],
            hoverinfo="text",
        )
    height = max(440, 150 + _LABEL_PX * len(known))
    for label in _spread(known, y_ends, height - 150):
        figure.add_annotation(
            x=math.log10(x_ends[1]), y=math.log10(label.peak), text=label.name,
            ax=14, ay=-label.up_px, xanchor="left", arrowhead=0, arrowwidth=0.6,
            arrowcolor=drawing.NEUTRAL, font={"size": 10},
        )  # fmt: skip
    said = "" if all(roof.bandwidth_bytes_per_s for _, roof in known) else "<br>dashed: bandwidth"
    said += " not known" if said else ""
    across = drawing.log_axis(f"units of work by byte streamed, keys above all{said}", x_ends)
    up = drawing.log_axis("units of work a second", y_ends)
    widest = max(len(one.hardware) for one, _ in known)
    return drawing.finish(
        figure,
        {**across, "range": list(map(math.log10, x_ends))},
        {**up, "range": list(map(math.log10, y_ends))},
        1.02,
        margin={"l": 60, "r": 30 + 6 * widest, "t": 40, "b": 70},
        height=height,
    )


def _corner(roof: Roof) -> float | None:
    """The work by byte from which on arithmetic bounds the machine, and no longer memory."""
    bandwidth = roof.bandwidth_bytes_per_s
    return roof.peak / bandwidth if bandwidth else None


def _line(roof: Roof, ends: tuple[float, float]) -> tuple[list[float], list[float]]:
    """A roof from end to end: up with the bandwidth, then level."""
    corner, bandwidth = _corner(roof), roof.bandwidth_bytes_per_s
    if corner is None or bandwidth is None:
        return list(ends), [roof.peak] * 2
    return [ends[0], corner, ends[1]], [bandwidth * ends[0], roof.peak, roof.peak]


def _ends(values: Sequence[float]) -> tuple[float, float]:
    return min(values, default=1.0) / _AROUND, max(values, default=1.0) * _AROUND


def _told(one: Machine, roof: Roof) -> str:
    by_byte = "nothing streamed" if roof.intensity is None else f"{roof.intensity:.3g} units/B"
    bandwidth = roof.bandwidth_bytes_per_s
    memory = "not known" if bandwidth is None else f"{amount(bandwidth, 'B')}/s"
    return (
        f"{one.hardware}: {one.title}<br>{amount(roof.rate)} of {amount(roof.peak)} units/s at "
        f"{by_byte}<br>bandwidth {memory}; {one.bottleneck}"
    )


class _Label(NamedTuple):
    """The name at the end of a roof, so many pixels above it."""

    name: str
    peak: float
    up_px: float


def _spread(
    known: Sequence[tuple[Machine, Roof]], ends: tuple[float, float], height_px: float
) -> Iterator[_Label]:
    """Names beside the ends of their roofs, from the bottom, each above the one before."""
    decade_px = height_px / math.log10(ends[1] / ends[0])
    least = -math.inf
    ordered = sorted(known, key=lambda found: found[1].peak)
    places = []
    for _, roof in ordered:
        least = max(least + _LABEL_PX, math.log10(roof.peak / ends[0]) * decade_px)
        places.append(least)
    # What would stand above the figure moves down again.
    most = height_px
    for number in reversed(range(len(places))):
        places[number] = min(places[number], most)
        most = places[number] - _LABEL_PX
    for (one, roof), place in zip(ordered, places, strict=True):
        there = math.log10(roof.peak / ends[0]) * decade_px
        yield _Label(one.hardware, roof.peak, place - there)


def _in_rows(
    figure: Any,
    machines: Sequence[Machine],
    x: Mapping[str, Any],
    labels: Mapping[str, str] | None = None,
    *,
    row_px: int,
    **layout: Any,
) -> Any:
    """The figure with a row a machine, the first on top."""
    order = [one.hardware for one in reversed(machines)]
    y = {"categoryorder": "array", "categoryarray": order, "automargin": True}
    if labels:
        y |= {"tickvals": order, "ticktext": [labels[name] for name in order]}
    about = {
        "margin": {"l": 20, "t": 40, "b": 50},
        "height": max(260, 120 + row_px * len(machines)),
    }
    return drawing.finish(figure, x, y, 1.02, **about, **layout)


def _by_kind(machines: Sequence[Machine]) -> Iterator[tuple[Kind | None, list[Machine]]]:
    for kind in (*drawing.KIND_COLORS, None):
        rows = [one for one in machines if one.kind == kind]
        if rows:
            yield kind, rows


def _symbol(one: Machine) -> str:
    return OPEN if one.availability in NOT_HAD else "circle"


def _legend(kind: Kind | None, rows: Sequence[Machine]) -> str:
    name = kind.upper() if kind else "others"
    return f"{name} (open: not to be had)" if OPEN in map(_symbol, rows) else name
