"""``fhecost compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from fhecost.cli.circuit_options import CircuitOptions, takes_circuit
from fhecost.cli.options import FormatOption, HardwarePathOption, OutputOption, deliver
from fhecost.cli.parsing import parse_hardware, parse_what_if, words
from fhecost.cli.progress import timed_progress
from fhecost.files import check_can_write, write_atomically

if TYPE_CHECKING:
    from fhecost.hardware.profile import Kind


@takes_circuit
def compare(
    circuit: CircuitOptions,
    hardware: Annotated[str, typer.Option(help="Machines, comma-separated, or all.")] = "all",
    hardware_path: HardwarePathOption = None,
    kind: Annotated[
        str | None, typer.Option(help="Only such machines: cpu, gpu, fpga, asic, with commas.")
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="What speed-ups are over; the slowest when left out.")
    ] = None,
    sort: Annotated[
        Literal["latency", "energy", "price", "utilization", "name"],
        typer.Option(help="What the rows are sorted by."),
    ] = "latency",
    what_if: Annotated[
        str | None,
        typer.Option(
            metavar="FIGURE=VALUE,…",
            help="Figures to set, in SI units, such as cores=64 or clock_hz=2e9.",
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Draw latencies and their ranges.")
    ] = None,
    format: FormatOption = "table",
    output: OutputOption = None,
) -> None:
    """Hold machines against each other: latency, utilization, energy, price, sources."""
    from fhecost.circuit_request import expected_seconds
    from fhecost.pipeline import compare_circuit
    from fhecost.report.comparison_document import comparison_document, comparison_page

    check_can_write(plot, output)
    request = circuit.request()
    with timed_progress(expected_seconds(request)) as progress:
        report = compare_circuit(
            request,
            parse_hardware(hardware),
            hardware_path or (),
            progress,
            kinds=cast("list[Kind]", words(kind)) if kind else (),
            base=base,
            sort=sort,
            what_if=parse_what_if(what_if) if what_if else None,
        )
    if plot is not None:
        write_atomically(plot, comparison_page(report))
    deliver(comparison_document(report), format, output)
