"""Accuracy as interactive figures on one page that opens offline."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Literal

from fhecost.accuracy.published import ALL_HEADS, SINGLE_HEAD, SOURCE
from fhecost.accuracy.records import AccuracyReport, AccuracyRow
from fhecost.report.drawing import NEUTRAL, Drawn, add_line, finish, new_figure
from fhecost.report.pages import figure_page

_COLORS = {1: "#2b7fb8", 5: "#c4661f", 10: "#4d7c3a"}
_DASHES = ("solid", "dash", "dot", "dashdot")
_MOST_LINES = 8


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


def accuracy_figures(report: AccuracyReport) -> list[Drawn]:
    """Those that the rows allow: maps of many heads, else lines by bits and by length."""
    rows = report.rows
    if len({(row.layer, row.heads) for row in rows}) > _MOST_LINES:
        return _heat_maps(rows)
    drawn = []
    if len({row.bits for row in rows}) > 1:
        drawn.append(("Accuracy against bits", _by_bits(rows)))
    if len({row.seq_len for row in rows}) > 1:
        drawn.append(("Accuracy against sequence length", _by_length(rows)))
    return drawn or [("Accuracy", _by_bits(rows))]


def _by_bits(rows: Sequence[AccuracyRow]) -> Any:
    longest = max(row.seq_len for row in rows)
    figure = new_figure()
    _add_lines(figure, [row for row in rows if row.seq_len == longest], _group, "bits")
    for name, published, dash in (
        ("one head", SINGLE_HEAD, "longdash"),
        ("all heads", ALL_HEADS, "dot"),
    ):
        for k, shares in published.items():
            about = {"dash": dash, "width": 1.5, "mode": "lines+markers", "hovertext": SOURCE}
            add_line(
                figure, shares, shares.values(), NEUTRAL,
                name=f"published GPT-2 124M, {name}, top-{k}",
                marker={"size": 5, "symbol": "diamond-open"},
                visible=True if k == 1 else "legendonly", **about,
            )  # fmt: skip
    figure.update_xaxes(title=f"bits (L={longest})", dtick=1)
    return _finished(figure)


def _by_length(rows: Sequence[AccuracyRow]) -> Any:
    figure = new_figure()
    _add_lines(figure, rows, lambda row: _group(row, f", {row.bits} bits"), "seq_len")
    lengths = sorted({row.seq_len for row in rows})
    ticks = [length for length in (2, 4, 8, 16, 32, 64, 128, 256) if length in lengths] or lengths
    figure.update_xaxes(
        title="sequence length (tokens)", type="log", tickvals=ticks, ticktext=ticks
    )
    return _finished(figure)


def _add_lines(
    figure: Any,
    rows: Sequence[AccuracyRow],
    group_of: Callable[[AccuracyRow], str],
    x: Literal["bits", "seq_len"],
) -> None:
    """Top-1, top-5 and top-10 of each group against ``x``, with their intervals."""
    groups: dict[str, list[AccuracyRow]] = {}
    for row in sorted(rows, key=lambda row: (group_of(row), getattr(row, x))):
        groups.setdefault(group_of(row), []).append(row)
    for (group, part), dash in zip(groups.items(), itertools.cycle(_DASHES)):
        for k, color in _COLORS.items():
            shares = [getattr(row, f"top{k}") for row in part]
            highs = [getattr(row, f"top{k}_high") for row in part]
            lows = [getattr(row, f"top{k}_low") for row in part]
            interval = {
                "type": "data",
                "array": [high - share for high, share in zip(highs, shares, strict=True)],
                "arrayminus": [share - low for low, share in zip(lows, shares, strict=True)],
                "thickness": 1,
            }
            about = {"name": f"{group}, top-{k}", "mode": "lines+markers", "error_y": interval}
            add_line(figure, [getattr(row, x) for row in part], shares, color, dash=dash, **about)


def _heat_maps(rows: Sequence[AccuracyRow]) -> list[Drawn]:
    maps = []
    # One scale for all maps: what is darker keeps more, wherever it stands.
    least = min(row.top1 for row in rows)
    for bits, seq_len in sorted({(row.bits, row.seq_len) for row in rows}):
        part = [row for row in rows if (row.bits, row.seq_len) == (bits, seq_len)]
        layers = sorted({row.layer for row in part})
        heads = sorted({row.heads for row in part}, key=lambda text: (len(text), text))
        share = {(row.layer, row.heads): row.top1 for row in part}
        figure = new_figure()
        figure.add_heatmap(
            z=[[share.get((layer, head)) for head in heads] for layer in layers],
            x=[f"head {head}" for head in heads],
            y=[f"layer {layer}" for layer in layers],
            colorscale="Blues",
            zmin=least,
            zmax=1.0,
            texttemplate="%{z:.3f}",
            colorbar={"title": "top-1"},
        )
        figure.update_yaxes(autorange="reversed")
        maps.append((f"Top-1 by layer and head, {bits} bits, L={seq_len}", figure))
    return maps


def _finished(figure: Any) -> Any:
    figure.update_yaxes(title="share of positions kept", tickformat=".0%")
    return finish(figure, -0.25)


def _group(row: AccuracyRow, bits: str = "") -> str:
    several = "heads" if "," in row.heads else "head"
    simulated = ", simulated" if row.mode == "simulate" else ""
    return f"{row.variant}, layer {row.layer} {several} {row.heads}{bits}{simulated}"
