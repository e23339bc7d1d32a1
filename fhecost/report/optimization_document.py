"""What ``fhecost optimize`` says and draws: settings that nothing beats, and what they beat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from fhecost.heads.head_quantization import HeadSetting
from fhecost.heads.saved_setting import SavedSetting
from fhecost.report import drawing
from fhecost.report.columns import Column, Table, names, numbers, records
from fhecost.report.document import Block, Document, Heading, Listing, Note, Refusals, Text
from fhecost.report.pages import figure_page
from fhecost.search.records import Figures, FrontPoint, MarkedPoint, OptimizationReport
from fhecost.units import duration, span

_SHORT = {
    "input_bits": "input",
    "product_bits": "product",
    "score_bits": "score",
    "value_bits": "value",
    "exponential_bits": "exp",
    "kept_bits": "kept",
    "kept_score_bits": "kept score",
    "score_rank": "score rank",
    "value_rank": "value rank",
    "score_shift": "score shift",
    "value_shift": "value shift",
}
_LEGEND = Note(
    "top-1: positions whose most likely token stays the float model's, in the clear with lookups "
    "that go wrong as often as they may; error: root mean square of what the heads' output is off, "
    "over that of the float output; latency and PBS by closed form; -: the machine can't hold it"
)
_SETTINGS = Note(
    "bits, ranks (columns kept) and shifts (bits that squares lose); a/b: head by head"
)
_VERIFIED = Note(
    "predicted, then Concrete's: the compiled circuit, and its simulation for the error"
)
_STOPPED = {
    "budget": "the time is up",
    "trials": "all trials are done",
    "interrupt": "interrupted",
}


def optimization_document(report: OptimizationReport) -> Document:
    """The front by latency, its settings, what Concrete makes of some, and how to get each again."""
    return Document(tuple(_blocks(report)), _records(report), report)


def _blocks(report: OptimizationReport) -> Iterator[Block]:
    heads = ", ".join(map(str, report.heads))
    limits = [
        f"top-1 from {report.min_top1:g}" if report.min_top1 is not None else "",
        f"error up to {report.max_error:g}" if report.max_error is not None else "",
    ]
    yield Text(
        f"{report.model}, layer {report.layer}, head{'s' * (len(report.heads) > 1)} {heads}, "
        f"seq len {report.seq_len}, on {report.hardware}: {len(report.points)} settings that "
        f"no other of {report.trials} beats ({report.judged} judged wholly; "
        f"{_STOPPED[report.stopped_by]})",
        f"top-1 on windows of {report.judged_seq_len} tokens of {report.sentences}",
    )
    if any(limits):
        yield Text(f"limits: {', '.join(limit for limit in limits if limit)}")
    points = report.points
    yield Heading("The front")
    yield _figures_table([point.name for point in points], [point.figures for point in points])
    if report.marked:
        yield Heading("For comparison")
        yield _figures_table(
            [_marked_name(one) for one in report.marked], [one.figures for one in report.marked]
        )
    yield _LEGEND
    yield Heading("Settings")
    yield _settings_table(points)
    yield _SETTINGS
    verified = [point for point in points if point.verified is not None]
    if verified:
        yield Heading("Compiled and simulated")
        yield from _verified_tables(verified)
        yield _VERIFIED
    yield Refusals(*report.refusals)
    commands = tuple(point.command for point in points if point.command)
    if commands:
        yield Text(Listing("each again, or compiled without --no-compile:", commands))


def _figures_table(rows: Sequence[str], figures: Sequence[Figures]) -> Table:
    return Table(
        names("heads", rows),
        numbers("top-1", (one.top1 for one in figures), "{:.3f}".format),
        numbers("error", (one.error for one in figures), "{:.3f}".format),
        numbers("latency", (one.latency_s for one in figures), duration),
        numbers("range", map(_range, figures)),
        numbers("PBS", (one.pbs_count for one in figures)),
        numbers("complexity", (one.complexity for one in figures), "{:.2e}".format),
    )


def _range(figures: Figures) -> str | None:
    if figures.low_s is None or figures.high_s is None:
        return None
    return span(figures.low_s, figures.high_s)


def _marked_name(one: MarkedPoint) -> str:
    return f"{one.variant}, {one.bits} bits"


def _settings_table(points: Sequence[FrontPoint]) -> Table:
    rows = [_setting_words(point.setting) for point in points]
    return Table(
        names("heads", (point.name for point in points)),
        *(numbers(heading, [row[field] for row in rows]) for field, heading in _SHORT.items()),
        numbers("p_error", [row["p_error"] for row in rows]),
        fixed=1,
    )


def _setting_words(saved: SavedSetting) -> dict[str, str]:
    """Each choice; of heads that differ, one after the other."""
    words = {field: _each(saved.settings, field) for field in _SHORT}
    p_error = saved.tolerance.p_error
    return words | {"p_error": "default" if p_error is None else f"{p_error:.1g}"}


def _each(settings: Sequence[HeadSetting], field: str) -> str:
    values = [asdict(setting)[field] for setting in settings]
    written = ["all" if value is None else str(value) for value in values]
    return written[0] if len(set(written)) == 1 else "/".join(written)


def _verified_tables(points: Sequence[FrontPoint]) -> Iterator[Table]:
    """Predicted beside compiled, and the error predicted beside the simulated one."""
    predicted = [point.figures for point in points]
    found = [point.verified for point in points if point.verified is not None]
    heads = names("heads", (point.name for point in points))

    def beside(field: str, heading: str, words: Any) -> Iterator[Column]:
        yield numbers(heading, (getattr(one, field) for one in predicted), words)
        yield numbers("Concrete", (getattr(one, field) for one in found), words)

    yield Table(heads, *beside("pbs_count", "PBS", "{:,}".format),
                *beside("complexity", "complexity", "{:.2e}".format))  # fmt: skip
    yield Table(heads, *beside("latency_s", "latency", duration),
                *beside("error", "error", "{:.3f}".format))  # fmt: skip


def _records(report: OptimizationReport) -> Table:
    """One row a point, of the front and for comparison, by ``kind``."""
    figures = list(Figures.model_fields)
    verified = ("error", "pbs_count", "complexity", "latency_s", "low_s", "high_s")
    fields = (
        "kind", "heads", *figures, *_SHORT, "p_error",
        *(f"verified_{field}" for field in verified), "file", "command",
    )  # fmt: skip
    front = (
        {"kind": "front", "heads": point.name, "file": point.file, "command": point.command}
        | dict(point.figures)
        | _setting_words(point.setting)
        | {
            f"verified_{field}": getattr(point.verified, field)
            for field in verified
            if point.verified is not None
        }
        for point in report.points
    )
    marked = (
        {"kind": "marked", "heads": _marked_name(one)} | dict(one.figures) for one in report.marked
    )
    return records(fields, [*front, *marked])


def optimization_page(report: OptimizationReport) -> str:
    """One HTML page: top-1 against latency, with the front and what it is held against.

    Raises:
        UsageError: plotly isn't installed.
    """
    heads = ", ".join(map(str, report.heads))
    note = (
        f"{report.model}, layer {report.layer}, heads {heads}, {report.seq_len} tokens, on "
        f"{report.hardware}; top-1 on windows of {report.judged_seq_len} tokens of "
        f"{report.sentences}. Bars are the ranges of the estimates and 95 % intervals. "
        f"fhecost {report.fhecost_version}, weights {report.model_sha256[:12]}."
    )
    return figure_page("What heads keep against their latency", note, optimization_figures(report))


def optimization_figures(report: OptimizationReport) -> list[drawing.Drawn]:
    """Top-1 against latency."""
    figure = drawing.new_figure()
    beaten = report.beaten
    if beaten:
        figure.add_scatter(
            x=[one.latency_s for one in beaten],
            y=[one.top1 for one in beaten],
            mode="markers",
            marker={"color": drawing.NEUTRAL, "size": 5, "opacity": 0.5},
            name="beaten",
            text=[_told("", one.top1, one.error, one.latency_s) for one in beaten],
            hoverinfo="text",
        )
    _add_points(
        figure,
        "the front",
        [(point.name, point.figures) for point in report.points],
        mode="lines+markers",
        line={"color": drawing.BLUE, "width": 1.5, "shape": "hv"},
        marker={"color": drawing.BLUE, "size": 9},
    )
    checked = [point for point in report.points if point.verified is not None]
    if checked:
        figure.add_scatter(
            x=[point.verified.latency_s for point in checked if point.verified],
            y=[point.figures.top1 for point in checked],
            mode="markers",
            marker={"color": drawing.GREEN, "size": 10, "symbol": "circle-open"},
            name="the front, compiled",
            text=[
                f"{point.name}, compiled: {point.verified.pbs_count:,} PBS, error simulated "
                f"{point.verified.error:.3f}"
                for point in checked
                if point.verified
            ],
            hoverinfo="text",
        )
    for variant, color, symbol in (
        ("reference", drawing.PURPLE, "square"),
        ("compact", drawing.ORANGE, "diamond"),
        ("fast", drawing.ORANGE, "triangle-up"),
    ):
        marked = [
            (_marked_name(one), one.figures)
            for one in report.marked
            if one.variant == variant and one.figures.latency_s is not None
        ]
        if marked:
            _add_points(
                figure, f"shipped: {variant}", marked,
                mode="markers", marker={"color": color, "size": 11, "symbol": symbol},
            )  # fmt: skip
    shares = {"title": "share of top-1 tokens kept", "tickformat": ".1%"}
    latencies = [
        latency_s
        for one in (*(point.figures for point in report.points), *beaten)
        if (latency_s := one.latency_s) is not None
    ]
    axis = drawing.log_axis(f"seconds on {report.hardware}", latencies)
    return [("Top-1 against latency", drawing.finish(figure, axis, shares, -0.25))]


def _add_points(
    figure: Any, name: str, points: Sequence[tuple[str, Figures]], **about: Any
) -> None:
    """Points with the range of their latency and the interval of their top-1."""
    found = [figures for _, figures in points]
    x = [one.latency_s for one in found]
    y = [one.top1 for one in found]
    lows, highs = [one.low_s for one in found], [one.high_s for one in found]
    figure.add_scatter(
        x=x,
        y=y,
        error_x=drawing.error_bars(lows, x, highs, 1),
        error_y=drawing.error_bars(
            [one.top1_low for one in found], y, [one.top1_high for one in found], 1
        ),
        name=name,
        text=[_told(f"{label}<br>", one.top1, one.error, one.latency_s) for label, one in points],
        hoverinfo="text",
        **about,
    )


def _told(label: str, top1: float, error: float, latency_s: float | None) -> str:
    told = "unknown" if latency_s is None else duration(latency_s)
    return f"{label}top-1 {top1:.3f}, error {error:.3f}<br>{told}"
