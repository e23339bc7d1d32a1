"""What is left of a language model: ``fhecost accuracy`` and ``generate``."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhecost.circuits.description import FheMode, KeylessMode
from fhecost.cli import completion
from fhecost.cli.options import (
    BitsOption,
    DefaultHardwareOption,
    FormatOption,
    HardwarePathOption,
    HeadsOption,
    LayerOption,
    ModelOption,
    OutputOption,
    PlotOption,
    VariantOption,
    deliver,
    draw,
    prints,
    refuse_options,
)
from fhecost.cli.parsing import parse_hardware, parse_heads, parse_layers, parse_numbers
from fhecost.cli.progress import counted_progress, timed_progress
from fhecost.errors import ImpossibleError
from fhecost.files import check_can_write
from fhecost.interrupts import say_kept
from fhecost.plain import plain, plain_line
from fhecost.report.document import Document


@prints("plot")
def accuracy(
    context: typer.Context,
    model: ModelOption = "embedded",
    layer: LayerOption = 0,
    heads: Annotated[
        list[str] | None,
        typer.Option(help="Heads that are quantized together: 0, or 0,2, or all. Repeatable."),
    ] = None,
    bits: Annotated[
        str | None, typer.Option(help="Widths, with commas; 2 to 8 when left out.")
    ] = None,
    seq_len: Annotated[str, typer.Option(help="Lengths in tokens, with commas.")] = "32",
    variant: VariantOption = "fast",
    mode: Annotated[
        KeylessMode, typer.Option(help="Clear integers, or Concrete's simulation.")
    ] = "disable",
    sweep_heads: Annotated[
        bool, typer.Option("--sweep-heads", help="Every head of every layer, one at a time.")
    ] = False,
    layers: Annotated[
        list[str] | None,
        typer.Option(
            metavar="0..9",
            help="Layers whose heads are quantized together, each calibrated on what those before "
            "it hand on. Repeatable. With --sweep-heads: those whose heads are judged.",
        ),
    ] = None,
    sentences: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Sentences to judge on, one a line.")
    ] = None,
    first: Annotated[
        int | None, typer.Option(metavar="N", help="Judge on the first N sentences alone.")
    ] = None,
    hardware: Annotated[
        str,
        typer.Option(
            help="With --plot: the machines that latencies are of.",
            autocompletion=completion.machines,
        ),
    ] = "default",
    hardware_path: HardwarePathOption = None,
    plot: PlotOption = None,
) -> Iterator[Document]:
    """Measure how much of the float model's behaviour quantized heads keep."""
    from fhecost.accuracy.sweep import measure_accuracy
    from fhecost.hardware.library import load_hardware
    from fhecost.report.accuracy_document import accuracy_document

    if plot is None:
        refuse_options(context, ("hardware", "hardware_path"), "go with --plot")
    if sweep_heads:
        why = "--sweep-heads takes every one; leave it out"
        refuse_options(context, ("layer", "heads"), why)
    if layers:
        refuse_options(context, ("layer",), "--layers names them; leave it out")
    machines = load_hardware(parse_hardware(hardware), hardware_path or ()) if plot else []
    with counted_progress("accuracy") as progress:
        done = itertools.count(1)

        def count_row(row: str) -> None:
            said = f"{next(done)} rows are kept, and the same command goes on from there"
            say_kept(said)
            progress(row)

        report = measure_accuracy(
            model,
            layer=layer,
            heads=[parse_heads(group) for group in heads or ["0", "all"]],
            bits=parse_numbers("--bits", bits) if bits else None,
            seq_lens=parse_numbers("--seq-len", seq_len),
            variant=variant,
            mode=mode,
            sweep_heads=sweep_heads,
            layers=[parse_layers(group) for group in layers or ()],
            sentences=sentences,
            first=first,
            progress=count_row,
            expect=progress.expect,
        )
    yield accuracy_document(report)
    if plot is not None:
        from fhecost.projection.bits import with_costs

        draw(with_costs(report, model, variant, machines), plot)


if TYPE_CHECKING:
    from fhecost.generation import GeneratedToken


def generate(
    text: Annotated[str, typer.Argument(help="What to go on from.")],
    model: ModelOption = "embedded",
    bits: BitsOption = None,
    layer: LayerOption = 0,
    heads: HeadsOption = "all",
    variant: VariantOption = "fast",
    mode: Annotated[
        FheMode, typer.Option(help="Clear integers, Concrete's simulation, or really encrypted.")
    ] = "disable",
    tokens: Annotated[int, typer.Option(help="How many tokens to generate.")] = 12,
    hardware: DefaultHardwareOption = "default",
    hardware_path: HardwarePathOption = None,
    format: FormatOption = "table",
    output: OutputOption = None,
) -> None:
    """Generate text with quantized heads, and say how long their encrypted part takes."""
    from fhecost.generation import generate as generate_tokens
    from fhecost.gpt2.head_circuit import HeadRequest, expected_seconds
    from fhecost.report.generation_document import generation_document, token_line

    check_can_write(output)
    chosen = parse_heads(heads)
    # A rough idea is enough for a bar: the length is that of a short text.
    one_wait = expected_seconds(HeadRequest(seq_len=6 + tokens, heads=chosen))
    streams = format == "table" and output is None and sys.stdout.isatty()
    # A bar takes a line of its own: where there is one for each token, tokens come line by line.
    in_lines = mode != "disable"
    shown = False
    so_far: list[str] = []

    def show(token: GeneratedToken) -> None:
        nonlocal shown
        bar.hide()
        so_far.append(token.text)
        say_kept(f"{len(so_far)} of {tokens} tokens: {plain_line(''.join(so_far))!r}")
        if not streams:
            return
        if in_lines:
            typer.echo(plain_line(token_line(token)))
        else:
            typer.echo(plain(token.text if shown else text + token.text), nl=False)
        shown = True

    def begin(step: str) -> None:
        nonlocal shown
        if shown and not in_lines:
            # A bar stands apart from the text that was streamed, too.
            typer.echo("\n")
            shown = False
        bar(step)

    try:
        with timed_progress(one_wait) as bar:
            report = generate_tokens(
                text,
                model,
                bits=bits,
                layer=layer,
                heads=chosen,
                variant=variant,
                mode=mode,
                tokens=tokens,
                hardware=parse_hardware(hardware),
                hardware_path=hardware_path or (),
                progress=begin,
                on_token=show,
            )
    finally:
        if shown:
            # The report stands apart from what was streamed.
            typer.echo("" if in_lines else "\n")
    deliver(generation_document(report), format, output)
    if report.interrupted:
        raise KeyboardInterrupt
    if report.stopped is not None:
        raise ImpossibleError(report.stopped)
