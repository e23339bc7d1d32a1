"""Judge quantized heads on sentences that calibration never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, reduce
from operator import add
from typing import Any

import numpy as np

from fhecost.accuracy.agreement import TOP_K, compare
from fhecost.accuracy.records import AccuracyRow
from fhecost.circuits.description import KeylessMode
from fhecost.gpt2 import attention_interface
from fhecost.gpt2.model import GPT2, calibration_windows, find_model, load_gpt2, sentence_windows
from fhecost.heads.noise import NoisyOperators
from fhecost.heads.operators import ClearOperators
from fhecost.heads.variants import QuantizedHeads, variant_named
from fhecost.quantization import FloatArray, IntArray

_BATCH = 32


@dataclass(frozen=True)
class Setting:
    """One row to be: heads of a layer, their width, the length of the windows, and the mode."""

    layer: int
    heads: tuple[int, ...]
    bits: int
    seq_len: int
    mode: KeylessMode
    variant: str

    @property
    def heads_text(self) -> str:
        """The heads with commas."""
        return ", ".join(map(str, self.heads))


@lru_cache(maxsize=1)
def _model(name: str) -> GPT2:
    return load_gpt2(find_model(name))


@lru_cache(maxsize=4)
def _judged(
    name: str, sentences: tuple[str, ...], seq_len: int, layer: int
) -> tuple[IntArray, FloatArray, FloatArray]:
    """A window for each sentence, what reaches the layer, and the float model's logits."""
    gpt2 = _model(name)
    windows = sentence_windows(gpt2, sentences, seq_len)
    tokens = np.asarray(windows)
    return tokens, gpt2.hidden_states(windows, layer), _logits(gpt2.model, tokens)


def judge(name: str, sentences: Sequence[str], setting: Setting) -> AccuracyRow:
    """The row of ``setting``: the model called ``name`` on ``sentences``.

    Raises:
        ImpossibleError: nothing is left of a head at this width, or Concrete can't compile it.
    """
    gpt2 = _model(name)
    tokens, hidden_states, float_logits = _judged(
        name, tuple(sentences), setting.seq_len, setting.layer
    )
    calibration = gpt2.hidden_states(calibration_windows(gpt2, setting.seq_len), setting.layer)
    floats = [gpt2.head(setting.layer, head) for head in setting.heads]
    variant = variant_named(setting.variant)
    heads = variant.quantize(floats, calibration, setting.bits)
    p_error = heads.tolerance.p_error if setting.mode == "disable" else None
    operators = ClearOperators()
    if p_error is not None:
        seen = map(heads.quantize_input, calibration)
        operators = NoisyOperators.of(heads.run, seen, p_error)
    integers = [heads.quantize_input(hidden) for hidden in hidden_states]
    outputs = [np.asarray(heads.run(values, operators)) for values in integers]
    simulated: dict[str, Any] = {} if p_error is None else {"p_error": p_error}
    if setting.mode == "simulate":
        inputset = [heads.quantize_input(hidden) for hidden in calibration]
        outputs, simulated = _simulate(heads, inputset, integers, outputs)
    # The model runs with these in place of its heads, window by window.
    values = map(heads.dequantize_output, outputs)
    attention_interface.install(
        gpt2.model, setting.layer, setting.heads, lambda _: next(values), projected=heads.projected
    )
    try:
        logits = _logits(gpt2.model, tokens)
    finally:
        attention_interface.remove(gpt2.model, setting.layer)
    agreement = reduce(add, map(compare, float_logits, logits, tokens))
    shares: dict[str, float] = {}
    for k in TOP_K:
        low, high = agreement.interval(k)
        shares |= {f"top{k}": agreement.share(k), f"top{k}_low": low, f"top{k}_high": high}
    return AccuracyRow(
        **{**asdict(setting), "heads": setting.heads_text, "variant": variant.name},
        sentences=len(tokens),
        positions=agreement.positions,
        **shares,
        logit_rmse=agreement.logit_rmse,
        float_perplexity=agreement.float_perplexity,
        quantized_perplexity=agreement.quantized_perplexity,
        inputs=int(hidden_states.size),
        saturated=heads.saturated(hidden_states),
        exceeded=operators.total_exceeded,
        **simulated,
    )


def _simulate(
    heads: QuantizedHeads,
    inputset: Sequence[IntArray],
    integers: Sequence[IntArray],
    clear: Sequence[IntArray],
) -> tuple[list[IntArray], dict[str, Any]]:
    """Concrete's simulation with the circuit's own p_error, and what it got wrong."""
    from fhecost.concrete.compilation import compile_circuit

    circuit = compile_circuit(heads.run, inputset, heads.tolerance, simulation_only=True)
    outputs = [np.asarray(circuit.simulate(values)) for values in integers]
    wrong = [int(np.count_nonzero(a != b)) for a, b in zip(outputs, clear, strict=True)]
    pbs_count = int(circuit.programmable_bootstrap_count)
    lookups = pbs_count * len(integers)
    return outputs, {
        "pbs_count": pbs_count,
        "p_error": float(circuit.p_error),
        "global_p_error": float(circuit.statistics["global_p_error"]),
        "lookups": lookups,
        # What the circuit as a whole admits, times the number of times that it ran.
        "expected_wrong_lookups": float(circuit.statistics["global_p_error"]) * len(integers),
        "wrong_values": sum(wrong),
        "wrong_sentences": sum(count > 0 for count in wrong),
    }


def _logits(model: Any, tokens: IntArray) -> FloatArray:
    """Logits of windows, shape (windows, L) to (windows, L, vocabulary)."""
    import torch

    with torch.no_grad():
        parts = [
            model(
                input_ids=torch.from_numpy(tokens[start : start + _BATCH]), use_cache=False
            ).logits.numpy()
            for start in range(0, len(tokens), _BATCH)
        ]
    return np.concatenate(parts)
