"""``fhecost report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from fhecost.cli.circuit_options import CircuitOptions, takes_circuit
from fhecost.cli.options import HardwarePathOption
from fhecost.cli.progress import timed_progress
from fhecost.files import check_can_write, write_atomically


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
    ] = "epyc-zen4-2",
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
    from fhecost.full_report import ReportRequest, make_report
    from fhecost.projection.lengths import parse_lengths
    from fhecost.projection.years import parse_years
    from fhecost.report.report_page import report_figures, report_page
    from fhecost.report.saved_figures import save_figures as write_figures
    from fhecost.units import parse_duration

    check_can_write(output)
    request = ReportRequest(
        circuit=circuit.request(),
        hardware=hardware,
        accuracy=tuple(accuracy or ()),
        runs=tuple(runs or ()),
        validated=validated,
        lengths=parse_lengths(lengths) if lengths else None,
        years=parse_years(years),
        projected=projected,
        target_s=parse_duration(target) if target else None,
    )
    expected_s = expected_seconds(request.circuit) + (20 if save_figures else 3)
    with timed_progress(expected_s) as progress:
        made = make_report(request, hardware_path or (), progress)
        figures = report_figures(made)
        write_atomically(output, report_page(made, figures))
        written = (
            write_figures(figures, save_figures, figure_format, progress) if save_figures else []
        )
    typer.echo(f"{output}")
    for path in written:
        typer.echo(f"{path}")
