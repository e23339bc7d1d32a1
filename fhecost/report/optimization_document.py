"""What ``fhecost optimize`` says and draws: settings that nothing beats, and what they beat."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from fhecost.heads.head_quantization import HeadSetting
from fhecost.heads.parameter_rules import UNRESTRICTED
from fhecost.heads.saved_setting import SavedSetting
from fhecost.report import drawing
from fhecost.report.columns import Column, Table, column, numbers, records
from fhecost.report.document import Block, Document, Heading, Listing, Note, Refusals, Text
from fhecost.search.records import (
    Figures,
    FrontPoint,
    Latency,
    MarkedPoint,
    OptimizationReport,
    VerifiedFigures,
)
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
    "score_sum_bits": "score sum",
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
_RESTRICTED = Note(
    "k polynomials of size N, l levels of a bootstrap key: Concrete may choose among these alone, "
    "since the machine is faster with them; -: it can't hold the circuit without"
)
_VERIFIED = Note(
    "predicted, then Concrete's: the compiled circuit, and its simulation for the error; unseen: "
    "top-1 on fhecost's evaluation sentences"
)
_STOPPED = {
    "budget": "the time is up",
    "trials": "all trials are done",
    "interrupt": "interrupted",
}


def optimization_document(report: OptimizationReport) -> Document:
    """The front by latency, its settings, what Concrete makes of some, and how to get each."""
    return Document(tuple(_blocks(report)), _records(report), report)


def _blocks(report: OptimizationReport) -> Iterator[Block]:
    heads = ", ".join(map(str, report.heads))
    limits = [
        f"top-1 from {report.min_top1:g}" if report.min_top1 is not None else "",
        f"error up to {report.max_error:g}" if report.max_error is not None else "",
    ]
    yield Text(
        f"{report.model}, layer {report.layer}, head{'s' * (len(report.heads) > 1)} {heads}, "
        f"seq len {report.seq_len}, on {report.hardware}: {len(report.points)} "
        f"setting{'s' * (len(report.points) != 1)} that no other of {report.trials} beats "
        f"({report.judged} judged wholly; {_STOPPED[report.stopped_by]})",
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
    restricted = [point for point in points if point.setting.rules.restriction != UNRESTRICTED]
    if restricted:
        yield Heading("Parameters for the machine")
        yield Table(
            column("heads", (point.name for point in restricted)),
            numbers("latency", (_likely(point.figures) for point in restricted), duration),
            numbers("without", (point.figures.unrestricted_s for point in restricted), duration),
            column("restricted to", (str(point.setting.rules.restriction) for point in restricted)),
        )
        yield _RESTRICTED
    verified = [point for point in points if point.verified is not None]
    if verified:
        yield Heading("Compiled and simulated")
        yield from _verified_tables(verified)
        yield _VERIFIED
    yield Refusals(*report.refusals)
    if points[0].command:
        line = "the first once more, by closed form; the others likewise:"
        yield Text(Listing(line, (points[0].command,)))


def _figures_table(rows: Sequence[str], figures: Sequence[Figures]) -> Table:
    return Table(
        column("heads", rows),
        numbers("top-1", (one.top1 for one in figures), "{:.3f}".format),
        numbers("error", (one.error for one in figures), "{:.3f}".format),
        numbers("latency", map(_likely, figures), duration),
        numbers("range", (one.latency and _range(one.latency) for one in figures)),
        numbers("PBS", (one.pbs_count for one in figures)),
    )


def _likely(figures: Figures | VerifiedFigures) -> float | None:
    return None if figures.latency is None else figures.latency.latency_s


def _range(latency: Latency) -> str:
    return span(latency.low_s, latency.high_s)


def _marked_name(one: MarkedPoint) -> str:
    return f"{one.variant}, {one.bits} bits"


def _settings_table(points: Sequence[FrontPoint]) -> Table:
    rows = [_setting_words(point.setting) for point in points]
    return Table(
        column("heads", (point.name for point in points)),
        *(numbers(heading, [row[field] for row in rows]) for field, heading in _SHORT.items()),
        numbers("p_error", [row["p_error"] for row in rows]),
        fixed=1,
    )


def _setting_words(saved: SavedSetting) -> dict[str, str]:
    """Each choice; of heads that differ, one after the other."""
    words = {field: _each(saved.settings, field) for field in _SHORT}
    p_error = saved.rules.p_error
    return words | {"p_error": "default" if p_error is None else f"{p_error:.1g}"}


def _each(settings: Sequence[HeadSetting], field: str) -> str:
    values = [asdict(setting)[field] for setting in settings]
    written = ["all" if value is None else str(value) for value in values]
    return written[0] if len(set(written)) == 1 else "/".join(written)


def _verified_tables(points: Sequence[FrontPoint]) -> Iterator[Table]:
    """Predicted beside compiled, and the error predicted beside the simulated one."""
    predicted = [point.figures for point in points]
    found = [point.verified for point in points if point.verified is not None]
    heads = column("heads", (point.name for point in points))

    def beside(
        heading: str,
        value: Callable[[Figures | VerifiedFigures], float | None],
        words: Callable[[Any], str],
    ) -> tuple[Column, Column]:
        return (
            numbers(heading, map(value, predicted), words),
            numbers("Concrete", map(value, found), words),
        )

    yield Table(
        heads,
        *beside("PBS", lambda one: one.pbs_count, "{:,}".format),
        *beside("complexity", lambda one: one.complexity, "{:.2e}".format),
    )
    yield Table(
        heads,
        numbers("top-1", (one.top1 for one in predicted), "{:.3f}".format),
        numbers("unseen", (one.top1 for one in found), "{:.3f}".format),
        *beside("latency", _likely, duration),
        *beside("error", lambda one: one.error, "{:.3f}".format),
    )


def _records(report: OptimizationReport) -> Table:
    """One row a point, of the front and for comparison, by ``kind``."""
    front = [
        {"kind": "front", "heads": point.name, "file": point.file, "command": point.command}
        | _flat(point.figures)
        | _setting_words(point.setting)
        | {f"verified_{field}": value for field, value in _flat(point.verified).items()}
        for point in report.points
    ]
    marked = [
        {"kind": "marked", "heads": _marked_name(one)} | _flat(one.figures) for one in report.marked
    ]
    figures, verified = (
        [*(field for field in kind.model_fields if field != "latency"), *Latency.model_fields]
        for kind in (Figures, VerifiedFigures)
    )
    fields = (
        "kind", "heads", *figures, *_SHORT, "p_error",
        *(f"verified_{field}" for field in verified), "file", "command",
    )  # fmt: skip
    return records(fields, [*front, *marked])


def _flat(figures: Figures | VerifiedFigures | None) -> dict[str, Any]:
    """All figures side by side; none of what isn't known."""
    if figures is None:
        return {}
    flat = dict(figures) | dict(figures.latency or {})
    return flat | ({"restriction": str(flat["restriction"])} if "restriction" in flat else {})


