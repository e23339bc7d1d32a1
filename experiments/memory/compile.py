"""What compiling takes of memory: ``python experiments/memory/compile.py``.

Compiles circuits of different size, each in a process of its own, and writes ``compile.json``
beside this file: the most that the process held before it began to compile and until it was done,
and what of the circuit can be known before. Memory doesn't depend on what else the machine does.
"""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from fhecost.concrete.compilation import compile_circuit, import_concrete
from fhecost.concrete.reader import profile_circuit
from fhecost.gpt2.head_circuit import HeadRequest, locate, quantize_heads
from fhecost.heads.attention_head import AttentionHead
from fhecost.heads.parameter_rules import USUAL
from fhecost.heads.variants import variant_named
from fhecost.measurement.machine import peak_memory_bytes

Made = tuple[Callable[..., Any], list[Any], Any]


def embedded(**request: Any) -> Made:
    """Heads of the embedded model, as ``fhecost measure head`` compiles them."""
    made = quantize_heads(locate(HeadRequest(**request)))
    return made.heads.run, list(made.inputset), made.heads.rules


def drawn(variant: str, bits: int, seq_len: int, width: int, dimension: int = 64) -> Made:
    """A head of drawn weights and states, of a model of that width."""
    generator = np.random.default_rng(3)
    head = AttentionHead(
        weight=generator.normal(0, 0.1, (width, 3 * dimension)),
        bias=generator.normal(0, 0.1, 3 * dimension),
        layer_weight_magnitude=0.4,
    )
    states = generator.normal(0, 1, (64, seq_len, width))
    heads = variant_named(variant).quantize([head], states, bits)
    return heads.run, [heads.quantize_input(one) for one in states], heads.rules


def plain(function: Callable[[Any], Any], shape: tuple[int, ...], largest: int) -> Made:
    """A circuit that is no head."""
    generator = np.random.default_rng(7)
    samples = [generator.integers(0, largest + 1, shape) for _ in range(50)]
    return lambda x, operators: function(x), [*samples, np.full(shape, largest)], USUAL


def _product(values: Any) -> Any:
    return values @ np.resize(np.array([1, -1, 0, 1, 2, -2, -1]), (784, 10))


def _network(values: Any) -> Any:
    first = np.resize(np.array([1, -1, 0, 1, 1, 0, -1]), (256, 128))
    second = np.resize(np.array([1, 0, -1, 1, -1]), (128, 10))
    return np.maximum(np.maximum(values @ first, 0) // 64 @ second, 0)


def _chain(values: Any) -> Any:
    state = values
    for _ in range(40):
        state = (3 * state + values) // 4
    return state


def _largest(values: Any) -> Any:
    return np.max(values).reshape((1,))


def _pairs(values: Any) -> Any:
    """Every value beside every other, so that values are far more than inputs."""
    beside = values.reshape((-1, 1)) + values.reshape((1, -1))
    return np.sum(2 * beside + 1).reshape((1,))


CASES: dict[str, Callable[[], Made]] = {
    "product 784 by 10": lambda: plain(_product, (784,), 7),
    "network 256-128-10": lambda: plain(_network, (256,), 3),
    "chain of 40 lookups": lambda: plain(_chain, (12,), 7),
    "largest of 64": lambda: plain(_largest, (64,), 7),
    "all pairs of 500": lambda: plain(_pairs, (500,), 7),
    "all pairs of 1,500": lambda: plain(_pairs, (1500,), 7),
    "all pairs of 3,000": lambda: plain(_pairs, (3000,), 7),
    "fast, 4 tokens, 2 bits": lambda: embedded(variant="fast", seq_len=4, bits=2),
    "fast, 12 tokens, 3 bits": lambda: embedded(variant="fast", seq_len=12, bits=3),
    "compact, 4 tokens, 3 bits": lambda: embedded(variant="compact", seq_len=4, bits=3),
    "compact, 16 tokens, 3 bits": lambda: embedded(variant="compact", seq_len=16, bits=3),
    "reference, 4 tokens, 4 bits": lambda: embedded(variant="reference", seq_len=4, bits=4),
    "reference of width 768, 6 tokens": lambda: drawn("reference", 4, 6, 768),
    "fast of width 768, 32 tokens": lambda: drawn("fast", 2, 32, 768),
}


def measured(name: str) -> dict[str, Any]:
    """One case in this process."""
    import_concrete()
    run, inputset, rules = CASES[name]()
    before, start = peak_memory_bytes(), time.perf_counter()
    circuit = compile_circuit(run, inputset, rules)
    after, seconds = peak_memory_bytes(), time.perf_counter() - start
    profile = profile_circuit(circuit, name=name)
    return {
        "name": name,
        "before_bytes": before,
        "peak_memory_bytes": after,
        "seconds": seconds,
        "input_elements": int(np.asarray(inputset[0]).size),
        "inputset": len(inputset),
        "nodes": len(circuit.graph.graph.nodes),
        "value_elements": sum(node.output.size for node in circuit.graph.graph.nodes),
        "mlir_bytes": len(circuit.mlir),
        "pbs": profile.pbs_count,
        "max_bit_width": profile.max_bit_width,
        "table_entries": sum(
            use.count * 2 ** (stage.bit_width or 0) for stage in profile.stages for use in stage.pbs
        ),
    }


def main(*names: str) -> None:
    """Measure every case, or those named, that isn't there, and write them down."""
    path = Path(__file__).parent / "compile.json"
    cases = json.loads(path.read_text())["cases"] if path.is_file() else []
    for name in names or CASES:
        if name in {case["name"] for case in cases}:
            continue
        command = [sys.executable, __file__, "--case", name]
        told = subprocess.run(command, check=False, text=True, stdout=subprocess.PIPE)
        if told.returncode:
            print(f"{name}: not compiled", flush=True)
            continue
        case = json.loads(told.stdout.splitlines()[-1])
        cases.append(case)
        print(case, flush=True)
        content = {
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {
                one: importlib.metadata.version(one) for one in ("concrete-python", "numpy")
            },
            "cases": cases,
        }
        path.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--case"]:
        print(json.dumps(measured(sys.argv[2])))
    else:
        main(*sys.argv[1:])
