"""The controls of a state, and the state of the controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from dash import html

from fhecost.circuits.description import SCOPES, Scope
from fhecost.closed_form.scopes import CIRCUITS
from fhecost.errors import FieldError
from fhecost.explore.controls import Checks, Pick, Slide, options, stop_words, whole_numbers
from fhecost.explore.dials import Dial, dials_of, words_of
from fhecost.explore.numbers import strongest_first
from fhecost.explore.state import FIRST_VARIANT, ONE_HEAD, Offer, State, settled
from fhecost.models.shape import find_shape
from fhecost.quantization.quantizer import MAXIMUM_BITS, MINIMUM_BITS
from fhecost.report.drawing import KIND_COLORS

PICKED = ("model", "scope", "seq_len", "bits", "variant", "heads", "hardware", "machine")
"""The controls that are always there, by their ids: fields of a state."""

FIGURE = "figure"
"""The key of a dial's id; its value is the figure's name, that of ``of`` the machine's."""


def form_of(state: State, offer: Offer) -> list[Any]:
    """All controls, standing as ``state`` has them."""
    shape, of_heads = find_shape(state.model), state.scope == ONE_HEAD
    kinds = {kind: [one.name for one in offer.machines if one.kind == kind] for kind in KIND_COLORS}
    machines = [one for kind, names in kinds.items() for one in options(names, group=kind.upper())]
    scopes = [{"value": one, "label": _scope_words(one), "group": ""} for one in SCOPES]
    return [
        html.H2("What runs"),
        Pick(id="model", label="Model", options=options(offer.models), value=state.model),
        Pick(id="scope", label="Scope", options=scopes, value=state.scope),
        whole_numbers("seq_len", "Tokens", _lengths(shape.context), state.seq_len),
        whole_numbers("bits", "Bits", range(MINIMUM_BITS, MAXIMUM_BITS + 1), state.bits),
        Pick(
            id="variant",
            label="Head setting",
            options=options(offer.variants),
            value=state.variant or FIRST_VARIANT,
            disabled=not of_heads,
        ),
        whole_numbers(
            "heads", "Heads", range(1, shape.heads + 1), state.heads or 1, disabled=not of_heads
        ),
        html.H2("Where"),
        Checks(
            id="hardware",
            label="Machines beside each other",
            options=machines,
            value=list(state.hardware),
        ),
        Pick(id="machine", label="Looked at closely", options=machines, value=state.machine),
        html.Div(id="figures", children=dials_form(state, offer)),
    ]


def follow(model: str, scope: str) -> dict[str, Any]:
    """Where lengths and heads can stand for a model, and whether a scope has heads to pick."""
    shape = find_shape(model)
    stands = {"seq_len": _lengths(shape.context), "heads": list(range(1, shape.heads + 1))}
    found: dict[str, Any] = {name: (stops, stop_words(stops)) for name, stops in stands.items()}
    return {**found, "disabled": (scope != ONE_HEAD,) * 2}


def dials_form(state: State, offer: Offer) -> list[Any]:
    """The figures of the machine looked at closely, each with its own dial."""
    machine = offer.by_name[state.machine]
    dials, set_to = dials_of(machine, strongest_first(state, offer)), dict(state.what_if)

    def shown(these: Sequence[Dial]) -> list[Any]:
        return [_dial(one, machine.name, set_to.get(one.name)) for one in these]

    def folded(these: Sequence[Dial], why: str) -> list[Any]:
        # One that was set is in sight.
        is_set = any(one.name in set_to for one in these)
        summary = html.Summary(f"{len(these)} {why}")
        return [html.Details([summary, *shown(these)], open=is_set)] if these else []

    return [
        html.H3(f"Figures of {machine.name}"),
        html.P("Drag, or type in SI units; what moves the time most is first.", className="note"),
        *shown(dials.moving),
        *folded(dials.others, "that don't move this circuit"),
        *folded(dials.unknown, "that aren't known of it, to be supposed"),
    ]


def _dial(dial: Dial, machine: str, value: float | None) -> Any:
    return Slide(
        id={FIGURE: dial.name, "of": machine},
        label=dial.title,
        unit=dial.unit,
        stops=list(dial.stops),
        words=words_of(dial),
        value=dial.own if value is None else value,
        own=dial.own,
        whole=False,
        disabled=False,
    )


def _scope_words(scope: Scope) -> str:
    circuit = CIRCUITS[scope]
    if scope == "cached-token":
        return f"{scope}: {circuit}, earlier keys and values kept"
    return scope if circuit == scope else f"{scope}: {circuit}"


def _lengths(context: int) -> list[int]:
    """Powers of two, what lies in the middle, and the longest."""
    powers = [2**power for power in range(context.bit_length())]
    between = [3 * power for power in powers]
    return sorted({one for one in (*powers, *between, context) if one <= context})


def state_of_form(
    values: Mapping[str, Any], figures: Sequence[tuple[str, str, Any]], offer: Offer
) -> State:
    """The state that the controls show.

    Args:
        values: of the controls of ``PICKED``.
        figures: of each dial its machine, its figure and its value.
        offer: what can be picked.

    Raises:
        FieldError: what they show is not on offer, or no number.
    """
    scope = values["scope"]
    if scope not in SCOPES:
        raise FieldError("scope", f"must be one of {', '.join(SCOPES)}", scope)
    state = State(
        model=str(values["model"]),
        scope=cast("Scope", scope),
        seq_len=_whole("seq_len", values["seq_len"]),
        bits=_whole("bits", values["bits"]),
        variant=str(values["variant"]),
        heads=_whole("heads", values["heads"]),
        hardware=tuple(map(str, values["hardware"] or ())),
        machine=str(values["machine"]),
    )
    state = settled(state, offer)
    own = {name: one.value for name, one in offer.by_name[state.machine].figures.items()}
    what_if = [
        (name, float(value))
        for machine, name, value in figures
        # Dials of the machine before are still there when another is picked.
        if machine == state.machine and value not in (None, own.get(name))
    ]
    return settled(replace(state, what_if=tuple(what_if)), offer)


def _whole(field: str, value: Any) -> int:
    if not isinstance(value, int | float) or value < 1 or value != int(value):
        raise FieldError(field, "must be a whole number from 1", value)
    return int(value)
