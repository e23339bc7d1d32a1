"""The fast head run in FHE on judged sentences: ``python decrypted.py [BITS [RUNS]]``.

How far what is decrypted is off the float head, beside the clear integers, beside those with
lookups going wrong as they may, and beside Concrete's simulation: embedded model, layer 0, head 0,
6 tokens.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import numpy as np

from fhecost.accuracy.judge import run_in_clear
from fhecost.accuracy.sweep import evaluation_sentences
from fhecost.concrete.compilation import compile_circuit
from fhecost.gpt2.model import calibration_windows, find_model, load_gpt2, sentence_windows
from fhecost.heads.attention_head import attend
from fhecost.heads.variants import QuantizedHeads, variant_named
from fhecost.quantization import FloatArray, IntArray

SEQ_LEN = 6


def error(heads: QuantizedHeads, outputs: Sequence[IntArray], exact: FloatArray) -> float:
    """Root mean square of what decrypted heads are off, over that of the float head's output."""
    values = np.stack([heads.dequantize_output(np.asarray(one))[0] for one in outputs])
    return float(np.sqrt(((values - exact) ** 2).sum() / (exact**2).sum()))


def main(bits: int = 2, runs: int = 50) -> None:
    """Compile, make keys, run and compare."""
    model = load_gpt2(find_model("embedded"))
    calibration = model.hidden_states(calibration_windows(model, SEQ_LEN), 0)
    judged = model.hidden_states(sentence_windows(model, evaluation_sentences(), SEQ_LEN), 0)[:runs]
    head = model.head(0, 0)
    heads = variant_named("fast").quantize([head], calibration, bits)
    inputset = [heads.quantize_input(hidden) for hidden in calibration]
    exact = attend(head, judged)
    clear, noisy = run_in_clear(heads, judged), run_in_clear(heads, judged, inputset)
    simulated = compile_circuit(heads.run, inputset, heads.rules, simulation_only=True)
    circuit = compile_circuit(heads.run, inputset, heads.rules)
    circuit.keygen()
    decrypted, seconds = [], []
    for values in clear.inputs:
        start = time.perf_counter()
        decrypted.append(np.asarray(circuit.encrypt_run_decrypt(values)))
        seconds.append(time.perf_counter() - start)
    for name, outputs in (
        ("clear", clear.outputs),
        ("clear, lookups wrong as they may be", noisy.outputs),
        ("simulated by Concrete", [simulated.simulate(values) for values in clear.inputs]),
        ("decrypted", decrypted),
    ):
        same = np.mean([np.mean(a == b) for a, b in zip(outputs, clear.outputs, strict=True)])
        print(
            f"{name}: error {error(heads, outputs, exact):.3f}, {same:.0%} of the integers as clear"
        )
    print(f"{len(judged)} runs, median {np.median(seconds):.2f} s with encryption and decryption")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
