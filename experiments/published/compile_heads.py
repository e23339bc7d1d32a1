"""Compile the heads whose FHE times are published: ``python compile_heads.py FOLDER``.

FOLDER holds GPT-2 124M's first layer, as ``experiments/runs/flagship.py`` says, which also draws
the hidden states. One head and all twelve, 7 bits, 8 tokens, lookups rounded to 6 bits, an error of
1e-5 a circuit. The circuit profiles go into ``circuits/``; ``runs.json`` says which published time
each is of.
"""

from __future__ import annotations

import sys
from pathlib import Path

from safetensors.numpy import load_file

from fhecost.circuits.profile import save_profile
from fhecost.concrete.compilation import compile_circuit
from fhecost.concrete.reader import profile_circuit
from fhecost.heads.attention_head import AttentionHead
from fhecost.heads.variants import variant_named

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "runs"))

from flagship import normalized_states  # noqa: E402

SEQ_LEN, BITS, HEADS = 8, 7, 12


def main(folder: Path) -> None:
    """Compile both circuits and keep their profiles."""
    weights = load_file(folder / "attn_layer0.safetensors")
    states = normalized_states(weights, SEQ_LEN)
    for count, name in ((1, "gpt2-head"), (HEADS, "gpt2-12-heads")):
        heads = [
            AttentionHead.from_layer(
                weights["h.0.attn.c_attn.weight"], weights["h.0.attn.c_attn.bias"], HEADS, index
            )
            for index in range(count)
        ]
        quantized = variant_named("reference-rounded").quantize(heads, states, BITS)
        sentences = [quantized.quantize_input(sentence) for sentence in states]
        profile = profile_circuit(
            compile_circuit(quantized.run, sentences),
            name=f"GPT-2 124M, layer 0, {count} head{'s' if count > 1 else ''}",
            description={
                "model": "GPT-2 124M", "variant": "reference-rounded", "head_dimension": 64,
                "seq_len": SEQ_LEN, "bits": BITS, "heads": ", ".join(map(str, range(count))),
            },
        )  # fmt: skip
        save_profile(profile, HERE / "circuits" / f"{name}.json")
        print(f"{name}: {profile.pbs_count:,} PBS, complexity {profile.complexity:.3g}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} FOLDER")
    main(Path(sys.argv[1]))
