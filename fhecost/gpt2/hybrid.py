"""GPT-2 models of which some attention heads are quantized, and may run encrypted.

The chosen heads of one layer go through the quantized operators of a variant; everything else is
the float model of transformers, untouched. Heads are calibrated on fhecost's own sentences when the
model is made, never on what it is then given.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, get_args

import numpy as np

from fhecost.circuits.description import CircuitDescription, FheMode
from fhecost.circuits.profile import CircuitProfile
from fhecost.concrete.compilation import GLOBAL_P_ERROR, compile_circuit
from fhecost.errors import FieldError, UsageError
from fhecost.files import AnyPath
from fhecost.gpt2 import attention_interface
from fhecost.gpt2.model import (
    GPT2,
    calibration_windows,
    check_layer,
    check_seq_len,
    find_model,
    load_gpt2,
)
from fhecost.heads.operators import ClearOperators
from fhecost.heads.saved import load_heads, save_heads
from fhecost.heads.variants import QuantizedHeads, variant_named
from fhecost.models.shape import EMBEDDED, Heads, head_numbers
from fhecost.quantization import FloatArray, IntArray, check_bits

CALIBRATION_LENGTH = 32


@dataclass
class Usage:
    """What the quantized heads have seen since they were made, in values.

    ``saturated`` inputs lay outside the calibrated range and were clipped; ``exceeded`` sums did
    not fit the bits of their accumulator.
    """

    sentences: int = 0
    inputs: int = 0
    saturated: int = 0
    operators: ClearOperators = field(default_factory=ClearOperators)

    @property
    def exceeded(self) -> int | None:
        """Sums that did not fit their accumulator: a circuit computes them wrong.

        None where nothing has run in mode ``disable``, or the variant counts none.
        """
        return self.operators.total_exceeded


class MultiHeadsQGPT2Model:
    """A GPT-2 with several quantized heads in one layer.

    ``model`` is the ``GPT2LMHeadModel`` of transformers; calling this object calls it.
    ``last_run_s`` is how long the quantized heads took on the last sentence: encryption, run and
    decryption in mode ``execute``.

    Args:
        gpt2: the loaded model; :meth:`from_pretrained` loads one by name.
        n_bits: width of the quantized tensors; what the variant usually has when None.
        layer: from 0.
        heads: which heads, from 0, or ``all``; when left out all, or head 0 of a single-head model.
        variant: which quantized circuit.
        calibration_length: tokens of the windows that the scales are calibrated on; best as long as
            the sentences that the model will see.
        quantization: a file that :meth:`save_quantization` wrote, instead of calibrating.
    """

    def __init__(
        self,
        gpt2: GPT2,
        *,
        n_bits: int | None = None,
        layer: int = 0,
        heads: Heads | None = None,
        variant: str = "compact",
        calibration_length: int = CALIBRATION_LENGTH,
        quantization: AnyPath | None = None,
    ) -> None:
        chosen = variant_named(variant)
        n_bits = chosen.width(n_bits)
        check_bits(n_bits)
        check_layer(gpt2.shape, layer)
        self.heads = head_numbers(gpt2.shape, "all" if heads is None else heads)
        check_seq_len(gpt2.shape, calibration_length)
        self.gpt2, self.model, self.tokenizer = gpt2, gpt2.model, gpt2.tokenizer
        self.layer, self.n_bits, self.variant = layer, n_bits, chosen.name
        self.any_length = chosen.any_length
        self.usage = Usage()
        self.last_run_s: float | None = None
        self._mode: FheMode = "disable"
        self._circuit: Any = None
        self._circuit_length = 0
        self._simulation_only = False
        if quantization is None:
            windows = calibration_windows(gpt2, calibration_length)
            floats = [gpt2.head(layer, head) for head in self.heads]
            with attention_interface.floating_point(self.model):
                hidden = gpt2.hidden_states(windows, layer)
            self.quantized: QuantizedHeads = chosen.quantize(floats, hidden, n_bits)
        else:
            self.quantized = load_heads(Path(quantization), self._about())
        attention_interface.install(
            self.model, layer, self.heads, self._attend, projected=self.quantized.projected
        )

    @classmethod
    def from_pretrained(cls, name_or_folder: str = EMBEDDED, **options: Any) -> Self:
        """Load a model and quantize heads of one layer.

        Args:
            name_or_folder: ``embedded``, a folder, or a Hugging Face name.
            options: as of the class itself.

        Raises:
            UsageError: no GPT-2, or a layer, head, width, variant or file that isn't there.
            ImpossibleError: nothing is left of a head at this width.
        """
        return cls(load_gpt2(find_model(name_or_folder)), **options)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """The model's forward pass, as transformers defines it."""
        return self.model(*arguments, **options)

    def generate(self, *arguments: Any, **options: Any) -> Any:
        """``GPT2LMHeadModel.generate``, without the cache: quantized heads see whole sentences."""
        return self.model.generate(*arguments, **{"use_cache": False, **options})

    def set_fhe_mode(self, mode: FheMode) -> None:
        """Choose how the quantized heads run: in the clear, simulated, or encrypted.

        Raises:
            UsageError: no such mode, or the model isn't compiled.
        """
        if mode not in get_args(FheMode):
            raise UsageError(f"FHE mode {mode!r}: must be {', '.join(get_args(FheMode))}")
        if mode != "disable" and self._circuit is None:
            raise UsageError(f"FHE mode {mode!r}: compile the model first, with compile(input_ids)")
        if mode == "execute" and self._simulation_only:
            raise UsageError(f"FHE mode {mode!r}: the model is compiled to be simulated only")
        self._mode = mode

    def inputset(self, length: int) -> list[IntArray]:
        """The calibration sentences in windows of ``length`` tokens, as the heads read them.

        Raises:
            UsageError: the length doesn't fit the model.
        """
        check_seq_len(self.gpt2.shape, length)
        windows = calibration_windows(self.gpt2, length)
        # In the chosen mode they would run on a circuit, and count as usage.
        with attention_interface.floating_point(self.model):
            hidden = self.gpt2.hidden_states(windows, self.layer)
        return [self.quantized.quantize_input(sentence) for sentence in hidden]

    def compile(
        self,
        input_ids: Any,
        *,
        global_p_error: float = GLOBAL_P_ERROR,
        simulation_only: bool = False,
    ) -> Any:
        """Compile the quantized heads for sentences as long as ``input_ids``, shape (..., L).

        Only the length counts: bit widths come from the calibration sentences. A shorter sentence
        is filled up, which changes nothing: no token sees those after it.

        Args:
            input_ids: of any sentence of that length.
            global_p_error: how often any lookup of a run may err, where the variant leaves it open.
            simulation_only: a circuit to be simulated and not run, which takes half of the time.

        Returns:
            the ``concrete.fhe.Circuit``.

        Raises:
            UsageError: the length doesn't fit the model, or Concrete isn't installed.
            ImpossibleError: Concrete can't compile the heads at these widths.
        """
        length = int(np.shape(input_ids)[-1])
        self._circuit = compile_circuit(
            self.quantized.run,
            self.inputset(length),
            self.quantized.rules,
            global_p_error=global_p_error,
            simulation_only=simulation_only,
        )
        self._circuit_length, self._simulation_only = length, simulation_only
        return self._circuit

    @property
    def circuit_name(self) -> str:
        """What a circuit of the heads is called."""
        return f"{self.variant} heads"

    def description(self, length: int) -> CircuitDescription:
        """What a circuit of the heads on ``length`` tokens computes."""
        return CircuitDescription(
            model=self.gpt2.shape.name,
            scope="head",
            variant=self.variant,
            layer=self.layer,
            heads=self.heads,
            seq_len=length,
            bits=self.n_bits,
            width=self.gpt2.shape.width,
            head_dimension=self.gpt2.shape.dimension,
        )

    def profile(self) -> CircuitProfile:
        """The circuit profile of the compiled heads: what an estimate needs.

        Raises:
            UsageError: the model isn't compiled.
        """
        from fhecost.concrete.reader import profile_circuit

        if self._circuit is None:
            raise UsageError("compile the model first, with compile(input_ids)")
        return profile_circuit(
            self._circuit,
            name=self.circuit_name,
            description=self.description(self._circuit_length),
        )

    def save_quantization(self, path: AnyPath) -> None:
        """Keep the quantized heads, their scales and widths included, in a JSON file."""
        save_heads(self.quantized, Path(path), self._about())

    def _about(self) -> dict[str, Any]:
        """What the quantized heads are made of."""
        shape = self.gpt2.shape
        weights = [self.gpt2.head(self.layer, head).weight for head in self.heads]
        return {
            "variant": self.variant,
            "n_bits": self.n_bits,
            "layer": self.layer,
            "heads": list(self.heads),
            "width": shape.width,
            "weights_sha256": hashlib.sha256(np.stack(weights).tobytes()).hexdigest(),
        }

    def to_float(self) -> Any:
        """Undo the quantization: the float ``GPT2LMHeadModel``, as transformers loaded it."""
        attention_interface.remove(self.model, self.layer)
        return self.model

    def _attend(self, hidden: FloatArray) -> FloatArray:
        """The heads on one sentence, (L, E) to (heads, L, d), in the chosen mode."""
        integers = self.quantized.quantize_input(hidden)
        self.usage.sentences += 1
        self.usage.inputs += hidden.size
        self.usage.saturated += self.quantized.saturated(hidden)
        start = time.perf_counter()
        outputs = self._run(integers)
        self.last_run_s = time.perf_counter() - start
        return self.quantized.dequantize_output(outputs)

    def _run(self, integers: IntArray) -> IntArray:
        if self._mode == "disable":
            clear: IntArray = self.quantized.run(integers, self.usage.operators)
            return clear
        length, missing = len(integers), self._circuit_length - len(integers)
        if missing < 0 or (missing and not self.any_length):
            raise UsageError(
                f"the sentence has {length} tokens, the heads are compiled for "
                f"{self._circuit_length}; compile again with a sentence of that length"
            )
        # Tokens that are there once more hold nothing that the circuit wasn't made for.
        filled = np.pad(integers, ((0, missing), (0, 0)), mode="edge")
        run = (
            self._circuit.simulate
            if self._mode == "simulate"
            else self._circuit.encrypt_run_decrypt
        )
        outputs: IntArray = np.asarray(run(filled))
        return outputs[:length]


class SingleHeadQGPT2Model(MultiHeadsQGPT2Model):
    """A GPT-2 with one quantized head."""

    def __init__(self, gpt2: GPT2, *, heads: Heads | None = None, **options: Any) -> None:
        chosen = head_numbers(gpt2.shape, (0,) if heads is None else heads)
        if len(chosen) != 1:
            raise FieldError("heads", "a single-head model quantizes one head", chosen)
        super().__init__(gpt2, heads=chosen, **options)
