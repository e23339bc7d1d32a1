"""``fhecost validate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhecost.cli.options import FormatOption, HardwarePathOption, OutputOption, deliver
from fhecost.files import check_can_write, write_atomically
from fhecost.hardware.library import MEASURED


def validate(
    runs: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE.jsonl", help="Run records; fhecost's own when left out."),
    ] = None,
    hardware: Annotated[str, typer.Option(help="The machine that predicts.")] = MEASURED,
    hardware_path: HardwarePathOption = None,
    tolerance: Annotated[
        float | None,
        typer.Option(help="Largest error of a warm run, such as 0.2; exit 1 beyond it."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Draw predicted against measured.")
    ] = None,
    format: FormatOption = "table",
    output: OutputOption = None,
) -> None:
    """Hold a machine's estimates against runs that were really measured."""
    from fhecost.report.validation_document import validation_document
    from fhecost.validation.comparison import check_tolerance
    from fhecost.validation.comparison import validate as validate_runs

    check_can_write(plot, output)
    report = validate_runs(runs, hardware, hardware_path or ())
    if plot is not None:
        from fhecost.report.validation_figures import validation_page

        write_atomically(plot, validation_page(report))
    deliver(validation_document(report), format, output)
    if tolerance is not None:
        check_tolerance(report, tolerance)
