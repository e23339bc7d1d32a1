"""Make the run records of this folder: ``python experiments/runs/measure.py FILE.jsonl [NAME …]``.

Every circuit is compiled, predicted, run in FHE in a process of its own and checked; its record is
added to FILE.jsonl. Circuits that the file already has a record of are left out, so a killed run
goes on where it stopped. None of them is used in any calibration: constants come from
``fhecost measure pbs`` alone. Leave the machine alone meanwhile.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fhecost.concrete.compilation import GLOBAL_P_ERROR, compile_circuit, import_concrete
from fhecost.concrete.reader import profile_circuit
from fhecost.gpt2.model import calibration_windows, find_model, load_gpt2
from fhecost.hardware.library import find_hardware
from fhecost.heads.attention_head import AttentionHead
from fhecost.heads.operators import ClearOperators
from fhecost.heads.variants import variant_named
from fhecost.measurement.run_record import append_record, load_records
from fhecost.measurement.timed_run import RunOptions, measure_circuit

JUDGED = "The captain folded the letter and put it back into his coat without a word."


@dataclass(frozen=True)
class HeadCase:
    """Heads of the embedded model's first layer, cut to their first ``dimension`` dimensions."""

    variant: str
    dimension: int
    seq_len: int
    bits: int
    heads: tuple[int, ...] = (0,)
    threads: int = 2

    @property
    def name(self) -> str:
        """What the record is called."""
        heads = "+".join(map(str, self.heads))
        return (
            f"{self.variant} d={self.dimension} L={self.seq_len} {self.bits} bits, heads {heads}, "
            f"{self.threads} threads"
        )


@dataclass(frozen=True)
class OtherCase:
    """A circuit that is no head: a function of one tensor."""

    title: str
    function: Callable[[Any], Any]
    shape: tuple[int, ...]
    largest: int
    threads: int = 2

    @property
    def name(self) -> str:
        """What the record is called."""
        return f"{self.title}, {self.threads} threads"


def _mlp(values: Any) -> Any:
    first = np.resize(np.array([1, -1, 0, 1, 1, 0, -1]), (16, 24))
    second = np.resize(np.array([1, 0, -1, 1, -1]), (24, 10))
    hidden = np.maximum(values @ first, 0) // 4
    return np.maximum(hidden @ second, 0)


def _convolution(values: Any) -> Any:
    fhe = import_concrete()
    weight = np.array([1, 2, 1, 2, 4, 2, 1, 2, 1]).reshape((1, 1, 3, 3))
    # Concrete's own operator inside a circuit, numpy's sums outside it.
    if isinstance(values, np.ndarray):
        rows, columns = values.shape[2] - 2, values.shape[3] - 2
        result = np.zeros((1, 1, rows, columns), dtype=np.int64)
        for row in range(3):
            for column in range(3):
                part = values[:, :, row : row + rows, column : column + columns]
                result = result + weight[0, 0, row, column] * part
    else:
        from concrete.fhe.extensions import conv

        result = fhe.conv(values, weight) if hasattr(fhe, "conv") else conv(values, weight)
    return result // 16


def _comparisons(values: Any) -> Any:
    return (values[:8] > values[8:]) + (values[:8] == values[8:])


def _sorting_step(values: Any) -> Any:
    return np.maximum(values[:12], values[12:])


def _products(values: Any) -> Any:
    return values[:10] * values[10:]


def _chain(values: Any) -> Any:
    state = values
    for _ in range(5):
        state = (3 * state + values) // 4
    return state


def _bits(values: Any) -> Any:
    return values[:8] & values[8:]


CASES: tuple[HeadCase | OtherCase, ...] = (
    HeadCase("compact", 4, 2, 3),
    HeadCase("compact", 4, 2, 3, threads=1),
    HeadCase("compact", 4, 8, 3),
    HeadCase("compact", 8, 4, 4),
    HeadCase("compact", 8, 4, 4, threads=1),
    HeadCase("compact", 8, 2, 5),
    HeadCase("compact", 4, 2, 6),
    HeadCase("compact", 16, 4, 3),
    HeadCase("compact", 16, 4, 3, threads=1),
    HeadCase("compact", 16, 2, 4),
    HeadCase("compact", 16, 3, 4, heads=(0, 1)),
    HeadCase("compact", 32, 2, 3),
    HeadCase("compact", 32, 3, 3, heads=(1, 2)),
    HeadCase("compact", 64, 2, 3),
    HeadCase("compact", 64, 2, 4),
    HeadCase("compact", 64, 4, 2),
    HeadCase("compact", 8, 6, 2),
    HeadCase("reference", 4, 2, 3, heads=(2,)),
    HeadCase("reference", 4, 4, 3, heads=(2,)),
    HeadCase("reference", 8, 2, 3, heads=(2,)),
    HeadCase("reference", 8, 3, 3, heads=(2,), threads=1),
    HeadCase("reference", 16, 2, 3, heads=(2,)),
    OtherCase("small MLP", _mlp, (2, 16), 7),
    OtherCase("small MLP", _mlp, (2, 16), 7, threads=1),
    OtherCase("convolution", _convolution, (1, 1, 8, 8), 7),
    OtherCase("comparisons", _comparisons, (16,), 15),
    OtherCase("maxima", _sorting_step, (24,), 31),
    OtherCase("products", _products, (20,), 7),
    OtherCase("convolution", _convolution, (1, 1, 8, 8), 7, threads=1),
    OtherCase("chain of lookups", _chain, (12,), 7),
    OtherCase("bitwise and", _bits, (16,), 15),
)


