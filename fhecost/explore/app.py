"""The page: Dash draws it, and calls back for each change of a control."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any

from dash import ALL, ClientsideFunction, Dash, Input, Output, State, ctx, dcc, html, no_update

from fhecost.errors import FhecostError
from fhecost.explore.address import query_of, state_of
from fhecost.explore.form import FIGURE, PICKED, dials_form, follow, form_of, state_of_form
from fhecost.explore.numbers import Numbers
from fhecost.explore.state import Offer
from fhecost.explore.state import State as Picked
from fhecost.explore.view import closely_view, refusal_view, results_view

TITLE = "fhecost explorer"
_LEAD = (
    "Pick what runs and where; every number moves along. By closed form, with widths stated from "
    "the model's shape: what fhecost compare prints for the command below."
)
_INDEX = """<!DOCTYPE html>
<html lang="en">
<head>
{%metas%}
<title>{%title%}</title>
{%favicon%}
<link rel="stylesheet" href="/explore.css">
{%css%}
</head>
<body>
{%app_entry%}
<noscript>The explorer needs JavaScript; fhecost compare prints the same in a terminal.</noscript>
{%config%}
{%scripts%}
{%renderer%}
</body>
</html>
"""


def make_app(offer: Offer, numbers: Callable[[Picked], Numbers]) -> Dash:
    """The page with its callbacks; whoever serves it adds what else there is to fetch."""
    app = Dash(
        "fhecost.explore",
        title=TITLE,
        # A title that changes with each drag would be read aloud each time.
        update_title="",
        index_string=_INDEX,
        external_scripts=["/controls.js"],
        include_assets_files=False,
        serve_locally=True,
        suppress_callback_exceptions=True,
        add_log_handler=False,
        enable_mcp=False,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
    )
    app.layout = _layout
    _add_callbacks(app, offer, numbers)
    return app


def style_sheet() -> str:
    """The style of fhecost's pages, and the explorer's own."""
    page = files("fhecost.report") / "assets" / "page.css"
    own = files("fhecost.explore") / "assets" / "explore.css"
    return page.read_text("utf-8") + own.read_text("utf-8")


def script() -> str:
    """The controls."""
    return (files("fhecost.explore") / "assets" / "controls.js").read_text("utf-8")


def _layout() -> Any:
    return html.Div(
        [
            dcc.Location(id="address", refresh=False),
            dcc.Store(id="query"),
            dcc.Store(id="kept"),
            html.A("Skip to the results", className="skip", href="#results"),
            html.Header([html.H1(TITLE), html.P(_LEAD, className="lead")]),
            html.Main(
                [
                    html.Section(
                        id="closely", role="status", **{"aria-label": "The machine looked at"}
                    ),
                    html.Section(id="form", **{"aria-label": "What is picked"}),
                    html.Div(id="results", tabIndex=-1),
                ],
                className="explorer",
            ),
        ]
    )


def _add_callbacks(app: Dash, offer: Offer, numbers: Callable[[Picked], Numbers]) -> None:
    dials = ({FIGURE: ALL, "of": ALL}, "value")
    picked = {name: Input(name, "value") for name in PICKED}

    @app.callback(Output("form", "children"), Input("address", "search"))  # type: ignore[untyped-decorator]
    def _show_form(search: str | None) -> Any:
        # The server has refused an address that isn't one.
        return form_of(state_of(search or "", offer), offer)

    @app.callback(  # type: ignore[untyped-decorator]
        output={
            "closely": Output("closely", "children"),
            "results": Output("results", "children"),
            "query": Output("query", "data"),
        },
        inputs={"values": picked, "figures": Input(*dials)},
    )
    def _show_numbers(values: dict[str, Any], figures: list[Any]) -> dict[str, Any]:
        return shown(values, figures, _ids(1), offer, numbers)

    @app.callback(  # type: ignore[untyped-decorator]
        Output("figures", "children"),
        inputs={
            "machine": Input("machine", "value"),
            "values": {name: State(name, "value") for name in PICKED},
        },
        prevent_initial_call=True,
    )
    def _show_dials(machine: str, values: dict[str, Any]) -> Any:
        try:
            return dials_form(state_of_form({**values, "machine": machine}, [], offer), offer)
        except FhecostError:
            return no_update

    @app.callback(  # type: ignore[untyped-decorator]
        output={
            "seq_len": (Output("seq_len", "stops"), Output("seq_len", "words")),
            "heads": (Output("heads", "stops"), Output("heads", "words")),
            "disabled": (Output("heads", "disabled"), Output("variant", "disabled")),
        },
        inputs={"model": Input("model", "value"), "scope": Input("scope", "value")},
        prevent_initial_call=True,
    )
    def _follow(model: str, scope: str) -> dict[str, Any]:
        return follow(model, scope)

    app.clientside_callback(
        ClientsideFunction("fhecost_explore", "keep"),
        Output("kept", "data"),
        Input("query", "data"),
    )


def _ids(group: int) -> list[dict[str, str]]:
    """The ids of the dials, which Dash lists behind the callback's other inputs."""
    return [one["id"] for one in ctx.inputs_list[-group]]


def shown(
    values: dict[str, Any],
    figures: list[Any],
    ids: list[dict[str, str]],
    offer: Offer,
    numbers: Callable[[Picked], Numbers],
) -> dict[str, Any]:
    """What the page shows of its controls: numbers, or one line that says why there are none."""
    dials = [(id["of"], id[FIGURE], value) for id, value in zip(ids, figures, strict=True)]
    try:
        state = state_of_form(values, dials, offer)
    except FhecostError as error:
        return {"closely": refusal_view(error), "results": [], "query": no_update}
    try:
        found = numbers(state)
    except FhecostError as error:
        refused = refusal_view(error)
        return {"closely": refused, "results": [], "query": query_of(state)}
    return {
        "closely": closely_view(state, found),
        "results": results_view(state, found, offer),
        "query": query_of(state),
    }
