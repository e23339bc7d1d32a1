"""The search for settings: ``fhecost optimize``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from fhecost.cli.options import (
    HardwarePathOption,
    HeadsOption,
    LayerOption,
    ModelOption,
    PlotOption,
    SeqLenOption,
    draw,
    prints,
)
from fhecost.cli.parsing import parse_duration, parse_heads
from fhecost.cli.progress import timed_progress
from fhecost.hardware.names import HERE
from fhecost.interrupts import say_kept
from fhecost.report.document import Document


@prints("plot", "study")
def optimize(
    model: ModelOption = "embedded",
    layer: LayerOption = 0,
    heads: HeadsOption = "0",
    seq_len: SeqLenOption = 6,
    hardware: Annotated[str, typer.Option(help="The machine that latencies are of.")] = HERE,
    hardware_path: HardwarePathOption = None,
    min_top1: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Keep at least these top-1 tokens: 0.96.")
    ] = None,
    max_error: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Heads' output off by at most this: 0.4."),
    ] = None,
    budget: Annotated[
        str, typer.Option(metavar="TIME", help="How long to search: 90s, 15m, 2h.")
    ] = "15m",
    trials: Annotated[
        int | None, typer.Option(help="Settings to try, if the time is not up before.")
    ] = None,
    study: Annotated[
        Path | None, typer.Option(metavar="FILE.db", help="Keep all trials there, and go on.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the search.")] = 0,
    verify: Annotated[
        int, typer.Option(metavar="N", help="Points to compile and simulate; 0 for none.")
    ] = 3,
    save_heads: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="A FILE.json a point there, to name as --variant."),
    ] = None,
    sentences: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Sentences to judge on, one a line.")
    ] = None,
    plot: PlotOption = None,
) -> Iterator[Document]:
    """Search for head settings that keep most of the model at the least latency."""
    from fhecost.report.optimization_document import optimization_document
    from fhecost.search.optimize import optimize as search

    budget_s = parse_duration("--budget", budget)
    if study is not None:
        say_kept(f"all trials are kept in {study}, and the same command goes on from there")
    with timed_progress(budget_s) as progress:
        report = search(
            model,
            layer=layer,
            heads=parse_heads(heads),
            seq_len=seq_len,
            hardware=hardware,
            hardware_path=hardware_path or (),
            min_top1=min_top1,
            max_error=max_error,
            budget_s=budget_s,
            trials=trials,
            study=study,
            seed=seed,
            verify=verify,
            save_heads=save_heads,
            sentences=sentences,
            progress=progress,
            expect=progress.expect,
        )
    yield optimization_document(report)
    draw(report, plot)
    if report.stopped_by == "interrupt":
        raise KeyboardInterrupt
