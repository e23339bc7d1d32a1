"""``fhecost backtest``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhecost.cli.options import FormatOption, HardwarePathOption, OutputOption, deliver
from fhecost.cli.parsing import parse_hardware
from fhecost.files import check_can_write


def backtest(
    facts: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE.json", help="Published figures; fhecost's own when left out."),
    ] = None,
    hardware: Annotated[str, typer.Option(help="Machines, comma-separated, or all.")] = "all",
    hardware_path: HardwarePathOption = None,
    format: FormatOption = "table",
    output: OutputOption = None,
) -> None:
    """Hold the machines against published figures that they were not fitted to."""
    from fhecost.report.backtest_document import backtest_document
    from fhecost.validation.backtest import backtest as backtest_hardware

    check_can_write(output)
    report = backtest_hardware(facts, parse_hardware(hardware), hardware_path or ())
    deliver(backtest_document(report), format, output)
