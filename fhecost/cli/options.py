"""Options that several commands share: which circuit, which machines, how to print."""

from __future__ import annotations

import functools
import inspect
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import MISSING, dataclass, fields
from inspect import Parameter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from fhecost.circuit_request import (
    CircuitRequest,
    CompiledHeads,
    PredictedHeads,
    PredictedShape,
    SavedCircuit,
)
from fhecost.circuits.description import Scope, Widths
from fhecost.cli import completion
from fhecost.cli.encodings import escaped, terminal_width
from fhecost.cli.parsing import parse_heads
from fhecost.errors import UsageError
from fhecost.files import check_can_write, write_result
from fhecost.hardware.names import PbsChoice
from fhecost.plain import plain_line
from fhecost.report.document import Document
from fhecost.report.render import RENDERERS, Format, as_table

if TYPE_CHECKING:
    from fhecost.gpt2.head_circuit import HeadRequest
    from fhecost.report.plots import PlottedReport

FormatOption = Annotated[Format, typer.Option("--format", help="How to print the figures.")]
OutputOption = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write there, not to stdout.")
]
HardwareOption = Annotated[
    str,
    typer.Option(
        help="Machines, comma-separated, or all; here is this one.",
        autocompletion=completion.machines,
    ),
]
DefaultHardwareOption = Annotated[
    str,
    typer.Option(
        help="Machines with commas, all, or default: here, one of each kind, your own.",
        autocompletion=completion.machines,
    ),
]
OneMachineArgument = Annotated[
    str, typer.Argument(help="The machine's name.", autocompletion=completion.one_machine)
]
KindOption = Annotated[
    str | None,
    typer.Option(
        help="Only such machines: cpu, gpu, fpga, asic, with commas.",
        autocompletion=completion.kinds,
    ),
]
HardwarePathOption = Annotated[
    list[Path] | None,
    typer.Option(metavar="FOLDER", help="A folder of further machines, one YAML file each."),
]

ModelOption = Annotated[
    str,
    typer.Option(
        help="embedded, smollm2, a Hugging Face name, a folder, or a GGUF file.",
        autocompletion=completion.models,
    ),
]
LayerOption = Annotated[int, typer.Option(help="Which layer, from 0.")]
HeadsOption = Annotated[
    str, typer.Option(help="Heads of the layer: numbers from 0 with commas, or all.")
]
SeqLenOption = Annotated[int, typer.Option(help="Tokens that the head attends over.")]
BitsOption = Annotated[
    int | None,
    typer.Option(
        help="Width of weights and activations; left out, 3 of fast heads and 4 of others."
    ),
]
RequestsOption = Annotated[
    int | None,
    typer.Option(min=1, help="Also so many independent inputs at once, under one key."),
]
PbsOption = Annotated[
    PbsChoice | None,
    typer.Option(
        "--pbs",
        help="The kind of PBS; best is the fastest that a machine has. Its own when left out.",
    ),
]
VariantOption = Annotated[
    str,
    typer.Option(
        help=f"Which quantized circuit: {', '.join(completion.VARIANTS)}, or a saved head's "
        "FILE.json.",
        autocompletion=completion.variants,
    ),
]

PlotOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.html", help="Draw the figures there: a page; .svg or .png, a file a figure."
    ),
]


_OPTIONS = {
    "budget_s": "--budget",
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


def option(name: str, default: Any, annotation: Any) -> Parameter:
    """The parameter of a command that is the option ``name``."""
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def parameters_of(command: Callable[..., Any]) -> dict[str, Parameter]:
    """The arguments and options of ``command`` by name."""
    parameters = inspect.signature(command, eval_str=True).parameters.values()
    return {one.name: one.replace(kind=Parameter.KEYWORD_ONLY) for one in parameters}


def with_parameters(
    command: Callable[..., Any], run: Callable[..., None], parameters: Iterable[Parameter]
) -> Callable[..., None]:
    """``run`` as a command that is called and explained as ``command`` is, with ``parameters``."""
    functools.update_wrapper(run, command)
    signature = inspect.Signature(list(parameters))
    run.__signature__ = signature  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in signature.parameters.values()}
    return run


def prints(
    *written: str, added_to: str | None = None
) -> Callable[[Callable[..., Iterator[Document]]], Callable[..., None]]:
    """Print what a command yields, by the options ``--format`` and ``--output`` that it is given.

    Args:
        written: the command's own parameters for files that it writes. Before it begins, it must be
            sure that these and the output can be written, each to a place of its own.
        added_to: its parameter for a file that it adds to, if there is one.
    """

    def printing(command: Callable[..., Iterator[Document]]) -> Callable[..., None]:
        def run(*, format: Format, output: Path | None, **values: Any) -> None:
            added = () if added_to is None else (values[added_to],)
            check_can_write(*(values[name] for name in written), output, appended=added)
            check_plot(values.get("plot"))
            for document in command(**values):
                deliver(document, format, output)

        own = parameters_of(command)
        own["format"] = option("format", "table", FormatOption)
        own["output"] = option("output", None, OutputOption)
        return with_parameters(command, run, own.values())

    return printing


def check_plot(plot: Path | None) -> None:
    """What is missing for figures shows before the work, not after it."""
    if plot is not None:
        from fhecost.report import plots

        plots.check_plot(plot)


