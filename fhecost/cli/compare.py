"""``fhecost compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

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
from fhecost.files import check_can_write, write_atomically


def compare(
    context: typer.Context,
    model: ModelOption = "embedded",
    text: TextOption = None,
    layer: LayerOption = 0,
    heads: HeadsOption = "0",
    seq_len: SeqLenOption = 6,
    bits: BitsOption = 4,
    variant: VariantOption = "reference",
    profile: Annotated[
        Path | None,
        typer.Option(metavar="FILE.json", help="A saved circuit profile, instead of a model."),
    ] = None,
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
    from fhecost.hardware.comparison import ComparisonRequest, parse_kinds
    from fhecost.pipeline import compare_heads, compare_profile
    from fhecost.report.comparison_text import RENDERERS

    check_can_write(plot, output)
    folders = hardware_path or ()
    comparison = ComparisonRequest(hardware, base, sort, parse_kinds(kind), what_if)
    if profile is not None:
        refuse_options(context, HEAD_OPTIONS, "the head is that of --profile; leave these out")
        report = compare_profile(profile, comparison, folders)
    else:
        from fhecost.gpt2.head_circuit import HeadRequest, expected_seconds, named_heads

        request = HeadRequest(model, text, layer, named_heads(model, heads), seq_len, bits, variant)
        with timed_progress(expected_seconds(request)) as progress:
            report = compare_heads(request, comparison, folders, progress)
    if plot is not None:
        from fhecost.report.comparison_figures import comparison_page

        write_atomically(plot, comparison_page(report))
    deliver(RENDERERS[format](report), output)
