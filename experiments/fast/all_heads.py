"""Every head of the embedded model beside its reference: ``python all_heads.py``, in a minute."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from fhecost.accuracy.judge import run_in_clear
from fhecost.accuracy.sweep import evaluation_sentences
from fhecost.circuits.description import CircuitDescription
from fhecost.closed_form.circuit import predicted_profile
from fhecost.closed_form.held import Sampled
from fhecost.closed_form.plan_operators import plan_of
from fhecost.gpt2.model import calibration_windows, find_model, load_gpt2, sentence_windows
from fhecost.heads.attention_head import AttentionHead, attend
from fhecost.heads.fast import SHIPPED
from fhecost.heads.saved_setting import SavedSetting
from fhecost.heads.variants import QuantizedHeads, variant_named
from fhecost.quantization import FloatArray

SEQ_LEN, REFERENCE_BITS = 6, 4
VALUE_RANKS = (8, 16, 24, 40, 48)


def candidates() -> Iterator[tuple[str, SavedSetting]]:
    """The shipped settings, and the one of 3 bits with more value columns."""
    for bits, (setting, rules) in SHIPPED.items():
        yield f"fast {bits}", SavedSetting(settings=(setting,), rules=rules)
    setting, rules = SHIPPED[3]
    for rank in VALUE_RANKS:
        wider = replace(setting, value_rank=rank)
        yield f"v={rank}", SavedSetting(settings=(wider,), rules=rules)


def judged(
    heads: QuantizedHeads, head: AttentionHead, calibration: FloatArray, judged_on: FloatArray
) -> tuple[float, float]:
    """The error of quantized heads on hidden states, with wrong lookups, and their complexity."""
    inputset = [heads.quantize_input(hidden) for hidden in calibration]
    ran = run_in_clear(heads, judged_on, inputset)
    values = np.stack([heads.dequantize_output(output)[0] for output in ran.outputs])
    exact = attend(head, judged_on)
    error = float(np.sqrt(((values - exact) ** 2).sum() / (exact**2).sum()))
    plan = plan_of(heads.run, Sampled(np.stack(inputset)))
    profile = predicted_profile(plan, "head", CircuitDescription(), rules=heads.rules, solve=True)
    return error, profile.complexity


def row(head: AttentionHead, calibration: FloatArray, judged_on: FloatArray) -> str:
    """What one head's reference and its candidates come to."""
    quantized = variant_named("reference").quantize([head], calibration, REFERENCE_BITS)
    known, work = judged(quantized, head, calibration, judged_on)
    text = f"reference {known:.2f} {work:.2e}"
    for name, saved in candidates():
        error, complexity = judged(
            saved.quantize([head], calibration, 0), head, calibration, judged_on
        )
        mark = "*" if error <= known else " "
        text += f" | {name} {error:.2f}{mark} 1/{work / complexity:.0f}"
    return text


def main() -> None:
    """Print a line a head; a star is on what errs no more than the reference."""
    model = load_gpt2(find_model("embedded"))
    for layer in range(model.shape.layers):
        calibration = model.hidden_states(calibration_windows(model, SEQ_LEN), layer)
        windows = sentence_windows(model, evaluation_sentences(), SEQ_LEN)
        judged_on = model.hidden_states(windows, layer)
        for number in range(model.shape.heads):
            found = row(model.head(layer, number), calibration, judged_on)
            print(f"layer {layer} head {number}: {found}", flush=True)


if __name__ == "__main__":
    main()
