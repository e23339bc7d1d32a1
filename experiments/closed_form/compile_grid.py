"""Compile a grid of circuits: ``python compile_grid.py FOLDER [--variants V,…] [--bits …] …``.

Each circuit's profile goes into a file of FOLDER, which may be stopped and resumed. Heads are drawn
at random (seed 0) at the scale of a trained one, so that anyone gets the same circuits.
``make_table.py`` then turns FOLDER into what fhecost predicts parameter sets from, and into what
its counts are tested against. The whole grid takes some hours on one core.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from fhecost.concrete.compilation import compile_circuit
from fhecost.concrete.reader import profile_circuit
from fhecost.errors import ImpossibleError
from fhecost.heads.attention_head import AttentionHead
from fhecost.heads.variants import QuantizedHeads, variant_named
from fhecost.quantization import FloatArray, IntArray

SENTENCES = 48


def random_heads(width: int, count: int, seq_len: int) -> tuple[list[AttentionHead], FloatArray]:
    """The ``count`` heads of a random layer, and hidden states of shape (sentences, L, E)."""
    generator = np.random.default_rng(0)
    weight = generator.normal(0, 1.4 / np.sqrt(width), (width, 3 * width))
    bias = generator.normal(0, 0.2, 3 * width)
    output = generator.normal(0, 1.2 / np.sqrt(width), (width, width))
    output_bias = generator.normal(0, 0.1, width)
    dimension = width // count
    heads = [
        replace(
            AttentionHead.from_layer(weight, bias, count, head),
            output_weight=output[head * dimension : (head + 1) * dimension],
            output_bias=output_bias,
        )
        for head in range(count)
    ]
    hidden = generator.normal(0, 1, (SENTENCES, seq_len, width))
    hidden = hidden - hidden.mean(-1, keepdims=True)
    return heads, hidden / hidden.std(-1, keepdims=True)


def quantized_case(
    variant: str, taken: int, width: int, count: int, seq_len: int, bits: int
) -> tuple[QuantizedHeads, IntArray]:
    """The first ``taken`` of ``count`` random heads, quantized, and the quantized sentences."""
    heads, hidden = random_heads(width, count, seq_len)
    quantized = variant_named(variant).quantize(heads[:taken], hidden, bits)
    return quantized, np.stack([quantized.quantize_input(sentence) for sentence in hidden])


def compile_case(
    folder: Path, variant: str, taken: int, width: int, count: int, seq_len: int, bits: int
) -> None:
    """Compile one circuit and write what came of it, unless it is there already."""
    case = f"{variant}_{taken}_E{width}_H{count}_L{seq_len:02d}_b{bits}"
    path = folder / f"{case}.json"
    if path.exists():
        return
    start = time.perf_counter()
    content: dict[str, object]
    try:
        quantized, sentences = quantized_case(variant, taken, width, count, seq_len, bits)
        circuit = compile_circuit(quantized.run, list(sentences))
        said: dict[str, str | int | float] = {
            "variant": variant, "heads": taken, "width": width,
            "head_dimension": width // count, "seq_len": seq_len, "bits": bits,
        }  # fmt: skip
        profile = profile_circuit(circuit, name=case, description=said)
        content = {"case": said, "profile": json.loads(profile.model_dump_json())}
    except ImpossibleError as error:
        content = {"error": str(error)}
    content["seconds"] = time.perf_counter() - start
    scratch = path.with_suffix(".part")
    scratch.write_text(json.dumps(content))
    scratch.rename(path)
    print(case, f"{content['seconds']:.1f} s", content.get("error", ""), flush=True)


def main() -> None:
    """Compile what the options name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--variants", default="reference,compact,compact-attention")
    parser.add_argument("--lengths", default=",".join(map(str, range(1, 17))))
    parser.add_argument("--bits", default="2,3,4,5,6,7")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--heads", type=int, default=4)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    for seq_len in map(int, asked.lengths.split(",")):
        for bits in map(int, asked.bits.split(",")):
            for variant in asked.variants.split(","):
                taken = [asked.heads] if variant.endswith("attention") else [1, 2]
                for heads in taken:
                    compile_case(
                        asked.folder, variant, heads, asked.width, asked.heads, seq_len, bits
                    )


if __name__ == "__main__":
    main()
