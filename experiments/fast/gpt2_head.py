"""GPT-2 124M's first head beside its reference: ``python gpt2_head.py FOLDER``.

FOLDER and the inputs are as for ``../runs/flagship.py``; the first 64 of its drawn sentences
calibrate, as many others judge.
"""

from __future__ import annotations

import sys
from pathlib import Path

from all_heads import row
from safetensors.numpy import load_file

sys.path.insert(0, str(Path(__file__).parents[1] / "runs"))
import flagship

from fhecost.heads.attention_head import AttentionHead


def main(folder: Path) -> None:
    """Print the line of the head."""
    weights = load_file(folder / "attn_layer0.safetensors")
    head = AttentionHead.from_layer(
        weights["h.0.attn.c_attn.weight"], weights["h.0.attn.c_attn.bias"], flagship.HEADS, 0
    )
    calibrating, flagship.SENTENCES = flagship.SENTENCES, 2 * flagship.SENTENCES
    states = flagship.normalized_states(weights)
    print(row(head, states[:calibrating], states[calibrating:]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
