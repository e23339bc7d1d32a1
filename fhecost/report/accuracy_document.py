"""What ``fhecost accuracy`` says and draws: how much of the float model quantized heads keep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle, groupby
from typing import Any, Literal

from fhecost.accuracy.published import ALL_HEADS, MODEL, SINGLE_HEAD, SOURCE
from fhecost.accuracy.records import AccuracyReport, AccuracyRow
from fhecost.projection.bits import BitsReport
from fhecost.report import drawing
from fhecost.report.bits_figures import bits_figures
from fhecost.report.columns import Column, Table, column, numbers, records
from fhecost.report.document import Document, Refusals, Text

_COLORS = {1: drawing.BLUE, 5: drawing.ORANGE, 10: drawing.GREEN}
_SHARES = {"title": "share of positions kept", "tickformat": ".0%"}
_MOST_LINES = 8
"""More heads than that are a map; more lengths have ticks at powers of two alone."""
_ROW_PX, _AROUND_PX = 20, 140
"""Of a map: a layer's line, and what is above and below."""


def accuracy_document(report: AccuracyReport) -> Document:
    """Shares that are kept, what is lost, and what goes wrong when simulated."""
    rows = report.rows
    variants = ", ".join(sorted({row.variant for row in rows}))
    modes = ", ".join(sorted({row.mode for row in rows}))
    return Document(
        blocks=(
            Text(
                f"{report.model}: share of positions whose float top-1 token is among the "
                f"quantized top k, with 95 % intervals; variant {variants}, mode {modes}; "
                f"{judged_on(report)}"
            ),
            *_tables(rows),
            Refusals(*(f"no row: {refusal}" for refusal in report.refusals)),
        ),
        records=records(list(AccuracyRow.model_fields), map(dict, rows)),
        report=report,
        omits_unknown=True,
    )


def judged_on(report: AccuracyReport) -> str:
    """How many windows the rows rest on, and where they come from."""
    counts = sorted({row.sentences for row in report.rows})
    windows = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(counts[0])
    return f"{windows} windows from {report.sentences}"


def _tables(rows: Sequence[AccuracyRow]) -> Iterator[Table]:
    clipped = (
        f"{row.saturated / row.inputs:.2%}".replace("%", " %") if row.inputs else None
        for row in rows
    )
    yield Table(
        *_setting(rows),
        numbers("positions", (row.positions for row in rows)),
        numbers("top-1", (row.top1 for row in rows), "{:.3f}".format),
        numbers("interval", (f"{row.top1_low:.3f}-{row.top1_high:.3f}" for row in rows)),
        numbers("top-5", (row.top5 for row in rows), "{:.3f}".format),
        numbers("top-10", (row.top10 for row in rows), "{:.3f}".format),
    )
    yield Table(
        *_setting(rows),
        numbers("logit error", (row.logit_rmse for row in rows), "{:.3f}".format),
        numbers("perplexity", (row.quantized_perplexity for row in rows), "{:.2f}".format),
        numbers("float", (row.float_perplexity for row in rows), "{:.2f}".format),
        numbers("clipped", clipped),
        numbers("too wide", (row.exceeded for row in rows)),
        title="What the model makes of it, and what did not fit",
    )
    noisy = [row for row in rows if row.mode == "simulate"]
    if noisy:
        yield Table(
            *_setting(noisy),
            numbers("lookups", (row.lookups for row in noisy)),
            numbers("p_error", (row.p_error for row in noisy), "{:.1e}".format),
            numbers("expected wrong", (r.expected_wrong_lookups for r in noisy), "{:.1e}".format),
            numbers("wrong values", (row.wrong_values for row in noisy)),
            title="Lookups that go wrong, simulated",
        )


def _setting(rows: Sequence[AccuracyRow]) -> list[Column]:
    """What tells the rows apart: also their variant and mode, where there are several."""
    more = [
        column(field, values)
        for field in ("variant", "mode")
        if len(set(values := [str(getattr(row, field)) for row in rows])) > 1
    ]
    return [
        *more,
        _layers(rows),
        column("heads", (row.heads.replace(" ", "") for row in rows)),
        numbers("bits", (row.bits for row in rows)),
        numbers("L", (row.seq_len for row in rows)),
    ]


def _layers(rows: Sequence[AccuracyRow]) -> Column:
    if all(row.layers is None for row in rows):
        return numbers("layer", (row.layer for row in rows))
    named = (str(row.layer) if row.layers is None else row.layers for row in rows)
    return column("layers", (name.replace(" ", "") for name in named))


def accuracy_plot(report: AccuracyReport, costs: Sequence[BitsReport] = ()) -> drawing.Plot:
    """What is drawn: the figures that the rows allow, and what their widths cost.

    Raises:
        UsageError: plotly isn't installed.
    """
    note = (
        f"{report.model}, {judged_on(report)}; share of positions whose float top-1 "
        "token is among the quantized top k; bars are 95 % intervals. "
        f"fhecost {report.fhecost_version}, weights {report.model_sha256[:12]}."
    )
    of_costs = [drawn for one in costs for drawn in bits_figures(one, shares=False)]
    figures = [*accuracy_figures(report), *of_costs]
    return drawing.Plot("How accurate the quantized heads stay", note, figures)


