"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from fhecost.errors import UsageError
from fhecost.files import write_atomically
from fhecost.report.document import Document
from fhecost.report.render import RENDERERS, Format

FormatOption = Annotated[Format, typer.Option("--format", help="How to print the figures.")]
OutputOption = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write there, not to stdout.")
]
HardwarePathOption = Annotated[
    list[Path] | None,
    typer.Option(metavar="FOLDER", help="A folder of further machines, one YAML file each."),
]

ModelOption = Annotated[str, typer.Option(help="embedded, a Hugging Face name, or a folder.")]
TextOption = Annotated[
    str | None, typer.Option(help="The sentence that goes in; its first tokens are used.")
]
LayerOption = Annotated[int, typer.Option(help="Which layer, from 0.")]
HeadsOption = Annotated[
    str, typer.Option(help="Heads of the layer: numbers from 0 with commas, or all.")
]
SeqLenOption = Annotated[int, typer.Option(help="Tokens that the head attends over.")]
BitsOption = Annotated[int, typer.Option(help="Width of weights and activations.")]
VariantOption = Annotated[str, typer.Option(help="Which quantized circuit.")]


_OPTIONS = {
    "figures_folder": "--save-figures",
    "kinds": "--kind",
    "lengths": "--seq-len",
    "seq_lens": "--seq-len",
    "target_s": "--target",
    "warm_runs": "--runs",
}
"""The options that are called otherwise than the API's field for the same."""


def option_of(field: str) -> str:
    """What the command line calls a field of the API: ``--seq-len`` for ``seq_len``."""
    return _OPTIONS.get(field, f"--{field.replace('_', '-')}")


def deliver(document: Document, format: Format, output: Path | None = None) -> None:
    """Write ``document`` to a file, whole or not at all, or print it."""
    text = RENDERERS[format](document)
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_atomically(output, text)


def options_given(context: typer.Context, parameters: Iterable[str]) -> frozenset[str]:
    """Which of ``parameters`` were given on the command line rather than left at their default."""
    sources = {name: context.get_parameter_source(name) for name in parameters}
    return frozenset(
        name
        for name, source in sources.items()
        if source is not None and source.name == "COMMANDLINE"
    )


def refuse_options(given: frozenset[str], parameters: Sequence[str], why: str) -> None:
    """Refuse options that would have no effect.

    Args:
        given: the parameters that were given.
        parameters: those that are of no use, in the order in which to name them.
        why: what makes them useless.

    Raises:
        UsageError: one of them was given; all that were are named.
    """
    useless = [option_of(name) for name in parameters if name in given]
    if useless:
        raise UsageError(f"{', '.join(useless)}: {why}")