def optimization_plot(report: OptimizationReport) -> drawing.Plot:
    """What is drawn: top-1 against latency, with the front and what it is held against.

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
    return drawing.Plot("What heads keep against their latency", note, optimization_figures(report))


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
            text=[_told(one.top1, one.error, one.latency_s) for one in beaten],
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
    checked = [
        (point.name, point.figures.top1, point.verified, point.verified.latency)
        for point in report.points
        if point.verified and point.verified.latency
    ]
    if checked:
        figure.add_scatter(
            x=[latency.latency_s for *_, latency in checked],
            y=[top1 for _, top1, *_ in checked],
            mode="markers",
            marker={"color": drawing.GREEN, "size": 11, "symbol": "circle-open"},
            name="the front, compiled",
            text=[
                f"{name}, compiled<br>{duration(latency.latency_s)}, {_range(latency)}"
                f"<br>{found.pbs_count:,} PBS, error simulated {found.error:.3f}"
                for name, _, found, latency in checked
            ],
            hoverinfo="text",
        )
    for variant, color, symbol in (
        ("reference", drawing.PURPLE, "square"),
        ("compact", drawing.ORANGE, "diamond"),
        ("fast", drawing.ORANGE, "triangle-up"),
    ):
        marked = [
            (_marked_name(one), one.figures) for one in report.marked if one.variant == variant
        ]
        marker = {"color": color, "size": 11, "symbol": symbol}
        _add_points(figure, f"shipped: {variant}", marked, mode="markers", marker=marker)
    chosen = report.points[0]
    if chosen.figures.latency is not None:
        figure.add_scatter(
            x=[chosen.figures.latency.latency_s],
            y=[chosen.figures.top1],
            mode="markers",
            marker=drawing.STAR,
            name=f"the fastest within the limits: {chosen.name}",
            hoverinfo="skip",
        )
    shares = {"title": "share of top-1 tokens kept", "tickformat": ".1%"}
    latencies = [latency_s for trace in figure.data for latency_s in trace.x]
    axis = drawing.time_axis(f"latency on {report.hardware}", latencies)
    return [("Top-1 against latency", drawing.finish(figure, axis, shares, -0.25))]


def _add_points(
    figure: Any, name: str, points: Sequence[tuple[str, Figures]], **about: Any
) -> None:
    """Points with the range of their latency and the interval of their top-1."""
    known = [(label, one, one.latency) for label, one in points if one.latency]
    if not known:
        return
    x = [latency.latency_s for *_, latency in known]
    y = [one.top1 for _, one, _ in known]
    lows, highs = ([getattr(latency, end) for *_, latency in known] for end in ("low_s", "high_s"))
    least, most = ([getattr(one, end) for _, one, _ in known] for end in ("top1_low", "top1_high"))
    figure.add_scatter(
        x=x,
        y=y,
        error_x=drawing.error_bars(lows, x, highs, 1),
        error_y=drawing.error_bars(least, y, most, 1),
        name=name,
        text=[
            f"{label}<br>{_told(one.top1, one.error, latency.latency_s)}, {_range(latency)}"
            for label, one, latency in known
        ],
        hoverinfo="text",
        **about,
    )


def _told(top1: float, error: float, latency_s: float) -> str:
    return f"top-1 {top1:.3f}, error {error:.3f}<br>{duration(latency_s)}"
