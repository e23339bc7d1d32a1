"""Hold a fresh calibration to ten circuits that nothing was ever fitted to or judged by before.

Usage: python experiments/runs/after_calibration.py MACHINE.yaml RECORDS.jsonl [NAME ...]

Run it directly after ``fhecost calibrate -o MACHINE.yaml``, with nothing else at work. Ten circuits
of five kinds: fast heads at settings of no other record, compact and reference heads of other
shapes, shallow circuits that are no heads, and circuits without lookups. Each is compiled,
predicted by the machine, run in FHE in a process of its own and added to RECORDS.jsonl; then a
table says how far the predictions were off. Some minutes in all; each run takes seconds.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measure import JUDGED, HeadCase, _compiled_heads

from fhecost.concrete.compilation import compile_circuit, import_concrete
from fhecost.concrete.reader import profile_circuit
from fhecost.gpt2.model import calibration_windows, find_model, load_gpt2
from fhecost.hardware.library import find_hardware
from fhecost.heads.head_quantization import HeadSetting
from fhecost.heads.operators import ClearOperators
from fhecost.heads.parameter_rules import ParameterRules
from fhecost.heads.saved_setting import SavedSetting
from fhecost.measurement.run_record import RunRecord, append_record
from fhecost.measurement.timed_run import RunOptions, measure_circuit

SEED = 260411
"""Of weights and inputs; no other record's."""
WARM_RUNS, SHORT_RUNS = 3, 9


@dataclass(frozen=True)
class Compiled:
    """A circuit, its arguments, what it must decrypt to, and how often it is run warm."""

    circuit: Any
    arguments: list[Any]
    expected: Any
    warm_runs: int = WARM_RUNS


def fast_head(
    layer: int, head: int, seq_len: int, setting: HeadSetting, p_error: float
) -> Compiled:
    """A whole head of the embedded model by a setting of its own."""
    gpt2 = load_gpt2(find_model("embedded"))
    hidden = gpt2.hidden_states(calibration_windows(gpt2, seq_len), layer)
    judged = gpt2.hidden_states([gpt2.tokens(JUDGED)[:seq_len]], layer)[0]
    saved = SavedSetting(settings=(setting,), rules=ParameterRules(p_error))
    heads = saved.quantize([gpt2.head(layer, head)], hidden, saved.bits)
    integers = heads.quantize_input(judged)
    inputs = [*(heads.quantize_input(sentence) for sentence in hidden), integers]
    circuit = compile_circuit(heads.run, inputs, heads.rules)
    return Compiled(circuit, [integers], np.asarray(heads.run(integers, ClearOperators())))


def cut_head(variant: str, dimension: int, seq_len: int, bits: int, head: int) -> Compiled:
    """A head on the first dimensions of its queries, keys and values."""
    case = HeadCase(variant, dimension, seq_len, bits, heads=(head,))
    circuit, integers, expected = _compiled_heads(case)
    return Compiled(circuit, [integers], expected)


def traced(
    function: Callable[..., Any], *arguments: tuple[tuple[int, ...], int], warm_runs: int
) -> Compiled:
    """A function of integer tensors, each a shape and its bits, at Concrete's own defaults."""
    fhe = import_concrete()
    random = np.random.default_rng(SEED)

    def drawn() -> tuple[Any, ...]:
        return tuple(random.integers(0, 2**bits, shape) for shape, bits in arguments)

    inputs = [drawn() for _ in range(20)]
    inputs.append(tuple(np.full(shape, 2**bits - 1) for shape, bits in arguments))
    names = ["x", "y"][: len(arguments)]
    circuit = fhe.Compiler(function, dict.fromkeys(names, "encrypted")).compile(
        inputs if len(arguments) > 1 else [one for (one,) in inputs]
    )
    return Compiled(circuit, list(inputs[0]), circuit.graph(*inputs[0]), warm_runs)


def weights(*shape: int) -> Any:
    """Small integers."""
    return np.random.default_rng(SEED + len(shape)).integers(-6, 7, shape)


W40, W300 = weights(40, 6), weights(300, 3)


def smallest(x: Any) -> Any:
    """The smallest of six, by comparisons one after the other."""
    return np.min(x).reshape((1,))


def distance(x: Any, y: Any) -> Any:
    """Sum of absolute differences."""
    return np.sum(np.abs(x - y)).reshape((1,))


def polynomial(x: Any) -> Any:
    """A lookup of every value, and another one of the sum of two."""
    looked_up = (x * x + 3 * x) // 8
    return (looked_up[:10] + looked_up[10:]) % 5


