"""A page to pick what runs and where: ``fhecost explore``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhecost.cli.options import HardwarePathOption


def explore(
    port: Annotated[
        int | None, typer.Option(help="Of 127.0.0.1; where it is taken, a free one.")
    ] = None,
    open_page: Annotated[
        bool, typer.Option("--open", help="Also open the page in the browser.")
    ] = False,
    hardware_path: HardwarePathOption = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE", help="Also offer this config.json, model's folder, or GGUF file."
        ),
    ] = None,
    variant: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE.json", help="Also offer this saved head."),
    ] = None,
) -> None:
    """Explore on a page of this machine: pick what runs and where, drag a machine's figures.

    By closed form, so nothing but fhecost[explore] is needed. Ctrl-C ends it.
    """
    from fhecost.explore.server import serve
    from fhecost.explore.state import make_offer

    offer = make_offer(hardware_path or (), model or (), map(str, variant or ()))

    def ready(address: str, listens_on: int) -> None:
        taken = port not in (None, 0, listens_on)
        note = f" (port {port} is taken)" if taken else ""
        typer.echo(f"{address}{note}: Ctrl-C ends it")
        if open_page:
            typer.launch(address)

    serve(offer, port, ready)
