"""How far estimates hold: ``fhecost validate`` and ``backtest``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from fhecost.cli.options import HardwareOption, HardwarePathOption, prints
from fhecost.cli.parsing import parse_hardware
from fhecost.files import write_atomically
from fhecost.hardware.library import MEASURED
from fhecost.report.document import Document


@prints("plot")
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
) -> Iterator[Document]:
    """Hold a machine's estimates against runs that were really measured."""
    from fhecost.report.validation_document import validation_document
    from fhecost.validation.comparison import check_tolerance
    from fhecost.validation.comparison import validate as validate_runs

    report = validate_runs(runs, hardware, hardware_path or ())
    if plot is not None:
        from fhecost.report.validation_figures import validation_page

        write_atomically(plot, validation_page(report))
    yield validation_document(report)
    if tolerance is not None:
        check_tolerance(report, tolerance)


@prints()
def backtest(
    facts: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE.json", help="Published figures; fhecost's own when left out."),
    ] = None,
    hardware: HardwareOption = "all",
    hardware_path: HardwarePathOption = None,
) -> Iterator[Document]:
    """Hold the machines against published figures that they were not fitted to."""
    from fhecost.report.backtest_document import backtest_document
    from fhecost.validation.backtest import backtest as backtest_hardware

    report = backtest_hardware(facts, parse_hardware(hardware), hardware_path or ())
    yield backtest_document(report)
