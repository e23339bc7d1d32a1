"""``fhecost measure``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhecost.cli.options import FormatOption, OutputOption, deliver
from fhecost.cli.progress import counted_progress
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
