"""``fhecost accuracy``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhecost.circuits.description import KeylessMode
from fhecost.cli.options import (
    FormatOption,
    LayerOption,
    ModelOption,
    OutputOption,
    VariantOption,
    deliver,
    options_given,
    refuse_options,
)
from fhecost.cli.parsing import parse_heads, parse_numbers
from fhecost.cli.progress import counted_progress
from fhecost.files import check_can_write, write_atomically


def accuracy(
    context: typer.Context,
    model: ModelOption = "embedded",
    layer: LayerOption = 0,
    heads: Annotated[
        list[str] | None,
        typer.Option(help="Heads that are quantized together: 0, or 0,2, or all. Repeatable."),
    ] = None,
    bits: Annotated[str, typer.Option(help="Widths, with commas between them.")] = "2,3,4,5,6,7,8",
    seq_len: Annotated[str, typer.Option(help="Lengths in tokens, with commas.")] = "32",
    variant: VariantOption = "compact",
    mode: Annotated[
        KeylessMode, typer.Option(help="Clear integers, or Concrete's simulation.")
    ] = "disable",
    sweep_heads: Annotated[
        bool, typer.Option("--sweep-heads", help="Every head of every layer, one at a time.")
    ] = False,
    sentences: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Sentences to judge on, one a line.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Draw the figures there.")
    ] = None,
    format: FormatOption = "table",
    output: OutputOption = None,
) -> None:
    """Measure how much of the float model's behaviour quantized heads keep."""
    from fhecost.accuracy.sweep import measure_accuracy
    from fhecost.report.accuracy_document import accuracy_document

    check_can_write(plot, output)
    if sweep_heads:
        useless = ("layer", "heads")
        given = options_given(context, useless)
        refuse_options(given, useless, "--sweep-heads takes every one; leave it out")
    with counted_progress("accuracy") as progress:
        report = measure_accuracy(
            model,
            layer=layer,
            heads=[parse_heads(group) for group in heads or ["0", "all"]],
            bits=parse_numbers("--bits", bits),
            seq_lens=parse_numbers("--seq-len", seq_len),
            variant=variant,
            mode=mode,
            sweep_heads=sweep_heads,
            sentences=sentences,
            progress=progress,
            expect=progress.expect,
        )
    if plot is not None:
        from fhecost.report.accuracy_figures import accuracy_page

        write_atomically(plot, accuracy_page(report))
    deliver(accuracy_document(report), format, output)
