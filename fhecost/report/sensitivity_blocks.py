"""Which figures of a machine matter, in words and as a tornado."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fhecost.hardware.sensitivity import Changed, FigureSensitivity, Sensitivity
from fhecost.report import drawing
from fhecost.report.columns import Table, column, names, numbers
from fhecost.report.document import Block, Heading, Note
from fhecost.units import duration

MOST_FIGURES = 8
"""So many of a machine's figures are shown, the strongest."""
_LEAST = 1e-3
"""Figures that change the latency by less are not shown."""
_IMPOSSIBLE = "can't run"


def sensitivity_blocks(machines: Sequence[Sensitivity]) -> Iterator[Block]:
    """A table a machine; nothing where it wasn't asked for."""
    if not machines:
        return
    yield Heading("Which figure matters")
    for machine in machines:
        shown = _shown(machine)

        def change(one: Changed | None, base: float = machine.latency_s) -> str | None:
            if one is None:
                return None
            return _IMPOSSIBLE if one.latency_s is None else _percent(one.latency_s / base - 1)

        yield Table(
            names("figure", (one.figure for one in shown), least=20),
            numbers("value", (one.value for one in shown), "{:.4g}".format),
            column("source", (one.source for one in shown)),
            numbers("less", (change(one.less) for one in shown)),
            numbers("more", (change(one.more) for one in shown)),
            numbers("lowest", (change(one.lowest) for one in shown)),
            numbers("highest", (change(one.highest) for one in shown)),
            title=f"{machine.hardware}, {duration(machine.latency_s)}",
        )
    yield Note(
        "what one figure does to the latency: a tenth less and more, or the next step of a count, "
        "and the ends of what is known of it; -: no such end; under 0.1 % not shown"
    )


def sensitivity_figures(machines: Sequence[Sensitivity]) -> list[drawing.Drawn]:
    """A tornado for each machine: bars from the latency with a figure's ends, the longest on top.

    Raises:
        UsageError: plotly isn't installed.
    """
    return [
        (f"Which figure of {one.hardware} matters", _tornado(one))
        for one in machines
        if one.figures
    ]


def _shown(machine: Sensitivity) -> list[FigureSensitivity]:
    found = (one for one in machine.figures if one.swing(machine.latency_s) >= _LEAST)
    return list(found)[:MOST_FIGURES]


def _tornado(machine: Sensitivity) -> object:
    figure = drawing.new_figure()
    shown = _shown(machine)
    whole = [(one.lowest, one.highest) for one in shown]
    tenth = [(one.less, one.more) for one in shown]
    for name, color, opacity, changes in (
        ("whole range", drawing.NEUTRAL, 0.45, whole),
        ("a tenth, or a step", drawing.BLUE, 1.0, tenth),
    ):
        ends = [_ends(pair, machine.latency_s) for pair in changes]
        figure.add_bar(
            y=[one.figure for one in shown],
            x=[100 * (high - low) for low, high in ends],
            base=[100 * low for low, _ in ends],
            orientation="h",
            name=name,
            marker={"color": color, "opacity": opacity},
            text=[_hover(one, machine.latency_s) for one in shown],
            textposition="none",
            hoverinfo="text",
        )
    order = [one.figure for one in reversed(shown)]
    title = f"latency against {duration(machine.latency_s)}, %"
    return drawing.finish(
        figure,
        {"title": title, "zeroline": True, "ticksuffix": " %"},
        {"categoryorder": "array", "categoryarray": order, "automargin": True},
        1.02,
        barmode="overlay",
        margin={"l": 20, "t": 40, "b": 50},
    )


def _ends(changes: tuple[Changed | None, Changed | None], base: float) -> tuple[float, float]:
    """The least and the most of the latencies, over ``base`` less one; what can't run is no end."""
    every = [one.latency_s / base - 1 for one in changes if one and one.latency_s is not None]
    return min([0.0, *every]), max([0.0, *every])


def _hover(one: FigureSensitivity, base: float) -> str:
    parts = [
        f"{label} {change.value:.4g}: "
        + (_IMPOSSIBLE if change.latency_s is None else _percent(change.latency_s / base - 1))
        for label, change in (
            ("less", one.less), ("more", one.more),
            ("lowest", one.lowest), ("highest", one.highest),
        )
        if change is not None
    ]  # fmt: skip
    return "<br>".join([f"{one.figure} = {one.value:.4g}, {one.source}", *parts])


def _percent(change: float) -> str:
    return f"{100 * change:+.1f} %"
