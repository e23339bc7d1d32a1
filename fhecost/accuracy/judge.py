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
from fhecost.errors import UsageError
from fhecost.gpt2 import attention_interface
from fhecost.gpt2.model import GPT2, calibration_windows, find_model, load_gpt2, sentence_windows
from fhecost.heads.noise import NoisyOperators
from fhecost.heads.operators import ClearOperators
from fhecost.heads.variants import QuantizedHeads, Variant, variant_named
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
def loaded_model(name: str) -> GPT2:
    """The model called ``name``, loaded once."""
    return load_gpt2(find_model(name))


@dataclass(frozen=True)
class Windows:
    """A window of tokens for each judged sentence, and what floats make of it.

    ``hidden`` is what reaches the heads' layer, ``calibration`` the same of calibration sentences,
    ``logits`` what the float model says.
    """

    tokens: IntArray
    hidden: FloatArray
    calibration: FloatArray
    logits: FloatArray


@lru_cache(maxsize=4)
def windows_of(name: str, sentences: tuple[str, ...], seq_len: int, layer: int) -> Windows:
    """The windows of ``seq_len`` tokens on which heads of ``layer`` are judged, made once."""
    gpt2 = loaded_model(name)
    windows = sentence_windows(gpt2, sentences, seq_len)
    tokens = np.asarray(windows)
    return Windows(
        tokens,
        gpt2.hidden_states(windows, layer),
        gpt2.hidden_states(calibration_windows(gpt2, seq_len), layer),
        _logits(gpt2.model, tokens),
    )


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


def judge(
    name: str, sentences: Sequence[str], setting: Setting, variant: Variant | None = None
) -> AccuracyRow:
    """The row of ``setting``: the model called ``name`` on ``sentences``.

    ``variant`` stands for the one that ``setting`` names.

    Raises:
        ImpossibleError: nothing is left of a head at this width, or Concrete can't compile it.
    """
    gpt2 = loaded_model(name)
    windows = windows_of(name, tuple(sentences), setting.seq_len, setting.layer)
    floats = [gpt2.head(setting.layer, head) for head in setting.heads]
    variant = variant or variant_named(setting.variant)
    heads = variant.quantize(floats, windows.calibration, setting.bits)
    p_error = heads.rules.p_error if setting.mode == "disable" else None

    def inputset() -> list[IntArray]:
        return [heads.quantize_input(hidden) for hidden in windows.calibration]

    ran = run_in_clear(heads, windows.hidden, None if p_error is None else inputset())
    outputs = ran.outputs
    simulated: dict[str, Any] = {} if p_error is None else {"p_error": p_error}
    if setting.mode == "simulate":
        outputs, simulated = _simulate(heads, inputset(), ran)
    # The model runs with these in place of its heads, window by window.
    values = map(heads.dequantize_output, outputs)
    attention_interface.install(
        gpt2.model, setting.layer, setting.heads, lambda _: next(values), projected=heads.projected
    )
    try:
        logits = _logits(gpt2.model, windows.tokens)
    finally:
        attention_interface.remove(gpt2.model, setting.layer)
    agreement = reduce(add, map(compare, windows.logits, logits, windows.tokens))
    shares: dict[str, float] = {}
    for k in TOP_K:
        low, high = agreement.interval(k)
        shares |= {f"top{k}": agreement.share(k), f"top{k}_low": low, f"top{k}_high": high}
    return AccuracyRow(
        **{**asdict(setting), "heads": setting.heads_text, "variant": variant.name},
        sentences=len(windows.tokens),
        positions=agreement.positions,
        **shares,
        logit_rmse=agreement.logit_rmse,
        float_perplexity=agreement.float_perplexity,
        quantized_perplexity=agreement.quantized_perplexity,
        inputs=int(windows.hidden.size),
        saturated=heads.saturated(windows.hidden),
        exceeded=ran.exceeded,
        **simulated,
    )


def _simulate(
    heads: QuantizedHeads, inputset: Sequence[IntArray], clear: ClearRun
) -> tuple[list[IntArray], dict[str, Any]]:
    """Concrete's simulation with the circuit's own p_error, and what it got wrong."""
    from fhecost.concrete.compilation import compile_circuit

    circuit = compile_circuit(heads.run, inputset, heads.rules, simulation_only=True)
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


def _logits(model: Any, tokens: IntArray) -> FloatArray:
    """Logits of windows, shape (windows, L) to (windows, L, vocabulary).

    Raises:
        UsageError: the model's weights let them overflow.
    """
    import torch

    with torch.no_grad():
        parts = [
            model(
                input_ids=torch.from_numpy(tokens[start : start + _BATCH]), use_cache=False
            ).logits.numpy()
            for start in range(0, len(tokens), _BATCH)
        ]
    logits: FloatArray = np.concatenate(parts)
    if not np.isfinite(logits).all():
        raise UsageError("model: its logits are infinite or no number: weights overflow float32")
    return logits
