"""``fhecost measure``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from fhecost.cli.options import (
    BitsOption,
    FormatOption,
    HardwarePathOption,
    HeadsOption,
    LayerOption,
    ModelOption,
    OutputOption,
    SeqLenOption,
    TextOption,
    VariantOption,
    deliver,
)
from fhecost.cli.parsing import parse_hardware, parse_heads
from fhecost.cli.progress import counted_progress, timed_progress
from fhecost.files import check_can_write
from fhecost.hardware.library import MEASURED
from fhecost.measurement.cases import Operation

app = typer.Typer(help="Time operations on this machine.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    pass


_HELP: Mapping[Operation, str] = {
    "pbs": (
        "Time all that a calibration needs and fit the CPU model's constants.\n\n"
        "Lookups over a spread of parameter sets, linear operations, key generation and first "
        "runs. The JSON holds all raw times, the table the fit. Leave the machine alone meanwhile."
    ),
    "ks": "Time the key switch: pairs of lookups that differ in its levels alone.",
    "linear": "Time additions and multiplications by clear integers, at several LWE dimensions.",
    "keygen": "Time key generation and the first run, over a spread of parameter sets.",
}


def _add_command(operation: Operation) -> None:
    """Add the command that times ``operation``; all of them have the same options."""

    @app.command(operation, help=_HELP[operation])
    def measure(
        quick: Annotated[
            bool, typer.Option("--quick", help="Only sets with N up to 4096, under three minutes.")
        ] = False,
        minutes: Annotated[
            float | None, typer.Option(help="No round starts later; 6.5, or 1.75 when quick.")
        ] = None,
        save: Annotated[
            Path | None, typer.Option(metavar="FILE.json", help="Keep all raw times there.")
        ] = None,
        format: FormatOption = "table",
        output: OutputOption = None,
    ) -> None:
        from fhecost.measurement.microbenchmark import run_microbenchmark, step_count
        from fhecost.measurement.records import save_microbenchmark
        from fhecost.measurement.results import results_of
        from fhecost.report.microbenchmark_document import microbenchmark_document

        check_can_write(save, output)
        with counted_progress("microbenchmark", step_count(operation, quick)) as progress:
            measured = run_microbenchmark(
                operation, quick=quick, minutes=minutes, progress=progress
            )
        if save is not None:
            save_microbenchmark(measured, save)
        deliver(microbenchmark_document(results_of(measured, operation)), format, output)


for _operation in _HELP:
    _add_command(_operation)


@app.command()
def head(
    model: ModelOption = "embedded",
    text: TextOption = None,
    layer: LayerOption = 0,
    heads: HeadsOption = "0",
    seq_len: SeqLenOption = 2,
    bits: BitsOption = 3,
    variant: VariantOption = "compact",
    threads: Annotated[
        int | None, typer.Option(help="Threads of the run; all when left out.")
    ] = None,
    runs: Annotated[int, typer.Option(help="Warm runs, after the cold one.")] = 3,
    hardware: Annotated[
        str, typer.Option(help="Machines that predict the run before it starts.")
    ] = MEASURED,
    hardware_path: HardwarePathOption = None,
    record: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="Add the run record to this file.")
    ] = None,
    format: FormatOption = "table",
    output: OutputOption = None,
) -> None:
    """Run a quantized head in FHE on this machine and set it beside its estimate.

    Leave the machine alone meanwhile. Bits and length start small: keys and minutes grow fast.
    """
    from fhecost.gpt2.head_circuit import HeadRequest, expected_seconds
    from fhecost.measurement.head_run import measure_heads
    from fhecost.measurement.run_record import append_record
    from fhecost.report.run_document import run_document

    check_can_write(record, output)
    request = HeadRequest(model, text, layer, parse_heads(heads), seq_len, bits, variant)
    with timed_progress(expected_seconds(request)) as progress:
        measured = measure_heads(
            request,
            parse_hardware(hardware),
            hardware_path or (),
            threads=threads,
            warm_runs=runs,
            progress=progress,
            expect=progress.expect,
        )
    if record is not None:
        append_record(record, measured)
    deliver(run_document(measured), format, output)
