"""What the page shows of a state: documents of ``fhecost compare``, figures, and links."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from dash import html

from fhecost.errors import FhecostError, FieldError
from fhecost.explore.accuracy import KnownAccuracy
from fhecost.explore.address import query_of
from fhecost.explore.blocks import figure, folded, parts
from fhecost.explore.command import command_of
from fhecost.explore.numbers import Numbers
from fhecost.explore.state import Offer, State
from fhecost.hardware.estimate import Estimate
from fhecost.report.accuracy_document import accuracy_document, accuracy_figures
from fhecost.report.circuit_lines import circuit_lines
from fhecost.report.comparison_document import (
    comparison_answer,
    comparison_blocks,
)
from fhecost.report.document import Listing, Text
from fhecost.report.latency_words import latency_words
from fhecost.report.machine_figures import LATENCY, latency_figure
from fhecost.report.stage_times import stage_time_figures
from fhecost.report.unsure_lines import on_top
from fhecost.units import energy, price, share, span

_ROW_PX, _AXES_PX = 30, 130
"""Of the figure of machines: each of them, and what is around them."""
_MOST_ROWS = 16
"""Accuracies of more heads than that are drawn, and their table is folded."""


def closely_view(state: State, numbers: Numbers) -> list[Any]:
    """The figures of the machine that is looked at closely, which stay in sight."""
    made, known = numbers.closely, numbers.accuracy
    cards = [
        *(_cost_cards(made) if made else [("Latency", "-", f"{numbers.refusal}")]),
        ("Accuracy", "not measured" if known.top1 is None else share(known.top1), known.about),
    ]
    title: list[Any] = [state.machine]
    if state.what_if:
        own = query_of(replace(state, what_if=()))
        count = len(state.what_if)
        title = [f"{state.machine}, {count} {'figures' if count > 1 else 'figure'} set ("]
        title += [html.A("back to its own", href=f"/?{own}"), ")"]
    return [html.P(title, className="closely-title"), _cards(cards)]


def _cost_cards(made: Estimate) -> Iterator[tuple[str, str, str]]:
    yield "Latency", latency_words(made), span(made.low_s, made.high_s)
    for label, value, words, lacking in (
        ("Price of a run", made.price_usd, price, "price"),
        ("Energy of a run", made.energy_j, energy, "power"),
    ):
        if value is None:
            yield label, "unknown", f"no {lacking} of this machine is known"
        else:
            low, high = (value * end / made.latency_s for end in (made.low_s, made.high_s))
            yield label, words(value), f"{words(low)} to {words(high)}"


def _cards(cards: list[tuple[str, str, str]]) -> Any:
    return html.Dl(
        [
            html.Div(
                [
                    html.Dt(label),
                    html.Dd(value, className="value"),
                    html.Dd(about, className="about"),
                ]
            )
            for label, value, about in cards
        ],
        className="cards",
    )


def results_view(state: State, numbers: Numbers, offer: Offer) -> list[Any]:
    """All that is below: the answer, the command, machines, stages, accuracy, the circuit."""
    comparison, query = numbers.comparison, query_of(state)
    machines = (LATENCY, latency_figure(comparison.rows))
    return [
        _section(
            "answer",
            "In short",
            [*parts(*on_top(comparison.unsure), Text(*comparison_answer(comparison)))],
        ),
        _section(
            "machines",
            "Machines side by side",
            [
                figure(machines, "machines-figure", _AXES_PX + _ROW_PX * len(comparison.rows)),
                *parts(*comparison_blocks(comparison)),
            ],
        ),
        _section("stages", "Stage by stage", _stages(numbers)),
        _section(
            "command",
            "The same numbers in a terminal",
            [
                html.Pre(
                    html.Code(command_of(state, offer)),
                    tabIndex=0,
                    role="region",
                    **{"aria-label": "The command"},
                ),
                html.Ul(_links(query), className="links"),
            ],
        ),
        _section("accuracy", "Accuracy", _accuracy(numbers.accuracy)),
        _section("circuit", "The circuit", parts(Text(*circuit_lines(comparison.circuit)))),
    ]


def _section(id: str, heading: str, body: list[Any]) -> Any:
    return html.Section(
        [html.H2(heading, id=f"{id}-heading"), *body], id=id, **{"aria-labelledby": f"{id}-heading"}
    )


def _links(query: str) -> list[Any]:
    """What can be taken along; a link to this very page keeps what is picked."""
    return [
        html.Li(html.A(words, href=f"{path}?{query}", download=name))
        for words, path, name in (
            ("The whole report, one page (some seconds)", "/report.html", "report.html"),
            ("These numbers as JSON", "/comparison.json", "comparison.json"),
            ("As CSV", "/comparison.csv", "comparison.csv"),
        )
    ] + [html.Li(html.A("Link to what is picked", href=f"/?{query}"))]


def _stages(numbers: Numbers) -> list[Any]:
    made = numbers.closely
    if made is None:
        return parts(Text(f"No estimate: {numbers.refusal}."))
    (drawn,) = stage_time_figures(made)
    references = (f"source: {text}" for text in made.references)
    mixture = ", ".join(f"{share(part)} {source}" for source, part in made.sources.items())
    rests = f"{made.hardware}: {made.title}; time rests on: {mixture}."
    return [
        figure(drawn, "stages-figure"),
        *parts(Text(Listing(rests, (*made.assumptions, *references)))),
    ]


def _accuracy(known: KnownAccuracy) -> list[Any]:
    if known.top1 is None:
        return parts(Text(f"Not known: {known.about}."))
    if known.rows is None:
        return parts(Text(f"{share(known.top1)}: {known.about}."))
    said, *tables = accuracy_document(known.rows).blocks
    if len(known.rows.rows) > _MOST_ROWS:
        maps = accuracy_figures(known.rows)
        return [
            *parts(said),
            *(figure(one, f"accuracy-{of}") for of, one in enumerate(maps)),
            folded("Head by head", parts(*tables)),
        ]
    return [
        *parts(said),
        *parts(tables[0]),
        folded("What the model makes of it", parts(*tables[1:])),
    ]


def refusal_view(error: FhecostError) -> list[Any]:
    """One line that says why there are no numbers, and nothing else."""
    return [html.P(error_line(error), className="refusal", role="alert")]


def error_line(error: FhecostError) -> str:
    """The error's line, its field called as an address calls it."""
    if isinstance(error, FieldError):
        return error.called(error.field.replace("_", "-"))
    return str(error)
