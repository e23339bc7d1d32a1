"""``fhecost report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from fhecost.cli.circuit_options import CircuitOptions, takes_circuit
from fhecost.cli.options import HardwarePathOption
from fhecost.cli.parsing import parse_duration, parse_hardware, parse_lengths, parse_years
from fhecost.cli.progress import timed_progress
from fhecost.files import check_can_write
from fhecost.hardware.library import MEASURED


@takes_circuit
def report(
    circuit: CircuitOptions,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE.html", help="The page.")
    ] = Path("report.html"),
    hardware: Annotated[str, typer.Option(help="Machines, comma-separated, or all.")] = "all",
    hardware_path: HardwarePathOption = None,
    accuracy: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE.json", help="From fhecost accuracy; else fhecost's own."),
    ] = None,
    runs: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE.jsonl", help="Measured runs; else fhecost's own."),
    ] = None,
    validated: Annotated[
        str, typer.Option(help="The machine that measured runs are held against.")
    ] = MEASURED,
    lengths: Annotated[
        str | None, typer.Option(metavar="FIRST..LAST", help="Sequence lengths to project to.")
    ] = None,
    years: Annotated[
        str, typer.Option(metavar="FIRST..LAST", help="Years to project to.")
    ] = "2023..2035",
    projected: Annotated[
        str, typer.Option(help="Machines to project: names, all, or default.")
    ] = "default",
    target: Annotated[
        str | None, typer.Option(metavar="TIME", help="Up to which length, and when: 100ms.")
    ] = None,
    save_figures: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Also write each figure there.")
    ] = None,
    figure_format: Annotated[
        Literal["svg", "png"], typer.Option(help="Of the figures written there.")
    ] = "svg",
) -> None:
    """Write one page that holds everything: circuit, machines, accuracy, errors, projections."""
    from fhecost.circuit_request import expected_seconds
    from fhecost.full_report import make_report
    from fhecost.pipeline import write_report

    check_can_write(output)
    request = circuit.request()
    expected_s = expected_seconds(request) + (20 if save_figures else 3)
    with timed_progress(expected_s) as progress:
        made = make_report(
            request,
            parse_hardware(hardware),
            hardware_path or (),
            progress,
            accuracy=accuracy or (),
            runs=runs or (),
            validated=validated,
            lengths=parse_lengths("--lengths", lengths) if lengths else None,
            years=parse_years(years),
            projected=parse_hardware(projected),
            target_s=parse_duration(target) if target else None,
        )
        written = write_report(
            made,
            output,
            figures_folder=save_figures,
            figure_format=figure_format,
            progress=progress,
        )
    typer.echo(f"{output}")
    for path in written:
        typer.echo(f"{path}")
