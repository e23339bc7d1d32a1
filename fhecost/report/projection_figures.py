"""PBS and latency against sequence length, then the years, as figures on one page."""

from __future__ import annotations

from itertools import cycle
from typing import Any

from fhecost.projection.lengths import PBS, LengthProjection
from fhecost.projection.projection import ProjectionReport
from fhecost.report.drawing import (
    BLUE,
    DASHES,
    KIND_COLORS,
    Drawn,
    add_band,
    add_line,
    add_target,
    finish,
    log_axis,
    new_figure,
)
from fhecost.report.pages import figure_page
from fhecost.report.projection_document import asked_line, law_line, machines_of
from fhecost.report.years_figures import years_figures
from fhecost.units import duration, span

_TOKENS = {"title": "tokens", "type": "log", "dtick": "D2", "automargin": True}


def projection_page(report: ProjectionReport) -> str:
    """One HTML page that opens offline.

    Raises:
        UsageError: plotly isn't installed.
    """
    note = (
        f"{asked_line(report)}. Dots are circuits counted and estimated one by one, dotted lines "
        f"the power laws through them, bands the ranges. fhecost {report.fhecost_version}."
    )
    missing = "".join(f" {name}: {reason}." for name, reason in report.refusals.items())
    return figure_page("What longer sequences cost", note + missing, projection_figures(report))


def projection_figures(report: ProjectionReport) -> list[Drawn]:
    """PBS, latency where it is known, and the years if they were asked for."""
    drawn = [("PBS against sequence length", _pbs_figure(report.lengths))]
    if machines_of(report):
        drawn.append(("Latency against sequence length", _latency_figure(report)))
    if report.years is not None:
        drawn += [
            (f"{heading}, at {report.years_seq_len:,} tokens", figure)
            for heading, figure in years_figures(report.years)
        ]
    return drawn


def _pbs_figure(lengths: LengthProjection) -> Any:
    figure = new_figure()
    known = [point for point in lengths.points if point.pbs_count is not None]
    figure.add_scatter(
        x=[point.seq_len for point in known],
        y=[point.pbs_count for point in known],
        mode="markers",
        marker={"color": BLUE, "size": 8},
        name=PBS,
        hovertemplate="%{x} tokens: %{y:,} PBS<extra></extra>",
    )
    _add_laws(figure, lengths, PBS, BLUE)
    return finish(figure, _TOKENS, log_axis(PBS))


def _latency_figure(report: ProjectionReport) -> Any:
    figure = new_figure()
    points = report.lengths.points
    # Machines of one kind share a color, and each has a dash of its own.
    dashes = {kind: cycle(DASHES) for kind in KIND_COLORS}
    for name in machines_of(report):
        kind = report.kinds[name]
        known = {
            point.seq_len: point.latency_s[name] for point in points if name in point.latency_s
        }
        texts = [
            f"{name}, {length} tokens: {duration(band.value)}, {span(band.low, band.high)}"
            for length, band in known.items()
        ]
        about = {"mode": "lines+markers", "dash": next(dashes[kind])}
        lengths, bands = list(known), list(known.values())
        add_band(figure, name, KIND_COLORS[kind], lengths, bands, texts, **about)
        _add_laws(figure, report.lengths, name, KIND_COLORS[kind])
    if report.target_s is not None:
        # A little further than the points, so that it shows for a single length too.
        add_target(figure, [0.9 * points[0].seq_len, 1.1 * points[-1].seq_len], report.target_s)
    return finish(figure, _TOKENS, log_axis("seconds"))


def _add_laws(figure: Any, lengths: LengthProjection, of: str, color: str) -> None:
    about = {"dash": "dot", "width": 1, "legendgroup": of, "hoverinfo": "name"}
    for law in lengths.laws:
        if law.of == of:
            ends = [law.first, law.last]
            values = [law.coefficient * length**law.exponent for length in ends]
            shown = {"name": law_line(law), "showlegend": of == PBS}
            add_line(figure, ends, values, color, **shown, **about)