def accuracy_figures(report: AccuracyReport) -> list[drawing.Drawn]:
    """Those that the rows allow: maps of many heads, else lines by bits and by length."""
    rows = report.rows
    if len({(row.layer, row.heads) for row in rows if row.layers is None}) > _MOST_LINES:
        return _heat_maps(rows)
    drawn = []
    if len({row.bits for row in rows}) > 1:
        drawn.append(("Accuracy against bits", _by_bits(rows, report.model)))
    if len({row.seq_len for row in rows}) > 1:
        drawn.append(("Accuracy against sequence length", _by_length(rows)))
    return drawn or [("Accuracy", _by_bits(rows, report.model))]


def _by_bits(rows: Sequence[AccuracyRow], model: str) -> Any:
    """By bits at the longest length, beside what was published of GPT-2 124M."""
    longest = max(row.seq_len for row in rows)
    figure = drawing.new_figure()
    _add_lines(figure, [row for row in rows if row.seq_len == longest], "bits")
    for heads, published, dash in (
        ("one head", SINGLE_HEAD, "longdash"),
        ("all heads", ALL_HEADS, "dot"),
    ):
        for k, shares in published.items():
            about = {"dash": dash, "width": 1.5, "mode": "lines+markers", "hovertext": SOURCE}
            drawing.add_line(
                figure, shares, shares.values(), drawing.NEUTRAL,
                name=f"published of GPT-2 124M, {heads}, top-{k}",
                marker={"size": 5, "symbol": "diamond-open"},
                visible=True if k == 1 else "legendonly", **about,
            )  # fmt: skip
    other = "other sentences" if model == MODEL else "another model, other sentences"
    drawing.say_on(
        figure, f"{model}, all but the diamonds: these are GPT-2 124M as published, {other}"
    )
    # On a small screen each line has a line of the legend.
    height = 380 + 18 * len(figure.data)
    bits = {"title": f"bits (L={longest})", "dtick": 1}
    return drawing.finish(figure, bits, _SHARES, -0.25, height=height)


def _by_length(rows: Sequence[AccuracyRow]) -> Any:
    figure = drawing.new_figure()
    _add_lines(figure, rows, "seq_len")
    lengths = sorted({row.seq_len for row in rows})
    ticks = lengths
    if len(lengths) > _MOST_LINES:
        ticks = [length for length in lengths if length.bit_count() == 1] or lengths
    axis = {"title": "sequence length (tokens)", "type": "log"}
    return drawing.finish(figure, {**axis, "tickvals": ticks, "ticktext": ticks}, _SHARES, -0.25)


def _add_lines(figure: Any, rows: Sequence[AccuracyRow], x: Literal["bits", "seq_len"]) -> None:
    """Top-1, top-5 and top-10 of each group of heads against ``x``, with their intervals."""

    def group_of(row: AccuracyRow) -> str:
        bits = f", {row.bits} bits" if x == "seq_len" else ""
        simulated = ", simulated" if row.mode == "simulate" else ""
        layer = f"layer {row.layer}" if row.layers is None else f"layers {row.layers}"
        return f"{row.variant}, {layer} {row.heads_named}{bits}{simulated}"

    ordered = sorted(rows, key=lambda row: (group_of(row), getattr(row, x)))
    for (group, found), dash in zip(groupby(ordered, group_of), cycle(drawing.DASHES)):
        part = list(found)
        for k, color in _COLORS.items():
            low, share, high = (
                [getattr(row, f"top{k}{end}") for row in part] for end in ("_low", "", "_high")
            )
            about = {"mode": "lines+markers", "error_y": drawing.error_bars(low, share, high, 1)}
            xs = [getattr(row, x) for row in part]
            drawing.add_line(figure, xs, share, color, dash=dash, name=f"{group}, top-{k}", **about)


def _heat_maps(rows: Sequence[AccuracyRow]) -> list[drawing.Drawn]:
    """A map of layers and heads for each width, length, variant and mode."""
    maps = []
    # One scale for all maps: what is darker keeps more, wherever it stands.
    least = min(row.top1 for row in rows)
    several = [len({getattr(row, field) for row in rows}) > 1 for field in ("variant", "mode")]
    for setting, part in groupby(sorted(rows, key=_map_of), _map_of):
        share = {(row.layer, row.heads): row.top1 for row in part}
        layers = sorted({layer for layer, _ in share})
        heads = sorted({head for _, head in share}, key=lambda text: (len(text), text))
        figure = drawing.new_figure()
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
        figure.update_yaxes(autorange="reversed", dtick=1)
        figure.update_layout(height=_AROUND_PX + _ROW_PX * max(_MOST_LINES, len(layers)))
        bits, seq_len, *others = setting
        words = [f"{bits} bits", f"L={seq_len}"]
        words += [str(word) for word, differs in zip(others, several, strict=True) if differs]
        maps.append((f"Top-1 by layer and head, {', '.join(words)}", figure))
    return maps


def _map_of(row: AccuracyRow) -> tuple[int, int, str, str]:
    return row.bits, row.seq_len, row.variant, row.mode
