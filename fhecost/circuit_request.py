"""Which circuit is asked for, and the one way to its profile: saved, compiled, or closed form."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fhecost.circuits.profile import CircuitProfile, load_profile
from fhecost.errors import FhecostError, FieldError
from fhecost.fields import LARGEST_COUNT
from fhecost.files import AnyPath
from fhecost.progress import Progress, silent

if TYPE_CHECKING:
    from fhecost.closed_form.scopes import ShapeRequest
    from fhecost.gpt2.head_circuit import HeadRequest


@dataclass(frozen=True)
class SavedCircuit:
    """A file that holds a circuit profile."""

    path: AnyPath


@dataclass(frozen=True)
class CompiledHeads:
    """Heads that Concrete compiles."""

    heads: HeadRequest


@dataclass(frozen=True)
class PredictedHeads:
    """Heads that aren't compiled: counts by law, widths from the weights."""

    heads: HeadRequest


@dataclass(frozen=True)
class PredictedShape:
    """Any part of a model by its shape alone: counts by law, widths stated."""

    shape: ShapeRequest


CircuitRequest = CircuitProfile | SavedCircuit | CompiledHeads | PredictedHeads | PredictedShape
"""A circuit profile, or how to come by one: saved, compiled, or in closed form."""


def find_circuit(request: CircuitRequest, progress: Progress = silent) -> CircuitProfile:
    """The circuit profile that ``request`` names.

    Args:
        request: which circuit; a profile is given back as it is.
        progress: called with the name of each step when it begins.

    Raises:
        UsageError: the request is out of range, or a file isn't there or broken.
        ImpossibleError: the circuit can't be compiled, or its parameter sets can't be predicted.
    """
    match request:
        case CircuitProfile():
            return request
        case SavedCircuit(path):
            return load_profile(Path(path))
        case CompiledHeads(heads):
            from fhecost.gpt2.head_circuit import profile_heads

            return profile_heads(heads, progress)
        case PredictedHeads(heads):
            from fhecost.closed_form.requests import profile_of_weights

            return profile_of_weights(heads, progress)
        case PredictedShape(shape):
            from fhecost.closed_form.scopes import profile_of_shape

            return profile_of_shape(shape)
        case _:
            right = (
                "a circuit profile, a SavedCircuit of a file, CompiledHeads or PredictedHeads of a "
                "HeadRequest, or a PredictedShape of a ShapeRequest"
            )
            raise FieldError("circuit", f"must be {right}, not a {type(request).__name__}")


def sure_circuit(
    request: CircuitRequest, found: CircuitProfile, progress: Progress = silent
) -> CircuitProfile | str | None:
    """The circuit of ``request`` with parameter sets for an error of ``SURE`` in all.

    By closed form. A word why there are no such sets; None where ``found``, the circuit as it is,
    needs none, or where only its profile is known.
    """
    from fhecost.hardware.estimate import SURE
    from fhecost.hardware.unsure import is_unsure

    if not is_unsure(found):
        return None
    try:
        match request:
            case CompiledHeads(heads) | PredictedHeads(heads):
                from fhecost.closed_form.requests import profile_of_weights

                progress("the same circuit without errors")
                return profile_of_weights(heads, global_p_error=SURE)
            case PredictedShape(shape):
                from fhecost.closed_form.scopes import profile_of_shape

                return profile_of_shape(shape, global_p_error=SURE)
    except FhecostError as error:
        return str(error)
    return None


def expected_seconds(request: CircuitRequest) -> float:
    """About how long :func:`find_circuit` takes, for a progress bar."""
    match request:
        case CompiledHeads(heads):
            from fhecost.gpt2.head_circuit import expected_seconds

            return expected_seconds(heads)
        case PredictedHeads(heads):
            # Torch, the model, and the calibration sentences through it.
            return 6.0 + 0.1 * min(heads.seq_len, LARGEST_COUNT)
        case _:
            return 1.0
