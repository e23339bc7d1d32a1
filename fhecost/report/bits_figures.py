"""What bits cost and what they keep, drawn: latency and accuracy by bits, one against the other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any

from fhecost.accuracy.records import AccuracyRow
from fhecost.projection.bits import BitsPoint, BitsReport
from fhecost.projection.trend_fit import Band
from fhecost.report import drawing
from fhecost.report.columns import Table, names, numbers
from fhecost.report.document import Block, Note, Refusals, Text
from fhecost.report.latency_words import latency_words, ranged
from fhecost.units import duration, span

_COLORS = (drawing.BLUE, drawing.ORANGE, drawing.GREEN, drawing.PURPLE, drawing.NEUTRAL)
_SHARES = {"title": "share of top-1 tokens kept", "tickformat": ".0%"}
_BITS = {"title": "bits", "dtick": 1}


def bits_blocks(report: BitsReport) -> Iterator[Block]:
    """A row for each variant and width, with what it keeps and what it takes."""
    points = report.points
    yield Text(f"{_told(report)}.")
    yield Table(
        names("variant", (one.variant for one in points)),
        numbers("bits", (one.bits for one in points)),
        numbers("PBS", (one.pbs_count for one in points)),
        numbers("top-1", (one.accuracy and one.accuracy.top1 for one in points), "{:.3f}".format),
        *(numbers(name, (_latency(one, name) for one in points)) for name in report.kinds),
        fixed=2,
    )
    yield Note("-: not known, or the machine can't hold it")
    yield Refusals(*_reasons(report))


def _latency(one: BitsPoint, machine: str) -> str | None:
    band = one.latency_s.get(machine)
    return None if band is None else latency_words(ranged(band))


def _reasons(report: BitsReport) -> Iterator[str]:
    """Why some settings have no circuit, and why machines can't hold some: the first reason each.

    Wider ones of a variant are mostly refused for the same.
    """
    found: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for one in report.points:
        why = one.refusals if one.reason is None else {"no circuit": one.reason}
        for machine, reason in why.items():
            found.setdefault((machine, one.variant), []).append((one.bits, reason))
    for (machine, variant), refused in found.items():
        widths = ", ".join(str(bits) for bits, _ in refused)
        refuses = machine if machine == "no circuit" else f"not {machine}"
        yield f"{refuses} for {variant} at {widths} bits: {refused[0][1]}"


def _told(report: BitsReport, *, latency: bool = True, accuracy: bool = True) -> str:
    """What the figures are of, in one sentence."""
    parts = [f"{report.model}{f', {report.of}' if report.of else ''}"]
    if latency:
        parts.append(f"latency at {_tokens(report.seq_len)}, by closed form with stated widths")
    if accuracy and report.judged_seq_len is not None:
        parts.append(f"accuracy on windows of {_tokens(report.judged_seq_len)}")
    if latency and report.chosen is not None:
        parts.append("star: this circuit, by its own profile")
    return "; ".join(parts)


def _tokens(length: int) -> str:
    return "1 token" if length == 1 else f"{length:,} tokens"


def bits_plot(report: BitsReport) -> drawing.Plot:
    """What is drawn.

    Raises:
        UsageError: plotly isn't installed.
    """
    return drawing.Plot(
        "What bits cost, and what they keep", f"{_told(report)}.", bits_figures(report)
    )


def bits_figures(report: BitsReport, *, shares: bool = True) -> list[drawing.Drawn]:
    """Latency by bits; where accuracies are known, these by bits, and one against the other.

    Args:
        report: what to draw.
        shares: whether to draw accuracy by bits too.

    Raises:
        UsageError: plotly isn't installed.
    """
    of = f", {report.of}" if report.of else ""
    drawn = []
    if any(one.latency_s for one in report.points):
        drawn.append((f"Latency by bits{of}", _latency_by_bits(report)))
    if not any(one.accuracy for one in report.points):
        return drawn
    if shares:
        drawn.append((f"Accuracy by bits{of}", _accuracy_by_bits(report)))
    machine = _machine(report)
    if machine is not None:
        figure = _accuracy_by_latency(report, machine)
        drawn.append((f"Accuracy against latency on {machine}{of}", figure))
    return drawn


def _machine(report: BitsReport) -> str | None:
    """The machine with the narrowest ranges of those that have points to draw.

    Before others it is one that has the chosen point.
    """
    chosen = report.chosen.latency_s if report.chosen else {}
    ratios: dict[str, float] = {}
    for one in report.points:
        for name, band in one.latency_s.items() if one.accuracy else ():
            ratios[name] = max(
                ratios.get(name, 1.0), band.high / band.low if band.low else math.inf
            )
    drawn = sorted(ratios, key=lambda name: (name not in chosen, ratios[name], name))
    return next(iter(drawn), None)


def _latency_by_bits(report: BitsReport) -> Any:
    """Of the chosen variant, else of all, on each machine."""
    figure = drawing.new_figure()
    variants = [report.chosen.variant] if report.chosen else _variants(report)
    dashes = {kind: cycle(drawing.DASHES) for kind in (*drawing.KIND_COLORS, None)}
    ends = []
    for machine, kind in report.kinds.items():
        for variant in variants:
            known = {
                one.bits: one.latency_s[machine]
                for one in report.points
                if one.variant == variant and machine in one.latency_s
            }
            if not known:
                continue
            name = machine if len(variants) == 1 else f"{machine}, {variant}"
            texts = [f"{name}, {bits} bits: {_words(band)}" for bits, band in known.items()]
            about = {"mode": "lines+markers", "dash": next(dashes[kind])}
            drawing.add_band(figure, name, drawing.kind_color(kind), known, texts, **about)
            ends += [end for band in known.values() for end in (band.low, band.high)]
    chosen = report.chosen
    if chosen is not None and chosen.latency_s:
        ends += [end for band in chosen.latency_s.values() for end in (band.low, band.high)]
        _add_chosen(
            figure,
            [chosen.bits] * len(chosen.latency_s),
            [band.value for band in chosen.latency_s.values()],
            [f"{name}: {_words(band)}" for name, band in chosen.latency_s.items()],
        )
    drawing.say_on(figure, f"{', '.join(variants)}: {_told(report, accuracy=False)}")
    return drawing.finish(figure, _BITS, drawing.time_axis("latency", ends), -0.22)


def _accuracy_by_bits(report: BitsReport) -> Any:
    figure = drawing.new_figure()
    for variant, color, points in _judged(report):
        rows = [one.accuracy for one in points if one.accuracy]
        _add_shares(figure, [one.bits for one in points], rows, color, variant)
    chosen = report.chosen
    if chosen is not None and chosen.accuracy:
        _add_chosen(figure, [chosen.bits], [chosen.accuracy.top1], [_share(chosen.accuracy)])
    drawing.say_on(figure, _told(report, latency=False))
    return drawing.finish(figure, _BITS, _SHARES, -0.22)


def _accuracy_by_latency(report: BitsReport, machine: str) -> Any:
    figure = drawing.new_figure()
    ends = []
    for variant, color, judged in _judged(report):
        points = sorted(
            (one for one in judged if machine in one.latency_s),
            key=lambda one: one.latency_s[machine].value,
        )
        bands = [one.latency_s[machine] for one in points]
        ends += [end for band in bands for end in (band.low, band.high)]
        values = [band.value for band in bands]
        rows = [one.accuracy for one in points if one.accuracy]
        _add_shares(
            figure, values, rows, color, variant, [f"{one.bits} bits" for one in points],
            error_x=drawing.error_bars(
                [band.low for band in bands], values, [band.high for band in bands], 1
            ),
        )  # fmt: skip
    chosen = report.chosen
    if chosen is not None and chosen.accuracy and machine in chosen.latency_s:
        band, row = chosen.latency_s[machine], chosen.accuracy
        ends += [band.low, band.high]
        said = [f"{_words(band)}<br>{_share(row)}"]
        _add_chosen(figure, [band.value], [row.top1], said)
    drawing.say_on(figure, _told(report))
    rows = [one.accuracy for one in report.points if one.accuracy and machine in one.latency_s]
    low, high = min(row.top1_low for row in rows), max(row.top1_high for row in rows)
    # Room for the label above the topmost mark.
    shares = {**_SHARES, "range": [low - 0.05 * (high - low), high + 0.15 * (high - low)]}
    axis = drawing.time_axis(f"latency on {machine}", ends)
    return drawing.finish(figure, axis, shares, -0.22)


def _judged(report: BitsReport) -> Iterator[tuple[str, str, list[BitsPoint]]]:
    """The points of each variant whose accuracy is known, with a color."""
    for variant, color in zip(_variants(report), cycle(_COLORS)):
        points = [one for one in report.points if one.variant == variant and one.accuracy]
        if points:
            yield variant, color, points


def _variants(report: BitsReport) -> list[str]:
    return list(dict.fromkeys(one.variant for one in report.points))


def _add_shares(
    figure: Any,
    x: Sequence[float],
    rows: Sequence[AccuracyRow],
    color: str,
    variant: str,
    labels: Sequence[str] = (),
    **about: Any,
) -> None:
    """Shares of one variant with their intervals, and with ``labels`` beside them."""
    low, value, high = ([getattr(row, f"top1{end}") for row in rows] for end in _ENDS)
    drawing.add_line(
        figure, x, value, color, name=variant, mode="lines+markers",
        error_y=drawing.error_bars(low, value, high, 1),
        marker={"size": 8}, hoverinfo="text",
        hovertext=[f"{variant}, {row.bits} bits: {_share(row)}" for row in rows], **about,
    )  # fmt: skip
    for place, share, label in zip(x, value, labels, strict=False):
        figure.add_scatter(
            x=[place], y=[share], mode="text", text=[f"{label}<br> "], textposition="top left",
            textfont={"size": 10, "color": color}, showlegend=False, hoverinfo="skip",
        )  # fmt: skip


_ENDS = ("_low", "", "_high")


def _add_chosen(figure: Any, x: Sequence[float], y: Sequence[float], texts: Sequence[str]) -> None:
    figure.add_scatter(
        x=x, y=y, mode="markers", name="this circuit", text=texts, hoverinfo="text",
        marker=drawing.STAR,
    )  # fmt: skip


def _share(row: AccuracyRow) -> str:
    return f"top-1 {row.top1:.3f} ({row.top1_low:.3f} to {row.top1_high:.3f})"


def _words(band: Band) -> str:
    return f"{duration(band.value)}, {span(band.low, band.high)}"