def deliver(document: Document, format: Format, output: Path | None = None) -> None:
    """Write ``document`` to a file, whole or not at all, or print it."""
    if output is None and format == "table":
        text = as_table(document, terminal_width())
    else:
        text = RENDERERS[format](document)
    if output is None:
        typer.echo(escaped(text) if format == "json" else text, nl=False)
    else:
        write_result(output, text)


def draw(report: PlottedReport, plot: Path | None) -> None:
    """Draw a report where that was asked for; the files of its figures are named."""
    if plot is not None:
        from fhecost.report.plots import write_plot

        for file in write_plot(report, plot, command=command_line()):
            if file != plot:
                typer.echo(plain_line(f"written: {file}"), err=True)


TYPED: ContextVar[Sequence[str]] = ContextVar("typed", default=())
"""What stands behind ``fhecost`` on the command line that is run."""


def command_line() -> str | None:
    """What was typed; None where nobody typed anything."""
    typed = TYPED.get()
    return plain_line(shlex.join(["fhecost", *typed])) if typed else None


def refuse_options(context: typer.Context, parameters: Sequence[str], why: str) -> None:
    """Refuse options that would have no effect.

    Args:
        context: of the command; what it has from the command line was given.
        parameters: those that are of no use, in the order in which to name them.
        why: what makes them useless.

    Raises:
        UsageError: one of them was given; all that were are named.
    """
    useless = []
    for name in parameters:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            useless.append(option_of(name))
    if useless:
        raise UsageError(f"{', '.join(useless)}: {why}")


@dataclass(frozen=True)
class HeadOptions:
    """What is said of heads to be compiled, on the command line of ``context``."""

    context: typer.Context
    model: ModelOption = "embedded"
    text: Annotated[
        str | None, typer.Option(help="The sentence that goes in; its first tokens are used.")
    ] = None
    layer: LayerOption = 0
    heads: HeadsOption = "0"
    seq_len: SeqLenOption = 6
    bits: BitsOption = None
    variant: VariantOption = "fast"

    def head_request(self) -> HeadRequest:
        """The heads that these options name."""
        from fhecost.gpt2.head_circuit import HeadRequest

        heads = parse_heads(self.heads)
        return HeadRequest(
            self.model, self.text, self.layer, heads, self.seq_len, self.bits, self.variant
        )


@dataclass(frozen=True)
class CircuitOptions(HeadOptions):
    """What is said of any circuit: compiled, in closed form, or saved."""

    no_compile: Annotated[
        bool, typer.Option("--no-compile", help="Count by closed form, without compiling.")
    ] = False
    scope: Annotated[
        Scope | None, typer.Option(help="How much of the model; all but head go with --no-compile.")
    ] = None
    widths: Annotated[
        Widths | None,
        typer.Option(help="With --no-compile: bit widths from the weights, or the shape alone."),
    ] = None
    profile: Annotated[
        Path | None,
        typer.Option(metavar="FILE.json", help="A saved circuit profile, instead of a model."),
    ] = None

    def request(self) -> CircuitRequest:
        """The circuit that these options name.

        Raises:
            UsageError: options that don't go together, or a model or head that isn't there.
        """
        if self.profile is not None:
            others = [field.name for field in fields(self)]
            others.remove("profile")
            self._refuse(others, "the circuit is that of --profile")
            return SavedCircuit(self.profile)
        if not self.no_compile:
            refuse_options(self.context, ["widths"], "add --no-compile")
            if self.scope not in (None, "head"):
                raise UsageError(f"--scope {self.scope}: only heads are compiled; add --no-compile")
            return CompiledHeads(self.head_request())
        from fhecost.closed_form.requests import shape_request, widths_of

        scope = self.scope or "head"
        if widths_of(self.model, scope, self.widths) == "calibrated":
            return PredictedHeads(self.head_request())
        found = shape_request(
            self.model,
            scope,
            seq_len=self.seq_len,
            bits=self.bits,
            variant=self.variant,
            heads=parse_heads(self.heads),
        )
        self._refuse(["text", "layer"], "a shape alone has no text and no layer")
        if scope != "head":
            self._refuse(["heads", "variant"], f"--scope {scope} has all heads, compact")
        return PredictedShape(found)

    def module_file(self, refused: Sequence[str]) -> Path:
        """The file of the module whose functions are called.

        Args:
            refused: options of the command that have no effect on calls.

        Raises:
            UsageError: no file is named, or options that don't go together.
        """
        if self.profile is None:
            raise UsageError("--calls: goes with --profile of a module, from fhecost profile")
        others = [field.name for field in fields(self) if field.name != "profile"]
        self._refuse([*others, *refused], "the functions are those of --profile")
        return self.profile

    def _refuse(self, useless: Sequence[str], why: str) -> None:
        refuse_options(self.context, useless, f"{why}; leave these out")


def takes_circuit(command: Callable[..., None]) -> Callable[..., None]:
    """Give ``command`` the fields of its parameter ``circuit`` as options, one by one."""
    own = parameters_of(command)
    group = own.pop("circuit").annotation
    hints = get_type_hints(group, include_extras=True)
    defaults = {
        field.name: Parameter.empty if field.default is MISSING else field.default
        for field in fields(group)
    }

    def run(**values: Any) -> None:
        circuit = group(**{name: values.pop(name) for name in defaults})
        command(circuit=circuit, **values)

    options = [option(name, default, hints[name]) for name, default in defaults.items()]
    return with_parameters(command, run, [*options, *own.values()])
