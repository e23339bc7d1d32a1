"""``fhecost estimate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhecost.cli.options import (
    HEAD_OPTIONS,
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
    refuse_options,
)
from fhecost.cli.progress import timed_progress
from fhecost.files import check_can_write


def estimate(
    context: typer.Context,
    model: ModelOption = "embedded",
    text: TextOption = None,
    layer: LayerOption = 0,
    heads: HeadsOption = "0",
    seq_len: SeqLenOption = 6,
    bits: BitsOption = 4,
    variant: VariantOption = "reference",
    hardware: Annotated[
        str, typer.Option(help="Machines with commas, all, or default: three kinds and your own.")
    ] = "default",
    hardware_path: HardwarePathOption = None,
    profile: Annotated[
        Path | None,
        typer.Option(metavar="FILE.json", help="A saved circuit profile, instead of a model."),
    ] = None,
    save_profile: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Keep the circuit profile there.")
    ] = None,
    format: FormatOption = "table",
    output: OutputOption = None,
) -> None:
    """Estimate how long an encrypted attention head takes, on each machine."""
    from fhecost.pipeline import estimate_heads, estimate_profile
    from fhecost.report.estimate_text import RENDERERS

    check_can_write(save_profile, output)
    folders = hardware_path or ()
    if profile is not None:
        refuse_options(context, HEAD_OPTIONS, "the head is that of --profile; leave these out")
        report = estimate_profile(profile, hardware, folders, keep_profile=save_profile)
    else:
        from fhecost.gpt2.head_circuit import HeadRequest, expected_seconds, named_heads

        request = HeadRequest(model, text, layer, named_heads(model, heads), seq_len, bits, variant)
        with timed_progress(expected_seconds(request)) as progress:
            report = estimate_heads(request, hardware, folders, progress, keep_profile=save_profile)
    deliver(RENDERERS[format](report), output)
