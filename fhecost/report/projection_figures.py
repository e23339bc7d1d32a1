"""PBS and latency against sequence length, then the years, as figures on one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fhecost.hardware.profile import Kind
from fhecost.projection.lengths import PBS, LengthProjection, PowerLaw
from fhecost.projection.projection import ProjectionReport
from fhecost.report.drawing import (
    KIND_COLORS,
    NEUTRAL,
    Drawn,
    add_band,
    add_line,
    finish,
    log_axis,
    new_figure,
)
from fhecost.report.pages import figure_page
from fhecost.report.projection_document import asked_line, law_line, machines_of
from fhecost.report.years_figures import years_figures
from fhecost.units import duration, span

_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")


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
        marker={"color": KIND_COLORS["cpu"], "size": 8},
        name="PBS",
        hovertemplate="%{x} tokens: %{y:,} PBS<extra></extra>",
    )
    _add_laws(figure, lengths.laws, PBS, KIND_COLORS["cpu"])
    return _finished(figure, "PBS")


def _latency_figure(report: ProjectionReport) -> Any:
    figure = new_figure()
    machines = machines_of(report)
    for name, dash in zip(machines, _dashes(machines, report.kinds), strict=True):
        color = KIND_COLORS[report.kinds[name]]
        known = {p.seq_len: p.latency_s[name] for p in report.lengths.points if name in p.latency_s}
        texts = [
            f"{name}, {length} tokens: {duration(band.value)}, {span(band.low, band.high)}"
            for length, band in known.items()
        ]
        bands = list(known.values())
        add_band(figure, name, color, list(known), bands, texts, mode="lines+markers", dash=dash)
        _add_laws(figure, report.lengths.laws, name, color)
    if report.target_s is not None:
        figure.add_hline(
            y=report.target_s,
            line={"color": NEUTRAL, "dash": "dot", "width": 1.5},
            annotation={"text": f"target {duration(report.target_s)}"},
        )
    return _finished(figure, "seconds")


def _dashes(machines: Sequence[str], kinds: Mapping[str, Kind]) -> list[str]:
    """Machines of one kind share a color, and each has a dash of its own."""
    seen: dict[Kind, int] = {}
    dashes = []
    for name in machines:
        number = seen.setdefault(kinds[name], 0)
        seen[kinds[name]] += 1
        dashes.append(_DASHES[number % len(_DASHES)])
    return dashes


def _add_laws(figure: Any, laws: Sequence[PowerLaw], of: str, color: str) -> None:
    for law in laws:
        if law.of != of:
            continue
        ends = [law.first, law.last]
        latencies = [law.coefficient * length**law.exponent for length in ends]
        about = {"name": law_line(law), "legendgroup": of, "hoverinfo": "name"}
        add_line(figure, ends, latencies, color, dash="dot", width=1, showlegend=of == PBS, **about)


def _finished(figure: Any, unit: str) -> Any:
    figure.update_xaxes(type="log", title="tokens", dtick="D2", automargin=True)
    figure.update_yaxes(title=unit, **log_axis())
    return finish(figure)
