"""From a request (model, sentence, layer, heads, widths) to the circuit profile of the heads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhecost.circuits.cache import cache_key, cached_profile, keep_profile
from fhecost.circuits.description import CircuitDescription
from fhecost.circuits.profile import CircuitProfile
from fhecost.concrete.compilation import compile_circuit
from fhecost.errors import FieldError
from fhecost.gpt2.model import (
    GPT2,
    calibration_sentences,
    calibration_windows,
    check_layer,
    check_seq_len,
    find_model,
    fingerprint,
    load_gpt2,
    model_shape,
    sentence_windows,
)
from fhecost.heads.variants import QuantizedHeads, variant_named
from fhecost.models.shape import EMBEDDED, Heads, ModelShape, head_numbers
from fhecost.progress import Progress, silent
from fhecost.quantization import FloatArray, IntArray, check_bits

DEFAULT_TEXT = (
    "The clerk who keeps the books of the bank need never learn what the numbers in them mean."
)
_USUAL_HEADS = 4
"""As many as the embedded model's layers have."""


@dataclass(frozen=True)
class HeadRequest:
    """Quantized heads of one layer of a GPT-2-shaped model on a sentence.

    ``heads`` are numbers from 0, or ``all``; ``text`` is a sentence of fhecost's own when None.
    """

    model: str = EMBEDDED
    text: str | None = None
    layer: int = 0
    heads: Heads = (0,)
    seq_len: int = 6
    bits: int = 4
    variant: str = "reference"


def expected_seconds(request: HeadRequest) -> float:
    """About how long :func:`profile_heads` takes without the cache, for a progress bar.

    As seen on 2 cores: 5 s to load torch and a small model, 6 s to compile, more for longer inputs.
    """
    heads = _USUAL_HEADS if isinstance(request.heads, str) else len(request.heads)
    return 11.0 + 0.4 * request.seq_len * heads


@dataclass(frozen=True)
class HeadInputs:
    """Quantized heads and the inputs that set their bit widths.

    ``inputset`` holds the integers of the calibration sentences and, last, of the request's text.
    """

    heads: QuantizedHeads
    inputset: tuple[IntArray, ...]


@dataclass(frozen=True)
class HeadCircuit(HeadInputs):
    """Quantized heads, their inputs, and the compiled Concrete circuit."""

    circuit: Any


def compile_heads(request: HeadRequest, folder: Path, progress: Progress = silent) -> HeadCircuit:
    """Quantize and compile the heads of ``request`` from the model in ``folder``.

    Raises:
        UsageError: the request doesn't fit the model, or the text is too short.
        ImpossibleError: nothing is left of the head at this width, or Concrete can't compile it.
    """
    quantized = quantize_heads(request, folder, progress)
    progress("compiling the circuit")
    circuit = compile_circuit(quantized.heads.run, quantized.inputset)
    return HeadCircuit(quantized.heads, quantized.inputset, circuit)


def quantize_heads(request: HeadRequest, folder: Path, progress: Progress = silent) -> HeadInputs:
    """Quantize the heads of ``request`` from the model in ``folder``.

    Raises:
        UsageError: the request doesn't fit the model, or the text is too short.
        ImpossibleError: nothing is left of the head at this width.
    """
    _check(request, model_shape(folder))
    progress("loading the model")
    model = load_gpt2(folder)
    progress("calibrating the heads")
    calibration, judged = _hidden_states(model, request)
    floats = [model.head(request.layer, head) for head in head_numbers(model.shape, request.heads)]
    heads = variant_named(request.variant).quantize(floats, calibration, request.bits)
    inputset = tuple(heads.quantize_input(hidden) for hidden in [*calibration, judged])
    return HeadInputs(heads, inputset)


def profile_heads(
    request: HeadRequest, progress: Progress = silent, *, use_cache: bool = True
) -> CircuitProfile:
    """The circuit profile of the head of ``request``, compiled or from the cache.

    Raises:
        UsageError: the request is out of range or doesn't fit the model.
        ImpossibleError: the head can't be compiled.
    """
    folder = find_model(request.model)
    _check(request, model_shape(folder))

    def compiled() -> CircuitProfile:
        circuit = compile_heads(request, folder, progress)
        progress("reading the profile")
        return profile_of(circuit, request, folder)

    return through_cache(compiled, request, folder) if use_cache else compiled()


