"""The options that say which circuit: the same for every command that takes one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
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
from fhecost.cli.options import (
    BitsOption,
    HeadsOption,
    LayerOption,
    ModelOption,
    SeqLenOption,
    TextOption,
    VariantOption,
    options_given,
    refuse_options,
)
from fhecost.cli.parsing import parse_heads
from fhecost.errors import UsageError

if TYPE_CHECKING:
    from fhecost.gpt2.head_circuit import HeadRequest


@dataclass(frozen=True)
class CircuitOptions:
    """What was given of each option, and which of them were."""

    model: ModelOption = "embedded"
    text: TextOption = None
    layer: LayerOption = 0
    heads: HeadsOption = "0"
    seq_len: SeqLenOption = 6
    bits: BitsOption = 4
    variant: VariantOption = "reference"
    no_compile: Annotated[
        bool, typer.Option("--no-compile", help="Count by closed form, in milliseconds.")
    ] = False
    scope: Annotated[
        Scope | None,
        typer.Option(help="How much of the model; all but head go with --no-compile."),
    ] = None
    widths: Annotated[
        Widths | None,
        typer.Option(help="With --no-compile: bit widths from the weights, or the shape alone."),
    ] = None
    profile: Annotated[
        Path | None,
        typer.Option(metavar="FILE.json", help="A saved circuit profile, instead of a model."),
    ] = None
    given: frozenset[str] = frozenset()

    def request(self) -> CircuitRequest:
        """The circuit that these options name.

        Raises:
            UsageError: options that don't go together, or a model or head that isn't there.
        """
        if self.profile is not None:
            others = [name for name in _NAMES if name != "profile"]
            self._refuse(others, "the circuit is that of --profile")
            return SavedCircuit(self.profile)
        if not self.no_compile:
            refuse_options(self.given, ["widths"], "add --no-compile")
            if self.scope not in (None, "head"):
                raise UsageError(f"--scope {self.scope}: only heads are compiled; add --no-compile")
            return CompiledHeads(self._head_request())
        from fhecost.closed_form.requests import shape_request, widths_of

        scope = self.scope or "head"
        if widths_of(self.model, scope, self.widths) == "calibrated":
            return PredictedHeads(self._head_request())
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

    def _head_request(self) -> HeadRequest:
        from fhecost.gpt2.head_circuit import HeadRequest

        heads = parse_heads(self.heads)
        return HeadRequest(
            self.model, self.text, self.layer, heads, self.seq_len, self.bits, self.variant
        )

    def _refuse(self, useless: Sequence[str], why: str) -> None:
        refuse_options(self.given, useless, f"{why}; leave these out")


_NAMES = tuple(field.name for field in fields(CircuitOptions) if field.name != "given")


def takes_circuit(command: Callable[..., None]) -> Callable[..., None]:
    """Give ``command``, whose parameter ``circuit`` takes them, the circuit options one by one."""
    own = inspect.signature(command, eval_str=True)
    hints = get_type_hints(CircuitOptions, include_extras=True)
    options = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=hints[field.name],
        )
        for field in fields(CircuitOptions)
        if field.name in _NAMES
    ]
    others = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in own.parameters.values()
        if parameter.name != "circuit"
    ]
    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)

    @functools.wraps(command)
    def with_options(*, context: typer.Context, **values: Any) -> None:
        given = options_given(context, _NAMES)
        circuit = CircuitOptions(**{name: values.pop(name) for name in _NAMES}, given=given)
        command(circuit=circuit, **values)

    signature = own.replace(parameters=[context, *options, *others])
    with_options.__signature__ = signature  # type: ignore[attr-defined]
    with_options.__annotations__ = {
        name: parameter.annotation for name, parameter in signature.parameters.items()
    }
    return with_options
