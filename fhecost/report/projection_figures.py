"""PBS and latency against sequence length, then the years, as figures on one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fhecost.hardware.profile import Kind
from fhecost.projection.lengths import PBS, LengthProjection, PowerLaw
from fhecost.projection.projection import ProjectionReport
from fhecost.report.colors import KIND_COLORS, NEUTRAL, faint
from fhecost.report.pages import figure_page
from fhecost.report.plotly_library import load_plotly
from fhecost.report.projection_document import asked_line, law_line, machines_of
from fhecost.report.years_figures import years_figures
from fhecost.units import duration

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


def projection_figures(report: ProjectionReport) -> list[tuple[str, Any]]:
    """A heading and a plotly figure each.

    Raises:
        UsageError: plotly isn't installed.
    """
    figures = [("PBS against sequence length", _pbs_figure(report.lengths))]
    if any(point.latency_s for point in report.lengths.points):
        figures.append(("Latency against sequence length", _latency_figure(report)))
    if report.years is not None:
        figures += [
            (f"{heading}, at {report.years_seq_len:,} tokens", figure)
            for heading, figure in years_figures(report.years)
        ]
    return figures


def _pbs_figure(lengths: LengthProjection) -> Any:
    figure = load_plotly().Figure()
    known = [point for point in lengths.points if point.pbs_count is not None]
    figure.add_scatter(
        x=[point.seq_len for point in known],
        y=[point.pbs_count for point in known],
        mode="markers",
        marker={"color": KIND_COLORS["cpu"], "size": 8},
        name="PBS",
        hovertemplate="%{x} tokens: %{y:,} PBS<extra></extra>",
    )
    _add_laws(figure, [law for law in lengths.laws if law.of == PBS], KIND_COLORS["cpu"], PBS)
    _finish(figure, "PBS")
    return figure


def _latency_figure(report: ProjectionReport) -> Any:
    figure = load_plotly().Figure()
    kinds = report.kinds
    machines = machines_of(report)
    for name, dash in zip(machines, _dashes(machines, kinds), strict=True):
        color = KIND_COLORS[kinds[name]]
        known = [
            (p.seq_len, p.latency_s[name]) for p in report.lengths.points if name in p.latency_s
        ]
        lengths = [length for length, _ in known]
        figure.add_scatter(
            x=[*lengths, *reversed(lengths)],
            y=[*(band.high for _, band in known), *(band.low for _, band in reversed(known))],
            fill="toself",
            fillcolor=faint(color),
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
            showlegend=False,
            legendgroup=name,
        )
        figure.add_scatter(
            x=lengths,
            y=[band.value for _, band in known],
            mode="lines+markers",
            line={"color": color, "dash": dash, "width": 2},
            marker={"color": color, "size": 6},
            name=name,
            legendgroup=name,
            text=[
                f"{name}, {length} tokens: {duration(band.value)}, "
                f"{duration(band.low)} to {duration(band.high)}"
                for length, band in known
            ],
            hoverinfo="text",
        )
        _add_laws(figure, [law for law in report.lengths.laws if law.of == name], color, name)
    if report.target_s is not None:
        figure.add_hline(
            y=report.target_s,
            line={"color": NEUTRAL, "dash": "dot", "width": 1.5},
            annotation={"text": f"target {duration(report.target_s)}"},
        )
    _finish(figure, "seconds")
    return figure


def _dashes(machines: Sequence[str], kinds: Mapping[str, Kind]) -> list[str]:
    """Machines of one kind share a color, and each has a dash of its own."""
    seen: dict[Kind, int] = {}
    dashes = []
    for name in machines:
        number = seen.setdefault(kinds[name], 0)
        seen[kinds[name]] += 1
        dashes.append(_DASHES[number % len(_DASHES)])
    return dashes


def _add_laws(figure: Any, laws: Sequence[PowerLaw], color: str, group: str) -> None:
    for law in laws:
        ends = [law.first, law.last]
        figure.add_scatter(
            x=ends,
            y=[law.coefficient * length**law.exponent for length in ends],
            mode="lines",
            line={"color": color, "dash": "dot", "width": 1},
            name=law_line(law),
            showlegend=group == PBS,
            legendgroup=group,
            hoverinfo="name",
        )


def _finish(figure: Any, unit: str) -> None:
    figure.update_xaxes(type="log", title="tokens", dtick="D2", automargin=True)
    figure.update_yaxes(type="log", title=unit, dtick=1, exponentformat="power", automargin=True)
    figure.update_layout(
        legend={"orientation": "h", "y": -0.2}, margin={"l": 60, "r": 20, "t": 20, "b": 60}
    )