def through_cache(
    make: Callable[[], CircuitProfile], request: HeadRequest, folder: Path, made: str = "compiled"
) -> CircuitProfile:
    """The profile of ``request`` from the cache, or what ``make`` gives, which is kept.

    ``made`` tells profiles apart that were made in different ways.
    """
    key = cache_key(
        {
            "made": made,
            "model": fingerprint(folder),
            "model_name": _name(request, folder),
            "text": _text(request),
            "text_is_default": int(request.text is None),
            "layer": request.layer,
            "heads": ", ".join(map(str, head_numbers(model_shape(folder), request.heads))),
            "seq_len": request.seq_len,
            "bits": request.bits,
            "variant": request.variant,
        }
    )
    cached = cached_profile(key)
    if cached is not None:
        return cached
    profile = make()
    keep_profile(key, profile)
    return profile


def profile_of(compiled: HeadCircuit, request: HeadRequest, folder: Path) -> CircuitProfile:
    """The circuit profile of heads that were compiled for ``request`` from ``folder``."""
    from fhecost.concrete.reader import profile_circuit

    return profile_circuit(
        compiled.circuit,
        name=name_of_heads(request, folder),
        source="compiled Concrete circuit",
        description=describe_request(request, folder),
        packages=("concrete-python", "numpy", "torch", "transformers"),
    )


def name_of_heads(request: HeadRequest, folder: Path) -> str:
    """What the circuit of a request for heads of the model in ``folder`` is called."""
    several = len(head_numbers(model_shape(folder), request.heads)) > 1
    return f"{request.variant} head{'s' if several else ''}"


def describe_request(request: HeadRequest, folder: Path) -> CircuitDescription:
    """What a circuit profile says of a request for heads of the model in ``folder``."""
    shape = model_shape(folder)
    return describe_heads(
        shape,
        _name(request, folder),
        request.layer,
        head_numbers(shape, request.heads),
        request.seq_len,
        request.bits,
        request.variant,
    ).changed(text=_text(request), model_sha256=fingerprint(folder))


def _name(request: HeadRequest, folder: Path) -> str:
    # The folder's name, not its path: a profile is made to be shared.
    return EMBEDDED if request.model == EMBEDDED else folder.resolve().name


def _text(request: HeadRequest) -> str:
    return request.text if request.text is not None else DEFAULT_TEXT


def describe_heads(
    shape: ModelShape,
    name: str,
    layer: int,
    heads: Sequence[int],
    seq_len: int,
    bits: int,
    variant: str,
) -> CircuitDescription:
    """What a circuit profile says of the heads that it was compiled from."""
    return CircuitDescription(
        model=name,
        scope="head",
        layer=layer,
        heads=tuple(heads),
        seq_len=seq_len,
        bits=bits,
        variant=variant,
        width=shape.width,
        head_dimension=shape.dimension,
    )


def _check(request: HeadRequest, shape: ModelShape) -> None:
    """Raise a UsageError unless ``request`` is in range and fits the model."""
    check_bits(request.bits)
    variant_named(request.variant)
    check_layer(shape, request.layer)
    check_seq_len(shape, request.seq_len)
    head_numbers(shape, request.heads)


def _hidden_states(model: GPT2, request: HeadRequest) -> tuple[FloatArray, FloatArray]:
    """Hidden states of the calibration windows, shape (windows, L, E), and of the text, (L, E)."""
    length = request.seq_len
    windows = calibration_windows(model, length)
    text = model.tokens(_text(request))
    if len(text) < length and request.text is None:
        text = [*text, *sentence_windows(model, calibration_sentences(), length)[0]]
    if len(text) < length:
        raise FieldError("text", f"has {len(text)} tokens, at least {length} are needed")
    calibration = model.hidden_states(windows, request.layer)
    return calibration, model.hidden_states([text[:length]], request.layer)[0]