def measure(case: HeadCase | OtherCase, path: Path) -> None:
    """Run one case and add its record to ``path``."""
    circuit, judged, expected = (
        _compiled_heads(case) if isinstance(case, HeadCase) else _compiled(case)
    )
    description: dict[str, str | int | float] = {"threads": case.threads}
    if isinstance(case, HeadCase):
        description |= {
            "variant": case.variant,
            "head_dimension": case.dimension,
            "seq_len": case.seq_len,
            "bits": case.bits,
            "heads": ", ".join(map(str, case.heads)),
        }
    profile = profile_circuit(circuit, name=case.name, description=description)
    record = measure_circuit(
        circuit,
        [judged],
        expected,
        hardware=[find_hardware("epyc-zen4-2")],
        options=RunOptions(threads=case.threads),
        profile=profile,
    )
    append_record(path, record)
    before = record.predictions[0]
    print(
        f"{case.name}: keys {record.times.keygen_s:.1f} s, cold {record.times.cold_s:.2f} s, warm "
        f"{record.times.warm_median_s:.2f} s, predicted {before.warm_s:.2f} s "
        f"({before.warm_s / record.times.warm_median_s - 1:+.1%}), {record.wrong_values} wrong",
        flush=True,
    )


def _compiled_heads(case: HeadCase) -> tuple[Any, Any, Any]:
    gpt2 = load_gpt2(find_model("embedded"))
    windows = calibration_windows(gpt2, case.seq_len)
    hidden = gpt2.hidden_states(windows, 0)
    judged = gpt2.hidden_states([gpt2.tokens(JUDGED)[: case.seq_len]], 0)[0]
    floats = [_cut(gpt2.head(0, head), case.dimension) for head in case.heads]
    heads = variant_named(case.variant).quantize(floats, hidden, case.bits)
    integers = heads.quantize_input(judged)
    inputset = [*(heads.quantize_input(sentence) for sentence in hidden), integers]
    circuit = compile_circuit(heads.run, inputset)
    return circuit, integers, np.asarray(heads.run(integers, ClearOperators()))


def _cut(head: AttentionHead, dimension: int) -> AttentionHead:
    """The head on the first ``dimension`` dimensions of its queries, keys and values."""
    kept = np.concatenate([part * head.dimension + np.arange(dimension) for part in range(3)])
    return AttentionHead(
        weight=head.weight[:, kept],
        bias=head.bias[kept],
        layer_weight_magnitude=head.layer_weight_magnitude,
    )


def _compiled(case: OtherCase) -> tuple[Any, Any, Any]:
    fhe = import_concrete()
    generator = np.random.default_rng(7)
    samples = [generator.integers(0, case.largest + 1, case.shape) for _ in range(50)]
    samples.append(np.full(case.shape, case.largest))
    configuration = fhe.Configuration(
        global_p_error=GLOBAL_P_ERROR, dump_artifacts_on_unexpected_failures=False
    )
    function = case.function

    def circuit(values: Any) -> Any:
        return function(values)

    compiled = fhe.Compiler(circuit, {"values": "encrypted"}).compile(
        samples, configuration=configuration
    )
    return compiled, samples[0], np.asarray(function(samples[0]))


def main(path: Path, names: list[str]) -> None:
    """Measure the cases that ``path`` doesn't have; only those that contain one of ``names``."""
    done = {record.name for record in load_records(path)} if path.is_file() else set()
    for case in CASES:
        if case.name not in done and (not names or any(name in case.name for name in names)):
            measure(case, path)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(f"usage: {sys.argv[0]} FILE.jsonl [NAME …]")
    main(Path(sys.argv[1]), sys.argv[2:])
