"""``fhecost estimate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhecost.cli.circuit_options import CircuitOptions, takes_circuit
from fhecost.cli.options import FormatOption, HardwarePathOption, OutputOption, deliver
from fhecost.cli.parsing import parse_hardware
from fhecost.cli.progress import timed_progress
from fhecost.files import check_can_write


@takes_circuit
def estimate(
    circuit: CircuitOptions,
    hardware: Annotated[
        str, typer.Option(help="Machines with commas, all, or default: three kinds and your own.")
    ] = "default",
    hardware_path: HardwarePathOption = None,
    save_profile: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Keep the circuit profile there.")
    ] = None,
    format: FormatOption = "table",
    output: OutputOption = None,
) -> None:
    """Estimate how long an encrypted attention head, layer or model takes, on each machine."""
    from fhecost.circuit_request import expected_seconds
    from fhecost.pipeline import estimate_circuit
    from fhecost.report.estimate_document import estimate_document

    check_can_write(save_profile, output)
    request = circuit.request()
    with timed_progress(expected_seconds(request)) as progress:
        report = estimate_circuit(
            request,
            parse_hardware(hardware),
            hardware_path or (),
            progress,
            keep_profile=save_profile,
        )
    deliver(estimate_document(report), format, output)
