"""``fhecost calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhecost.cli.options import deliver
from fhecost.files import check_can_write


def calibrate(
    raw: Annotated[
        Path, typer.Argument(metavar="RAW.json", help="Raw times from fhecost measure pbs --save.")
    ],
    name: Annotated[str, typer.Option(help="What the machine is to be called.")] = "local",
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE.yaml", help="Write there instead."),
    ] = None,
) -> None:
    """Fit the CPU model to this machine's raw times and keep it as a hardware profile."""
    from fhecost.hardware.library import own_hardware_file
    from fhecost.measurement.calibration import calibrate as calibrate_hardware
    from fhecost.measurement.records import load_microbenchmark
    from fhecost.measurement.results import results_of
    from fhecost.report.measurement_document import microbenchmark_document

    path = output
    if path is None:
        path = own_hardware_file(name)
        path.parent.mkdir(parents=True, exist_ok=True)
    check_can_write(path)
    calibrate_hardware(raw, path.stem, keep=path)
    deliver(microbenchmark_document(results_of(load_microbenchmark(raw))), "table")
    typer.echo(f"written: {path}; use it with --hardware {path.stem}", err=True)
