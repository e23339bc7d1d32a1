"""Experiments of many points: ``fhecost sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from fhecost.cli.options import PlotOption, check_plot, deliver, draw
from fhecost.cli.progress import counted_progress
from fhecost.errors import ImpossibleError
from fhecost.files import check_can_write
from fhecost.interrupts import say_kept
from fhecost.plain import plain_line


def sweep(
    experiment: Annotated[
        Path, typer.Argument(metavar="FILE.yaml", help="Which points, and what is asked of them.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE.jsonl", help="Keep the results there, a line a point."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a sweep with the same FILE stopped.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Go on, and try what has failed once more.")
    ] = False,
    processes: Annotated[
        int | None, typer.Option(help="Points at once; as many as cores and memory hold.")
    ] = None,
    dask: Annotated[
        int | None, typer.Option(metavar="N", help="On N workers of Dask on this machine.")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="On a Dask cluster: tcp://10.0.0.1:8786."),
    ] = None,
    plot: PlotOption = None,
    format: Annotated[
        Literal["table", "json", "csv", "markdown", "parquet"],
        typer.Option("--format", help="How to print the results; parquet goes to FILE.parquet."),
    ] = "table",
) -> None:
    """Compute all points of an experiment, here or on a cluster; killed, it loses none."""
    from fhecost.report.sweep_document import sweep_document
    from fhecost.sweep.parquet import check_pyarrow, write_parquet
    from fhecost.sweep.run import run_sweep

    results = output or Path(f"{experiment.stem}.jsonl")
    table = results.with_suffix(".parquet")
    if format == "parquet":
        check_pyarrow()
        check_can_write(table, appended=[results])
    check_plot(plot)
    say_kept(f"all points so far are kept in {results}; --resume goes on from there")
    with counted_progress("sweep") as progress:
        report = run_sweep(
            experiment,
            results,
            resume=resume,
            retry_failed=retry_failed,
            processes=processes,
            dask=dask,
            scheduler=scheduler,
            progress=progress,
            expect=progress.expect,
        )
    if format == "parquet":
        write_parquet(report.results, table)
        typer.echo(plain_line(f"{table}"))
    else:
        deliver(sweep_document(report), format)
    draw(report, plot)
    if report.failed:
        raise ImpossibleError(
            f"{report.failed} of {report.points} points failed, for reasons that {results} has; "
            "--retry-failed tries them once more"
        )
