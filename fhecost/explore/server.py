"""The explorer's server: on this machine alone, for this machine's browser alone.

It listens on 127.0.0.1, takes no other name than that and localhost for itself, so that no page of
others gets at it by a name that points here, and tells the browser to fetch from nowhere else.
"""

from __future__ import annotations

import logging
import socket
import socketserver
from collections.abc import Callable
from html import escape
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from fhecost.errors import FhecostError, FieldError, ImpossibleError, UsageError
from fhecost.explore.address import state_of
from fhecost.explore.command import report_command
from fhecost.explore.numbers import full_report, numbers_by
from fhecost.explore.state import Offer, State
from fhecost.report.comparison_document import comparison_document
from fhecost.report.render import RENDERERS, Format

HOST = "127.0.0.1"
PORT = 8321
"""Where nobody says another."""
_NAMES = (HOST, "localhost")
_PAGES = (
    "/",
    "/explore.css",
    "/controls.js",
    "/report.html",
    "/comparison.json",
    "/comparison.csv",
)
_DASH = ("/_dash-", "/_favicon.ico")
_NEEDS = "the explorer needs: pip install 'fhecost[explore]'"


def make_server_app(offer: Offer) -> Any:
    """The Flask application: the page, its style and controls, and what can be taken along.

    Raises:
        UsageError: Dash isn't installed.
    """
    try:
        from flask import Response, request
        from werkzeug.exceptions import HTTPException

        from fhecost.explore.app import make_app, script, style_sheet
        from fhecost.explore.view import error_line
    except ImportError as error:
        raise UsageError(_NEEDS) from error
    numbers = numbers_by(offer)
    app = make_app(offer, numbers)
    server = app.server

    def line(text: str, status: int) -> Any:
        return Response(f"fhecost: {text}\n", status, mimetype="text/plain")

    def refuse() -> Any:
        """None for what may be asked for; else the answer that says why not."""
        if not _is_own(request.host):
            return line(f"host {request.host}: this is {' or '.join(_NAMES)} only", 403)
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            return line(f"origin {origin}: pages of others have nothing to ask here", 403)
        path = request.path
        if path not in _PAGES and not path.startswith(_DASH):
            return line(f"{path}: there is no such page; there is {', '.join(_PAGES)}", 404)
        return None

    def picked() -> State:
        return state_of(request.query_string.decode("ascii", "replace"), offer)

    def check_address() -> Any:
        if request.path != "/":
            return None
        try:
            picked()
        except FhecostError as error:
            return Response(_no_address(error_line(error)), 400, mimetype="text/html")
        return None

    def taken(make: Callable[[State], str], mimetype: str) -> Any:
        try:
            return Response(make(picked()), mimetype=mimetype)
        except ImpossibleError as error:
            return line(error_line(error), 409)
        except FhecostError as error:
            return line(error_line(error), 400)

    def as_format(format: Format) -> Callable[[State], str]:
        return lambda state: RENDERERS[format](comparison_document(numbers(state).comparison))

    def failed(error: Exception) -> Any:
        if isinstance(error, HTTPException):
            return line(f"{request.path}: {error.name.lower()}", error.code or 500)
        text = " ".join(str(error).split())
        return line(f"unexpected {type(error).__name__}: {text}", 500)

    def report(state: State) -> str:
        from fhecost.report.report_page import report_page

        return report_page(full_report(state, offer), command=report_command(state, offer))

    # What Dash has the browser run in the page itself, by its hash.
    policy = _policy(app.csp_hashes())

    def guard(response: Any) -> Any:
        if request.path != "/report.html":
            response.headers["Content-Security-Policy"] = policy
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        return response

    server.before_request(refuse)
    server.before_request(check_address)
    server.after_request(guard)
    server.register_error_handler(Exception, failed)
    for path, view in (
        ("/explore.css", lambda: Response(style_sheet(), mimetype="text/css")),
        ("/controls.js", lambda: Response(script(), mimetype="text/javascript")),
        ("/report.html", lambda: taken(report, "text/html")),
        ("/comparison.json", lambda: taken(as_format("json"), "application/json")),
        ("/comparison.csv", lambda: taken(as_format("csv"), "text/csv")),
    ):
        server.add_url_rule(path, endpoint=path, view_func=view, methods=["GET"])
    return server


def serve(offer: Offer, port: int | None, ready: Callable[[str, int], None]) -> None:
    """Serve the explorer until it is interrupted.

    Args:
        offer: what can be picked.
        port: of 127.0.0.1; ``PORT`` when None. Where it is taken, a free one.
        ready: called with the address and its port as soon as the server listens.

    Raises:
        UsageError: Dash isn't installed, or there is no such port.
    """
    made = make_server_app(offer)
    wanted = PORT if port is None else port
    server = _listening(made, wanted)
    try:
        # The first numbers take longest; they are there when somebody looks.
        first = {"headers": {"Host": HOST}}
        asking = made.test_client().get
        Thread(target=asking, args=("/comparison.json",), kwargs=first, daemon=True).start()
        ready(f"http://{HOST}:{server.port}/", server.port)
        # Werkzeug's own would take an interrupt for the end of the work.
        socketserver.BaseServer.serve_forever(server)
    finally:
        server.server_close()


def _listening(app: Any, port: int) -> Any:
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    if not 0 <= port < 2**16:
        raise FieldError("port", f"must be from 0, any that is free, to {2**16 - 1}", port)
    # Werkzeug would end the program where a port is taken.
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except OSError:
        listening.bind((HOST, 0))
    listening.listen()
    return make_server(HOST, port, app, threaded=True, fd=listening.detach())


def _is_own(host: str) -> bool:
    name, _, _ = host.partition(":")
    return name in _NAMES


def _policy(hashes: list[str]) -> str:
    return (
        f"default-src 'none'; script-src 'self' {' '.join(hashes)}; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _no_address(why: str) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<title>fhecost explorer: no such address</title><link rel="icon" href="/_favicon.ico">'
        '<link rel="stylesheet" href="/explore.css"></head>\n<body><main><h1>No such address</h1>\n'
        f'<p role="alert">{escape(why)}</p>\n<p><a href="/">Begin anew</a></p></main>'
        "</body></html>\n"
    )