CIRCUITS: dict[str, Callable[[], Compiled]] = {
    "fast: layer 1 head 2, L=5": lambda: fast_head(
        1, 2, 5,
        HeadSetting(input_bits=5, product_bits=13, score_bits=4, value_bits=4, exponential_bits=4,
                    kept_bits=5, kept_score_bits=5, score_rank=5, value_rank=6, score_sum_bits=6,
                    value_shift=2, exact=False),
        5e-3,
    ),
    "fast: layer 0 head 3, L=7": lambda: fast_head(
        0, 3, 7,
        HeadSetting(input_bits=4, product_bits=12, score_bits=3, value_bits=3, exponential_bits=3,
                    kept_bits=4, kept_score_bits=4, score_rank=3, value_rank=5, score_sum_bits=5,
                    value_shift=1, exact=False),
        2e-3,
    ),
    "compact: d=4 L=3 2 bits, head 3": lambda: cut_head("compact", 4, 3, 2, 3),
    "compact: d=6 L=2 2 bits, head 1": lambda: cut_head("compact", 6, 2, 2, 1),
    "reference: d=6 L=2 3 bits, head 2": lambda: cut_head("reference", 6, 2, 3, 2),
    "reference: d=5 L=3 3 bits, head 2": lambda: cut_head("reference", 5, 3, 3, 2),
    "shallow: smallest of 6": lambda: traced(smallest, ((6,), 3), warm_runs=WARM_RUNS),
    "shallow: sum of differences": lambda: traced(
        distance, ((12,), 3), ((12,), 3), warm_runs=WARM_RUNS
    ),
    "no lookups: product 40 by 6": lambda: traced(
        lambda x: x @ W40 - 9, ((5, 40), 4), warm_runs=SHORT_RUNS
    ),
    "no lookups: product 300 by 3": lambda: traced(
        lambda x: 2 - x @ W300, ((300,), 3), warm_runs=SHORT_RUNS
    ),
}  # fmt: skip


def measured(path: Path, records: Path, names: list[str]) -> Iterator[RunRecord]:
    """The records of the circuits called ``names``, or of all."""
    machine = find_hardware(path.stem, [path.parent])
    for name in names or CIRCUITS:
        start = time.monotonic()
        made = CIRCUITS[name]()
        profile = profile_circuit(made.circuit, name=name)
        record = measure_circuit(
            made.circuit,
            made.arguments,
            made.expected,
            hardware=[machine],
            options=RunOptions(warm_runs=made.warm_runs),
            profile=profile,
        )
        append_record(records, record)
        spent_s = time.monotonic() - start
        print(f"{name}: {spent_s:.0f} s, {record.wrong_values} wrong", file=sys.stderr, flush=True)
        yield record


def main(machine: str, records: str, *names: str) -> None:
    """Run, and print the table."""
    print(f"{'circuit':34} {'predicted':>10} {'measured':>10} {'warm':>7} {'keys':>7} {'cold':>7} "
          f"{'in range':>8} {'alone':>6}")  # fmt: skip
    errors: dict[str, list[float]] = {"warm": [], "keys": [], "cold": []}
    for record in measured(Path(machine), Path(records), list(names)):
        (said,), times = record.predictions, record.times
        off = {"warm": said.warm_s / times.warm_median_s - 1}
        # Keys of circuits without lookups are nothing that a machine predicts.
        if said.preparation is not None and any(stage.pbs for stage in record.profile.stages):
            off["keys"] = said.preparation.keygen_s / times.keygen_s - 1
            off["cold"] = said.preparation.cold_s / times.cold_s - 1
        for quantity, error in off.items():
            errors[quantity].append(abs(error))
        within = "yes" if said.warm_low_s <= times.warm_median_s <= said.warm_high_s else "no"
        alone = "no" if record.not_alone else "yes"
        shown = " ".join(f"{off[one]:+7.1%}" if one in off else f"{'-':>7}" for one in errors)
        print(f"{record.name:34} {said.warm_s:8.3f} s {times.warm_median_s:8.3f} s "
              f"{shown} {within:>8} {alone:>6}", flush=True)  # fmt: skip
    for quantity, found in errors.items():
        if found:
            print(f"{quantity}: {len(found)} circuits, median {statistics.median(found):.1%}, "
                  f"worst {max(found):.1%}")  # fmt: skip


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(f"usage: {sys.argv[0]} MACHINE.yaml RECORDS.jsonl [NAME ...]")
    main(*sys.argv[1:])
