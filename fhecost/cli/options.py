"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from fhecost.files import write_atomically

Format = Literal["table", "json", "csv", "markdown"]

FormatOption = Annotated[Format, typer.Option("--format", help="How to print the figures.")]
OutputOption = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write there, not to stdout.")
]
HardwarePathOption = Annotated[
    list[Path] | None,
    typer.Option(metavar="FOLDER", help="A folder of further machines, one YAML file each."),
]


def deliver(text: str, output: Path | None) -> None:
    """Write ``text`` to a file, whole or not at all, or print it."""
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_atomically(output, text)
