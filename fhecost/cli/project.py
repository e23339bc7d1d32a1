"""``fhecost project``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhecost.circuits.description import Scope
from fhecost.cli.options import (
    BitsOption,
    FormatOption,
    HardwarePathOption,
    HeadsOption,
    VariantOption,
    deliver,
    options_given,
    refuse_options,
)
from fhecost.cli.parsing import (
    parse_duration,
    parse_hardware,
    parse_heads,
    parse_lengths,
    parse_years,
)
from fhecost.files import check_can_write, write_atomically


def project(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Option(help="embedded, gpt2 (-medium, -large, -xl), gpt3-175b, or a config.json."),
    ] = "gpt2",
    scope: Annotated[Scope, typer.Option(help="How much of the model.")] = "head",
    seq_len: Annotated[
        str, typer.Option(help="Tokens: FIRST..LAST, or numbers with commas.")
    ] = "1..1024",
    bits: BitsOption = 4,
    variant: VariantOption = "compact",
    heads: HeadsOption = "0",
    hardware: Annotated[
        str, typer.Option(help="Machines with commas, all, or default: three kinds and your own.")
    ] = "default",
    hardware_path: HardwarePathOption = None,
    years: Annotated[
        str | None,
        typer.Option(metavar="FIRST..LAST", help="Also these years, at the last length."),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Up to which length, and when: 100ms, 2s, 5min."),
    ] = None,
    format: FormatOption = "table",
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Write there; a FILE.html gets the figures."
        ),
    ] = None,
) -> None:
    """Project PBS and latency to longer sequences, larger scopes and later years."""
    from fhecost.closed_form.requests import shape_request
    from fhecost.projection.projection import project as project_circuit
    from fhecost.report.projection_document import projection_document, projection_page

    check_can_write(output)
    if scope != "head":
        given = options_given(context, ("heads", "variant"))
        refuse_options(given, ("heads", "variant"), f"--scope {scope} has all heads, compact")
    report = project_circuit(
        shape_request(model, scope=scope, bits=bits, variant=variant, heads=parse_heads(heads)),
        parse_lengths("--seq-len", seq_len),
        parse_hardware(hardware),
        hardware_path or (),
        years=parse_years(years) if years else (),
        target_s=parse_duration(target) if target else None,
    )
    if output is not None and output.suffix == ".html":
        write_atomically(output, projection_page(report))
        output = None
    deliver(projection_document(report), format, output)
