"""Compile heads of settings drawn at random: ``python compile_settings.py FILE.json.gz [COUNT]``.

Ranks, widths, shifts, error rates, lengths and shapes of the fast variant's circuit, each drawn by
the number of its case, so that anyone gets the same. ``tests/test_fast.py`` holds the closed form
to what was compiled; cases from 72 on restrict the parameters. A case takes 2 to 20 s.
"""

from __future__ import annotations

import gzip
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from compile_grid import random_heads

from fhecost.concrete.compilation import compile_circuit
from fhecost.concrete.reader import profile_circuit
from fhecost.errors import ImpossibleError
from fhecost.heads.compact import CompactHeads
from fhecost.heads.head_quantization import HeadSetting
from fhecost.heads.parameter_rules import ParameterRules
from fhecost.heads.saved_setting import SavedSetting
from fhecost.quantization import IntArray
from fhecost.search.restrictions import RESTRICTIONS

HEADS = 4
RESTRICTED_FROM = 72


def drawn_case(number: int) -> dict[str, Any]:
    """Case ``number``: a setting for each head, the width E of the input, L, and how many heads."""
    draw = np.random.default_rng(number)

    def among(*values: Any) -> Any:
        return values[int(draw.integers(len(values)))]

    width, seq_len, heads = among(16, 32, 64), int(draw.integers(1, 9)), among(1, 1, 1, 2)
    settings = tuple(
        HeadSetting(
            input_bits=among(3, 4, 5),
            product_bits=int(draw.integers(8, 13)),
            score_bits=among(2, 3, 4),
            value_bits=among(3, 4, 5),
            exponential_bits=among(3, 4, 5),
            kept_bits=among(4, 5, 6),
            kept_score_bits=among(4, 5, 6),
            score_rank=among(None, 2, 3, 4),
            value_rank=among(None, 2, 4, 6),
            score_sum_bits=among(None, 5, 6, 7, 8),
            value_shift=int(draw.integers(0, 5)),
            exact=False,
        )
        for _ in range(heads)
    )
    rules = ParameterRules(among(1e-2, 3e-3, 1e-3, 1e-4), by_noise=among(*[False] * 7, True))
    if number >= RESTRICTED_FROM:
        rules = replace(rules, restriction=among(*RESTRICTIONS))
    saved = SavedSetting(settings=settings, rules=rules)
    return {"setting": saved.model_dump(mode="json"), "width": width, "seq_len": seq_len}


def quantized_case(case: dict[str, Any]) -> tuple[CompactHeads, IntArray]:
    """The heads of a case, quantized, and the quantized sentences."""
    saved = SavedSetting.model_validate(case["setting"])
    heads, hidden = random_heads(case["width"], HEADS, case["seq_len"])
    quantized = saved.quantize(heads[: len(saved.settings)], hidden, saved.bits)
    return quantized, np.stack([quantized.quantize_input(sentence) for sentence in hidden])


def main() -> None:
    """Compile as many cases as the command line says, those that can be."""
    path, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 92
    compiled: list[dict[str, Any]] = []
    for number in range(count):
        case = drawn_case(number)
        try:
            quantized, sentences = quantized_case(case)
            circuit = compile_circuit(quantized.run, list(sentences), quantized.rules)
        except ImpossibleError as error:
            print(number, error, flush=True)
            continue
        profile = profile_circuit(circuit, name=f"fast {number}")
        compiled.append({"case": case, "profile": json.loads(profile.model_dump_json())})
        print(number, case["width"], case["seq_len"], profile.pbs_count, flush=True)
    content = json.dumps({"compiled": compiled}).encode()
    path.write_bytes(gzip.compress(content, mtime=0))


if __name__ == "__main__":
    main()
