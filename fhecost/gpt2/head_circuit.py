"""From a request (model, sentence, layer, heads, widths) to the circuit profile of the heads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fhecost.circuits.cache import through_cache
from fhecost.circuits.description import CircuitDescription
from fhecost.circuits.profile import CircuitProfile
from fhecost.concrete.compilation import compile_circuit
from fhecost.errors import FieldError, UsageError
from fhecost.fields import LARGEST_COUNT
from fhecost.gpt2.kept_floats import keep_floats, kept_floats
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
from fhecost.heads.attention_head import AttentionHead
from fhecost.heads.variants import QuantizedHeads, Variant, variant_named
from fhecost.models.model_shape import ModelShape
from fhecost.models.shape import EMBEDDED, Heads, head_numbers
from fhecost.progress import Progress, silent
from fhecost.quantization import FloatArray, IntArray, check_bits

DEFAULT_TEXT = (
    "The clerk who keeps the books of the bank need never learn what the numbers in them mean."
)
_EXTRAS = {"gpt2": ("torch", "transformers"), "concrete": ("concrete",)}
_USUAL_HEADS = 4
"""As many as the embedded model's layers have."""


@dataclass(frozen=True)
class HeadRequest:
    """Quantized heads of one layer of a GPT-2-shaped model on a sentence.

    ``heads`` are numbers from 0, or ``all``; ``text`` is a sentence of fhecost's own when None;
    ``bits`` are those that the variant usually has when None; ``variant`` is one, its name, or a
    file of settings.
    """

    model: str = EMBEDDED
    text: str | None = None
    layer: int = 0
    heads: Heads = (0,)
    seq_len: int = 6
    bits: int | None = None
    variant: str | Variant = "fast"


def expected_seconds(request: HeadRequest) -> float:
    """About how long :func:`profile_heads` takes without the cache, for a progress bar.

    As seen on 2 cores: 5 s to load torch and a small model, 6 s to compile, more for longer inputs.
    """
    heads = _USUAL_HEADS if isinstance(request.heads, str) else len(request.heads)
    return 11.0 + 0.4 * min(request.seq_len, LARGEST_COUNT) * heads


@dataclass(frozen=True)
class LocatedHeads:
    """A request for heads whose model is there and has them: its ``folder``, ``shape``, numbers.

    ``bits`` is the width that the heads get.
    """

    request: HeadRequest
    folder: Path
    shape: ModelShape
    numbers: tuple[int, ...]
    variant: Variant
    bits: int

    def by(self, variant: Variant, bits: int) -> LocatedHeads:
        """The same heads quantized in another way; ``bits`` count where the variant has none."""
        return replace(
            self,
            variant=variant,
            bits=variant.bits or bits,
            request=replace(self.request, variant=variant.name),
        )

    @property
    def model_name(self) -> str:
        """The folder's name, not its path: a profile is made to be shared."""
        embedded = self.request.model == EMBEDDED
        return EMBEDDED if embedded else self.folder.resolve().name

    @property
    def circuit_name(self) -> str:
        """What the circuit is called."""
        return f"{self.variant.name} head{'s' if len(self.numbers) > 1 else ''}"

    @property
    def text(self) -> str:
        """The sentence that goes in."""
        return DEFAULT_TEXT if self.request.text is None else self.request.text

    @property
    def description(self) -> CircuitDescription:
        """What a circuit profile says of the heads."""
        return CircuitDescription(
            model=self.model_name,
            model_sha256=fingerprint(self.folder),
            scope="head",
            variant=self.variant.name,
            layer=self.request.layer,
            heads=self.numbers,
            seq_len=self.request.seq_len,
            bits=self.bits,
            width=self.shape.width,
            head_dimension=self.shape.dimension,
            text=self.text,
        )

    def through_cache(self, make: Callable[[], CircuitProfile], made: str) -> CircuitProfile:
        """The profile from the cache, or what ``make`` gives, which is kept.

        ``made`` tells profiles apart that were made in different ways.
        """
        said = self.description.model_dump_json()
        own_text = int(self.request.text is not None)
        return through_cache({"made": made, "said": said, "own_text": own_text}, make)


def locate(request: HeadRequest) -> LocatedHeads:
    """Find the model of ``request`` and the heads in it.

    Raises:
        UsageError: there is no such model, or the request doesn't fit it.
    """
    folder = find_model(request.model)
    shape = model_shape(folder)
    variant = variant_named(request.variant)
    bits = variant.width(request.bits)
    check_bits(bits)
    check_layer(shape, request.layer)
    check_seq_len(shape, request.seq_len)
    return LocatedHeads(request, folder, shape, head_numbers(shape, request.heads), variant, bits)


