"""Run the first head of GPT-2 124M in FHE: ``python flagship.py FOLDER FILE [VARIANT BITS …]``.

FOLDER holds ``attn_layer0.safetensors``: the first layer's attention, its LayerNorm and the
position embeddings, under Hugging Face's names. Token embeddings aren't among them, so tokens are
drawn at the spread of GPT-2's own (standard deviation 0.14, seed 0); the real position embeddings
are added and the real LayerNorm is applied. Layer 0, head 0, 6 tokens; 4 bits of the reference
variant unless another is named. The estimate, for a machine of the library or of a YAML file, is in
the record before the run starts.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from fhecost.concrete.compilation import compile_circuit
from fhecost.concrete.reader import profile_circuit
from fhecost.hardware.library import find_hardware
from fhecost.heads.attention_head import AttentionHead
from fhecost.heads.operators import ClearOperators
from fhecost.heads.variants import variant_named
from fhecost.measurement.run_record import append_record
from fhecost.measurement.timed_run import RunOptions, measure_circuit
from fhecost.quantization import FloatArray

SEQ_LEN, HEADS, SENTENCES = 6, 12, 64
TOKEN_SPREAD = 0.14


def normalized_states(weights: dict[str, FloatArray], seq_len: int = SEQ_LEN) -> FloatArray:
    """What the first layer's attention reads, shape (sentences, L, E)."""
    generator = np.random.default_rng(0)
    positions = weights["wpe.weight"][:seq_len]
    states = generator.normal(0, TOKEN_SPREAD, (SENTENCES, *positions.shape)) + positions
    centred = states - states.mean(-1, keepdims=True)
    normalized = centred / np.sqrt(states.var(-1, keepdims=True) + 1e-5)
    result: FloatArray = normalized * weights["h.0.ln_1.weight"] + weights["h.0.ln_1.bias"]
    return result


def main(
    folder: Path,
    path: Path,
    variant: str = "reference",
    bits: int = 4,
    machine: str = "epyc-zen4-2",
    warm_runs: int = 2,
) -> None:
    """Compile, predict, run, check and record."""
    weights = load_file(folder / "attn_layer0.safetensors")
    head = AttentionHead.from_layer(
        weights["h.0.attn.c_attn.weight"], weights["h.0.attn.c_attn.bias"], HEADS, 0
    )
    states = normalized_states(weights)
    quantized = variant_named(variant).quantize([head], states, bits)
    integers = quantized.quantize_input(states[0])
    circuit = compile_circuit(
        quantized.run,
        [quantized.quantize_input(sentence) for sentence in states],
        quantized.rules,
    )
    profile = profile_circuit(
        circuit,
        name="GPT-2 124M, layer 0, head 0",
        description={
            "model": "GPT-2 124M", "variant": variant, "head_dimension": 64,
            "seq_len": SEQ_LEN, "bits": bits, "heads": "0", "threads": 2,
        },
    )  # fmt: skip
    print(f"{profile.pbs_count:,} PBS, complexity {profile.complexity:.3g}", flush=True)
    record = measure_circuit(
        circuit,
        [integers],
        np.asarray(quantized.run(integers, ClearOperators())),
        hardware=[find_hardware(Path(machine).stem, [Path(machine).parent])],
        options=RunOptions(threads=2, warm_runs=warm_runs),
        profile=profile,
        progress=lambda step: print(step, flush=True),
        expect=lambda seconds: print(f"expected: {seconds:.0f} s in all", flush=True),
    )
    append_record(path, record)
    times, before = record.times, record.predictions[0]
    print(
        f"keys {times.keygen_s:.0f} s, cold {times.cold_s:.0f} s, warm {times.warm_median_s:.0f} s,"
        f" predicted {before.warm_s:.0f} s ({before.warm_s / times.warm_median_s - 1:+.1%}), "
        f"{record.wrong_values} of {record.values} values wrong"
    )


if __name__ == "__main__":
    if len(sys.argv) not in (3, 5, 6):
        sys.exit(f"usage: {sys.argv[0]} FOLDER FILE.jsonl [VARIANT BITS [MACHINE]]")
    named = sys.argv[3:]
    main(
        Path(sys.argv[1]),
        Path(sys.argv[2]),
        *(named[:1] or ["reference"]),
        int(named[1]) if named else 4,
        *named[2:],
    )
