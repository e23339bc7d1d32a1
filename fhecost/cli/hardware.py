"""``fhecost hardware``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from fhecost.cli import completion
from fhecost.cli.options import HardwarePathOption, KindOption, OneMachineArgument, prints
from fhecost.cli.parsing import parse_kinds
from fhecost.errors import FaultsError, UsageError
from fhecost.files import write_atomically
from fhecost.hardware.names import MEASURED
from fhecost.plain import plain_line
from fhecost.report.document import Document

app = typer.Typer(help="The machines: list, show, check, new.", no_args_is_help=True)


@app.command("list")
@prints()
def list_hardware(
    kind: KindOption = None, hardware_path: HardwarePathOption = None
) -> Iterator[Document]:
    """List the known machines: kind, year, and whether they can be had."""
    from fhecost.hardware.library import load_hardware, of_kinds
    from fhecost.report.hardware_document import list_document

    machines = load_hardware(hardware_path=hardware_path or ())
    yield list_document(of_kinds(machines, parse_kinds(kind)))


@app.command()
@prints()
def show(
    name: OneMachineArgument,
    hardware_path: HardwarePathOption = None,
) -> Iterator[Document]:
    """Show one machine: every figure with its source, and the assumptions."""
    from fhecost.hardware.library import find_hardware
    from fhecost.report.hardware_document import machine_document

    yield machine_document(find_hardware(name, hardware_path or ()))


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="YAML files to check.")],
) -> None:
    """Check hardware profiles; every missing or odd value is named by its path."""
    from fhecost.hardware.library import hardware_faults, read_hardware

    faults = [f"{file}: {fault}" for file in files for fault in hardware_faults(file)]
    if faults:
        raise FaultsError(faults)
    for file in files:
        profile = read_hardware(file)
        typer.echo(plain_line(f"{file}: {profile.name}: {len(profile.figures)} figures, all fine"))


@app.command()
def new(
    file: Annotated[Path, typer.Argument(metavar="FILE.yaml", help="The file to write.")],
    template: Annotated[
        str,
        typer.Option(
            "--from",
            help="The machine whose figures it starts with.",
            autocompletion=completion.one_machine,
        ),
    ] = MEASURED,
    hardware_path: HardwarePathOption = None,
) -> None:
    """Write a commented template for a machine of yours."""
    from fhecost.hardware.library import check_file_name, find_hardware
    from fhecost.hardware.template import hardware_template

    check_file_name(file)
    if file.exists():
        raise UsageError(f"{file}: is already there; name a new file")
    write_atomically(file, hardware_template(find_hardware(template, hardware_path or ())))
    typer.echo(plain_line(f"written: {file}; fill it in, then: fhecost hardware check {file}"))
