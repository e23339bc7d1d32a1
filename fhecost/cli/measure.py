"""``fhecost measure``."""

from __future__ import annotations

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
from fhecost.cli.progress import counted_progress, timed_progress
from fhecost.files import check_can_write, write_atomically

app = typer.Typer(help="Time operations on this machine.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    pass


@app.command()
def pbs(
    quick: Annotated[
        bool, typer.Option("--quick", help="Only sets with N up to 4096, fewer rounds.")
    ] = False,
    rounds: Annotated[
        int | None, typer.Option(help="Timed runs of each circuit; 5, or 3 when quick.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Keep all raw times there.")
    ] = None,
    format: FormatOption = "table",
    output: OutputOption = None,
) -> None:
    """Time table lookups over a spread of parameter sets and fit the CPU model's constants.

    The JSON holds all raw times, the table the fit. Leave the machine alone meanwhile.
    """
    from fhecost.measurement.fit import fit_cpu
    from fhecost.measurement.microbenchmark import measure_pbs, step_count
    from fhecost.report.microbenchmark_text import FIT_RENDERERS, RAW_RENDERERS, as_json

    check_can_write(save, output)
    with counted_progress("microbenchmark", step_count(quick, rounds)) as progress:
        measured = measure_pbs(quick=quick, rounds=rounds, progress=progress)
    if save is not None:
        write_atomically(save, as_json(measured))
    if format in RAW_RENDERERS:
        deliver(RAW_RENDERERS[format](measured), output)
    else:
        deliver(FIT_RENDERERS[format](measured, fit_cpu(measured)), output)


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
    ] = "epyc-zen4-2",
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
    from fhecost.gpt2.head_circuit import HeadRequest, expected_seconds, named_heads
    from fhecost.hardware.library import load_hardware
    from fhecost.measurement.head_run import measure_heads
    from fhecost.measurement.run_record import append_record
    from fhecost.measurement.timed_run import RunOptions
    from fhecost.report.run_text import RENDERERS

    check_can_write(record, output)
    machines = load_hardware(hardware, hardware_path or ())
    request = HeadRequest(model, text, layer, named_heads(model, heads), seq_len, bits, variant)
    with timed_progress(expected_seconds(request)) as progress:
        measured = measure_heads(request, machines, RunOptions(threads, runs), progress)
    if record is not None:
        append_record(record, measured)
    deliver(RENDERERS[format](measured), output)
