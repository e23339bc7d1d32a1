"""``fhecost backtest``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhecost.cli.options import FormatOption, HardwarePathOption, OutputOption, deliver
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
    from fhecost.hardware.library import load_hardware
    from fhecost.report.backtest_document import backtest_document
    from fhecost.validation.backtest import backtest as backtest_records
    from fhecost.validation.published import read_records

    check_can_write(output)
    machines = load_hardware(hardware, hardware_path or ())
    report = backtest_records(read_records(facts), machines)
    deliver(backtest_document(report), format, output)