@dataclass(frozen=True)
class HeadCircuit:
    """Quantized heads, the inputs that set their bit widths, and the compiled Concrete circuit.

    ``inputset`` holds the integers of the calibration sentences and, last, of the request's text.
    ``circuit`` is None where nothing is compiled.
    """

    located: LocatedHeads
    heads: QuantizedHeads
    inputset: tuple[IntArray, ...]
    circuit: Any = None

    def compiled(self, *, simulation_only: bool = False) -> HeadCircuit:
        """These heads with their circuit, to be run or only simulated.

        Raises:
            ImpossibleError: Concrete can't compile it.
        """
        heads = self.heads
        circuit = compile_circuit(
            heads.run, self.inputset, heads.rules, simulation_only=simulation_only
        )
        return replace(self, circuit=circuit)

    def profile(self) -> CircuitProfile:
        """The circuit profile of the compiled heads."""
        from fhecost.concrete.reader import profile_circuit

        return profile_circuit(
            self.circuit,
            name=self.located.circuit_name,
            source="compiled Concrete circuit",
            description=self.located.description,
            packages=("concrete-python", "numpy", "torch", "transformers"),
        )


def compile_heads(request: HeadRequest, progress: Progress = silent) -> HeadCircuit:
    """Quantize and compile the heads of ``request``.

    Raises:
        UsageError: the request doesn't fit the model, the text is too short, or an extra of
            fhecost isn't installed.
        ImpossibleError: nothing is left of the head at this width, or Concrete can't compile it.
    """
    _check_installed()
    quantized = quantize_heads(locate(request), progress)
    progress("compiling the circuit")
    return quantized.compiled()


def _check_installed() -> None:
    """Raise a UsageError that names all extras at once which compiling heads of a model takes."""
    missing = [
        extra
        for extra, packages in _EXTRAS.items()
        if any(find_spec(package) is None for package in packages)
    ]
    if missing:
        raise UsageError(
            f"compiling heads of a model needs: pip install 'fhecost[{','.join(missing)}]'; the "
            "closed form of a shape (widths stated) needs neither"
        )


@dataclass(frozen=True)
class FloatHeads:
    """What heads are quantized from: their weights, and what reaches them.

    ``calibration`` holds the hidden states of the calibration sentences, shape (sentences, L, E),
    ``text`` those of the request's text, shape (L, E).
    """

    weights: tuple[AttentionHead, ...]
    calibration: FloatArray
    text: FloatArray

    @classmethod
    def of(cls, located: LocatedHeads, model: GPT2) -> FloatHeads:
        """The heads that ``located`` names in ``model``, which is loaded.

        Raises:
            UsageError: the text is too short.
        """
        request = located.request
        return cls(
            tuple(model.head(request.layer, head) for head in located.numbers),
            model.hidden_states(calibration_windows(model, request.seq_len), request.layer),
            model.hidden_states([_tokens(model, located)], request.layer)[0],
        )

    @classmethod
    def at(cls, located: LocatedHeads, progress: Progress = silent) -> FloatHeads:
        """The heads that ``located`` names; those asked for last are known, however quantized.

        Raises:
            UsageError: the model can't be loaded, or the text is too short.
        """
        request = located.request
        words = (fingerprint(located.folder), request.layer, located.numbers, request.seq_len)
        asked = tuple(map(repr, (*words, request.text)))
        if asked not in _KNOWN:
            kept = kept_floats(asked)
            if kept is None:
                progress("loading the model")
                model = load_gpt2(located.folder)
                progress("calibrating the heads")
                made = cls.of(located, model)
                keep_floats(asked, made.weights, made.calibration, made.text)
            else:
                made = cls(*kept)
            _KNOWN.clear()
            _KNOWN[asked] = made
        return _KNOWN[asked]

    def quantized(self, located: LocatedHeads) -> HeadCircuit:
        """These heads quantized as ``located`` says, with scales that calibration gives.

        Raises:
            ImpossibleError: nothing is left of a head at this width.
        """
        heads = located.variant.quantize(self.weights, self.calibration, located.bits)
        seen = [*self.calibration, self.text]
        return HeadCircuit(located, heads, tuple(map(heads.quantize_input, seen)))


_KNOWN: dict[tuple[str, ...], FloatHeads] = {}
"""The heads that were asked for last: an estimate asks for them quantized in several ways."""


def quantize_heads(located: LocatedHeads, progress: Progress = silent) -> HeadCircuit:
    """Load the model and quantize its heads.

    Raises:
        UsageError: the text is too short.
        ImpossibleError: nothing is left of a head at this width.
    """
    return FloatHeads.at(located, progress).quantized(located)


def profile_heads(
    request: HeadRequest, progress: Progress = silent, *, use_cache: bool = True
) -> CircuitProfile:
    """The circuit profile of the head of ``request``, compiled or from the cache.

    Raises:
        UsageError: the request is out of range or doesn't fit the model.
        ImpossibleError: the head can't be compiled.
    """
    located = locate(request)

    def compiled() -> CircuitProfile:
        circuit = compile_heads(request, progress)
        progress("reading the profile")
        return circuit.profile()

    return located.through_cache(compiled, "compiled") if use_cache else compiled()


def _tokens(model: GPT2, located: LocatedHeads) -> list[int]:
    """The first tokens of the text, as many as are asked for."""
    length, own = located.request.seq_len, located.request.text is not None
    text = model.tokens(located.text)
    if len(text) < length and not own:
        text = [*text, *sentence_windows(model, calibration_sentences(), length)[0]]
    if len(text) < length:
        has = "1 token" if len(text) == 1 else f"{len(text)} tokens"
        raise FieldError("text", f"has {has}, at least {length} are needed")
    return text[:length]
