"""Judge quantized heads on sentences that calibration never saw."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from fhecost.accuracy.agreement import figures
from fhecost.accuracy.float_side import (
    float_side,
    judged_windows,
    loaded_model,
    windows_of_calibration,
)
from fhecost.accuracy.records import AccuracyRow
from fhecost.circuits.description import KeylessMode
from fhecost.gpt2 import attention_interface
from fhecost.gpt2.model import GPT2
from fhecost.gpt2.some_layers import Entering
from fhecost.heads.noise import NoisyOperators
from fhecost.heads.operators import ClearOperators
from fhecost.heads.variants import QuantizedHeads, Variant, variant_named
from fhecost.quantization import FloatArray, IntArray


@dataclass(frozen=True)
class Setting:
    """One row to be: heads of a layer, their width, the length of the windows, and the mode.

    ``layers`` are all layers, from first to last, whose heads are quantized at once; empty where
    ``layer`` is the only one.
    """

    layer: int
    heads: tuple[int, ...]
    bits: int
    seq_len: int
    mode: KeylessMode
    variant: str
    layers: tuple[int, ...] = ()

    @property
    def every_layer(self) -> tuple[int, ...]:
        """All layers, one or several."""
        return self.layers or (self.layer,)

    @property
    def heads_text(self) -> str:
        """The heads with commas."""
        return ", ".join(map(str, self.heads))

    @property
    def layers_text(self) -> str | None:
        """Several layers with commas, or from first to last; None for one."""
        if not self.layers:
            return None
        first, last = self.layers[0], self.layers[-1]
        together = len(self.layers) > 2 and self.layers == tuple(range(first, last + 1))
        return f"{first}..{last}" if together else ", ".join(map(str, self.layers))


@dataclass(frozen=True)
class ClearRun:
    """Quantized inputs, and the integers that heads make of them in the clear."""

    inputs: list[IntArray]
    outputs: list[IntArray]
    exceeded: int | None


def run_in_clear(
    heads: QuantizedHeads, hidden: FloatArray, inputset: Sequence[IntArray] | None = None
) -> ClearRun:
    """``heads`` on hidden states, (sentences, L, E).

    With an ``inputset``, which shows the types that lookups read, these go wrong as often as the
    heads tolerate.
    """
    p_error, operators = heads.rules.p_error, ClearOperators()
    if inputset is not None and p_error is not None:
        operators = NoisyOperators.of(heads.run, inputset, p_error)
    inputs = [heads.quantize_input(one) for one in hidden]
    outputs = [np.asarray(heads.run(values, operators)) for values in inputs]
    return ClearRun(inputs, outputs, operators.total_exceeded)


@dataclass(frozen=True)
class _Before:
    """What enters a layer on the judged and on the calibration windows, behind others.

    ``inputs``, ``saturated`` and ``exceeded`` are those of the quantized ones before it.
    """

    judged: Callable[[int], Entering]
    calibration: Callable[[int], Entering]
    inputs: int = 0
    saturated: int = 0
    exceeded: int | None = None


@dataclass(frozen=True)
class _Layer:
    """Quantized heads of one layer, what reaches them, shapes (windows, L, E), and their run.

    ``judged_entering`` and ``calibration_entering`` enter the layer, before its norm.
    """

    number: int
    numbers: tuple[int, ...]
    heads: QuantizedHeads
    calibration_entering: Entering
    calibration: FloatArray
    judged_entering: Entering
    judged: FloatArray
    inputset: list[IntArray]
    ran: ClearRun

    def added_to(self, before: _Before) -> _Before:
        """``before`` with what happened in this layer."""
        counts = [one for one in (before.exceeded, self.ran.exceeded) if one is not None]
        return replace(
            before,
            inputs=before.inputs + int(self.judged.size),
            saturated=before.saturated + self.heads.saturated(self.judged),
            exceeded=sum(counts) if counts else None,
        )

    @contextmanager
    def giving(self, gpt2: GPT2, outputs: Sequence[IntArray]) -> Iterator[None]:
        """Inside, the model has these heads, which give ``outputs``, window by window."""
        values = map(self.heads.dequantize_output, outputs)
        attention_interface.install(
            gpt2.model,
            self.number,
            self.numbers,
            lambda _: next(values),
            projected=self.heads.projected,
        )
        try:
            yield
        finally:
            attention_interface.remove(gpt2.model, self.number)


def judge(
    name: str, sentences: Sequence[str], setting: Setting, variant: Variant | None = None
) -> AccuracyRow:
    """The row of ``setting``: the model called ``name`` on ``sentences``.

    ``variant`` stands for the one that ``setting`` names. Of several layers, each is calibrated on
    what the quantized ones before it hand on.

    Raises:
        ImpossibleError: nothing is left of a head at this width, or Concrete can't compile it.
    """
    variant = variant or variant_named(setting.variant)
    text = tuple(sentences)
    *earlier, last = setting.every_layer
    before = _before(name, text, replace(setting, layers=tuple(earlier)), variant)
    layer = _quantized(name, setting, last, variant, before)
    p_error = layer.heads.rules.p_error if setting.mode == "disable" else None
    outputs = layer.ran.outputs
    simulated: dict[str, Any] = {} if p_error is None else {"p_error": p_error}
    if setting.mode == "simulate":
        outputs, simulated = _simulate(layer)
    gpt2 = loaded_model(name)
    with layer.giving(gpt2, outputs):
        final = layer.judged_entering.final(gpt2)
    counts = layer.added_to(before)
    return AccuracyRow(
        layer=setting.layer,
        layers=setting.layers_text,
        heads=setting.heads_text,
        bits=setting.bits,
        seq_len=setting.seq_len,
        mode=setting.mode,
        variant=variant.name,
        **figures(list(float_side(name, text, setting.seq_len).agreements(final))),
        inputs=counts.inputs,
        saturated=counts.saturated,
        exceeded=counts.exceeded,
        **simulated,
    )


def _before(name: str, text: tuple[str, ...], setting: Setting, variant: Variant) -> _Before:
    """What enters the layers behind the quantized ``layers`` of ``setting``, if any."""
    if setting.layers:
        return _behind(name, text, replace(setting, layer=setting.layers[0]), variant)
    judged = judged_windows(name, text, setting.seq_len)
    return _Before(judged.entering, windows_of_calibration(name, setting.seq_len).entering)


@lru_cache(maxsize=2)
def _behind(name: str, text: tuple[str, ...], setting: Setting, variant: Variant) -> _Before:
    """As :func:`_before`; the last is kept, and one layer more goes on from it."""
    *earlier, last = setting.layers
    before = _before(name, text, replace(setting, layers=tuple(earlier)), variant)
    layer = _quantized(name, setting, last, variant, before)
    gpt2 = loaded_model(name)
    with layer.giving(gpt2, layer.ran.outputs):
        judged = layer.judged_entering.through(gpt2, last + 1)
    known = layer.inputset if layer.heads.rules.p_error is not None else None
    with layer.giving(gpt2, run_in_clear(layer.heads, layer.calibration, known).outputs):
        calibration = layer.calibration_entering.through(gpt2, last + 1)
    return replace(
        layer.added_to(before),
        judged=lambda number: judged.through(gpt2, number),
        calibration=lambda number: calibration.through(gpt2, number),
    )


def _quantized(
    name: str, setting: Setting, number: int, variant: Variant, before: _Before
) -> _Layer:
    """The heads of layer ``number``, calibrated on what the layers ``before`` hand on, and run."""
    gpt2 = loaded_model(name)
    floats = [gpt2.head(number, head) for head in setting.heads]
    calibration_entering, judged_entering = before.calibration(number), before.judged(number)
    calibration = calibration_entering.normalized(gpt2)
    judged = judged_entering.normalized(gpt2)
    heads = variant.quantize(floats, calibration, setting.bits)
    inputset = [heads.quantize_input(hidden) for hidden in calibration]
    noisy = setting.mode == "disable" and heads.rules.p_error is not None
    ran = run_in_clear(heads, judged, inputset if noisy else None)
    return _Layer(
        number=number,
        numbers=setting.heads,
        heads=heads,
        calibration_entering=calibration_entering,
        calibration=calibration,
        judged_entering=judged_entering,
        judged=judged,
        inputset=inputset,
        ran=ran,
    )


def _simulate(layer: _Layer) -> tuple[list[IntArray], dict[str, Any]]:
    """Concrete's simulation with the circuit's own p_error, and what it got wrong."""
    from fhecost.concrete.compilation import compile_circuit

    heads, clear = layer.heads, layer.ran
    circuit = compile_circuit(heads.run, layer.inputset, heads.rules, simulation_only=True)
    outputs = [np.asarray(circuit.simulate(values)) for values in clear.inputs]
    wrong = [int(np.count_nonzero(a != b)) for a, b in zip(outputs, clear.outputs, strict=True)]
    pbs_count = int(circuit.programmable_bootstrap_count)
    lookups = pbs_count * len(outputs)
    return outputs, {
        "pbs_count": pbs_count,
        "p_error": float(circuit.p_error),
        "global_p_error": float(circuit.statistics["global_p_error"]),
        "lookups": lookups,
        # What the circuit as a whole admits, times the number of times that it ran.
        "expected_wrong_lookups": float(circuit.statistics["global_p_error"]) * len(outputs),
        "wrong_values": sum(wrong),
        "wrong_sentences": sum(count > 0 for count in wrong),
    }
