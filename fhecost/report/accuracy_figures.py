"""Accuracy as interactive figures on one page that opens offline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhecost.accuracy.published import ALL_HEADS, SINGLE_HEAD, SOURCE
from fhecost.accuracy.records import AccuracyReport, AccuracyRow
from fhecost.report.colors import NEUTRAL
from fhecost.report.pages import figure_page
from fhecost.report.plotly_library import load_plotly

_COLORS = {1: "#2b7fb8", 5: "#c4661f", 10: "#4d7c3a"}
_DASHES = ("solid", "dash", "dot", "dashdot")


def accuracy_page(report: AccuracyReport) -> str:
    """One HTML page with the figures that the rows allow.

    Raises:
        UsageError: plotly isn't installed.
    """
    rows = report.rows
    note = (
        f"{report.model}, {rows[0].sentences} windows from {report.sentences}; share of positions "
        "whose float top-1 token is among the quantized top k; bars are 95 % intervals. "
        f"fhecost {report.fhecost_version}, weights {report.model_sha256[:12]}."
    )
    return figure_page("How accurate the quantized heads stay", note, accuracy_figures(report))


def accuracy_figures(report: AccuracyReport) -> list[tuple[str, Any]]:
    """A heading and a plotly figure each: those that the rows allow.

    Raises:
        UsageError: plotly isn't installed.
    """
    plotly_objects = load_plotly()
    rows = report.rows
    figures: list[tuple[str, Any]] = []
    groups = sorted({(row.layer, row.heads) for row in rows})
    if len(groups) > 8:
        figures += [
            (f"Top-1 by layer and head, {bits} bits, L={seq_len}", figure)
            for bits, seq_len, figure in _heat_maps(plotly_objects, rows)
        ]
    else:
        if len({row.bits for row in rows}) > 1:
            figures.append(("Accuracy against bits", _by_bits(plotly_objects, rows)))
        if len({row.seq_len for row in rows}) > 1:
            figures.append(("Accuracy against sequence length", _by_length(plotly_objects, rows)))
        if not figures:
            figures.append(("Accuracy", _by_bits(plotly_objects, rows)))
    return figures


def _by_bits(plotly_objects: Any, rows: Sequence[AccuracyRow]) -> Any:
    longest = max(row.seq_len for row in rows)
    chosen = [row for row in rows if row.seq_len == longest]
    figure = plotly_objects.Figure()
    for index, group in enumerate(_groups(chosen)):
        part = sorted((row for row in chosen if _group(row) == group), key=lambda row: row.bits)
        _add_lines(plotly_objects, figure, part, [row.bits for row in part], group, index)
    for name, published, dash in (
        ("one head", SINGLE_HEAD, "longdash"),
        ("all heads", ALL_HEADS, "dot"),
    ):
        for k, shares in published.items():
            figure.add_scatter(
                x=list(shares),
                y=list(shares.values()),
                mode="lines+markers",
                name=f"published GPT-2 124M, {name}, top-{k}",
                line={"color": NEUTRAL, "dash": dash, "width": 1.5},
                marker={"size": 5, "symbol": "diamond-open"},
                hovertext=SOURCE,
                visible=True if k == 1 else "legendonly",
            )
    figure.update_xaxes(title=f"bits (L={longest})", dtick=1)
    return _finished(figure)


def _by_length(plotly_objects: Any, rows: Sequence[AccuracyRow]) -> Any:
    figure = plotly_objects.Figure()
    for index, group in enumerate(_groups(rows, with_bits=True)):
        part = sorted(
            (row for row in rows if _group(row, with_bits=True) == group),
            key=lambda row: row.seq_len,
        )
        _add_lines(plotly_objects, figure, part, [row.seq_len for row in part], group, index)
    lengths = sorted({row.seq_len for row in rows})
    ticks = [length for length in (2, 4, 8, 16, 32, 64, 128, 256) if length in lengths] or lengths
    figure.update_xaxes(
        title="sequence length (tokens)", type="log", tickvals=ticks, ticktext=ticks
    )
    return _finished(figure)


def _add_lines(
    plotly_objects: Any,
    figure: Any,
    rows: Sequence[AccuracyRow],
    x: Sequence[int],
    group: str,
    index: int,
) -> None:
    for k, color in _COLORS.items():
        shares = [getattr(row, f"top{k}") for row in rows]
        above = [
            getattr(row, f"top{k}_high") - share for row, share in zip(rows, shares, strict=True)
        ]
        below = [
            share - getattr(row, f"top{k}_low") for row, share in zip(rows, shares, strict=True)
        ]
        figure.add_scatter(
            x=list(x),
            y=shares,
            mode="lines+markers",
            name=f"{group}, top-{k}",
            line={"color": color, "dash": _DASHES[index % len(_DASHES)], "width": 2},
            error_y={"type": "data", "array": above, "arrayminus": below, "thickness": 1},
        )


def _heat_maps(plotly_objects: Any, rows: Sequence[AccuracyRow]) -> list[tuple[int, int, Any]]:
    maps = []
    # One scale for all maps: what is darker keeps more, wherever it stands.
    least = min(row.top1 for row in rows)
    for bits, seq_len in sorted({(row.bits, row.seq_len) for row in rows}):
        part = [row for row in rows if (row.bits, row.seq_len) == (bits, seq_len)]
        layers = sorted({row.layer for row in part})
        heads = sorted({row.heads for row in part}, key=lambda text: (len(text), text))
        share = {(row.layer, row.heads): row.top1 for row in part}
        values = [[share.get((layer, head)) for head in heads] for layer in layers]
        figure = plotly_objects.Figure(
            plotly_objects.Heatmap(
                z=values,
                x=[f"head {head}" for head in heads],
                y=[f"layer {layer}" for layer in layers],
                colorscale="Blues",
                zmin=least,
                zmax=1.0,
                texttemplate="%{z:.3f}",
                colorbar={"title": "top-1"},
            )
        )
        figure.update_yaxes(autorange="reversed")
        maps.append((bits, seq_len, figure))
    return maps


def _finished(figure: Any) -> Any:
    figure.update_yaxes(title="share of positions kept", tickformat=".0%")
    figure.update_layout(
        legend={"orientation": "h", "y": -0.25}, margin={"l": 60, "r": 20, "t": 20, "b": 60}
    )
    return figure


def _group(row: AccuracyRow, *, with_bits: bool = False) -> str:
    several = "heads" if "," in row.heads else "head"
    bits = f", {row.bits} bits" if with_bits else ""
    simulated = ", simulated" if row.mode == "simulate" else ""
    return f"{row.variant}, layer {row.layer} {several} {row.heads}{bits}{simulated}"


def _groups(rows: Sequence[AccuracyRow], *, with_bits: bool = False) -> list[str]:
    return sorted({_group(row, with_bits=with_bits) for row in rows})
