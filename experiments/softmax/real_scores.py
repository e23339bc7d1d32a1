"""Quantized softmaxes on the real scores of GPT-2 124M, against its own softmax.

``python experiments/softmax/real_scores.py FOLDER`` prints the table of docs/softmax.md. FOLDER
holds ex0.npz to ex4.npz: for each of five prompts of L tokens, of all 12 x 12 heads, ``raw`` (q.k
before scaling and masking) and ``softmax``, both of shape (12, 12, L, L).

Each head is calibrated on four prompts and judged on the fifth, five times over. Scores go in as
GPT-2 computed them: what quantized projections, queries and keys would add is left out, so the
table is about the softmax alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from fhecost.heads.attention_head import causal_mask
from fhecost.heads.compact import KEPT_BITS, WIDER
from fhecost.heads.compact_circuit import CompactHead, largest_exponential
from fhecost.heads.head_quantization import SPARE, best_shift
from fhecost.heads.operators import ClearOperators
from fhecost.heads.reference import Stages, quantized_softmax
from fhecost.quantization import FloatArray, Quantizer, calibrate
from fhecost.report.columns import Table, column, numbers
from fhecost.report.render import markdown_table

HEAD_DIMENSION = 64
SHORTEST = 6
"""Tokens of the shortest prompt; longer ones are cut to it for calibration, not for judging."""
FINE_BITS = 24
"""Bits of the integers that stand for the scores before they are rounded: as good as real ones."""

Softmax = Callable[[FloatArray], FloatArray]
"""From scaled scores, not masked, to probabilities, both of shape (L, L)."""


@dataclass(frozen=True)
class Prompt:
    """Scaled scores and softmax of all heads on one prompt, shapes (heads, L, L)."""

    scores: FloatArray
    softmax: FloatArray


@dataclass(frozen=True)
class Errors:
    """What a quantized softmax differs by from the exact one, over all heads and prompts.

    ``mean`` and ``p95`` are of the absolute errors of single probabilities j <= i. Total variation
    is of a row, the first ones left out: they have one probability. It is the most by which any
    set of tokens gets too much or too little, so it holds for rows that don't sum to one, and is 1
    for a row of zeros. ``empty`` is the share of such rows.
    """

    mean: float
    p95: float
    row_mean: float
    row_p95: float
    row_worst: float
    empty: float


def read_prompts(folder: Path) -> list[Prompt]:
    """The five prompts in ``folder``."""
    prompts = []
    for index in range(5):
        with np.load(folder / f"ex{index}.npz", allow_pickle=False) as content:
            length = content["raw"].shape[-1]
            scores = content["raw"].astype(np.float64).reshape(-1, length, length)
            softmax = content["softmax"].astype(np.float64).reshape(-1, length, length)
        prompts.append(Prompt(scores / np.sqrt(HEAD_DIMENSION), softmax))
    return prompts


def reference_softmax(calibration: FloatArray, n_bits: int) -> Softmax:
    """The reference variant's, with scales that cover ``calibration``, shape (prompts, L, L)."""
    mask_value = float(calibration.min())
    masked = np.where(causal_mask(calibration.shape[-1]), calibration, mask_value)
    exponentials = np.exp(masked - masked.max(axis=-1, keepdims=True))
    inverse = 1 / exponentials.sum(axis=-1, keepdims=True)
    quantizers = calibrate(
        {
            "scores": masked,
            "exponential": exponentials,
            "inverse": inverse,
            "attention_weights": exponentials * inverse,
        },
        n_bits,
    )

    def softmax(scores: FloatArray) -> FloatArray:
        length = scores.shape[-1]
        entering = np.where(causal_mask(length), scores, mask_value)
        scale = quantizers["scores"]
        integers = scale.quantize(entering) + scale.largest  # none is negative
        weights: FloatArray = quantizers["attention_weights"].dequantize(
            quantized_softmax(quantizers, integers, Stages(ClearOperators()))
        )
        return weights

    return softmax


def compact_softmax(calibration: FloatArray, n_bits: int, wider: int | None = None) -> Softmax:
    """The compact variant's: no maximum, one constant a head, the division in the clear.

    Args:
        calibration: scaled scores, shape (prompts, L, L).
        n_bits: the width asked for.
        wider: bits that the exponential has beyond it; the compact variant's when left out.
    """
    bits = n_bits + (WIDER["exponential"] if wider is None else wider)
    length = calibration.shape[-1]
    one = np.eye(length)
    allowed = np.where(causal_mask(length), calibration, 0.0)
    unit = 2 * SPARE * float(np.abs(allowed).max()) / (2 ** (FINE_BITS - 1) - 1)
    # Scores times one are the scores, weights times one the weights.
    shift = best_shift(1.0, calibration, one, one, largest_exponential(bits, spare=0))
    head = _softmax_of_compact_head(unit, shift, bits)
    kept_bits = max(KEPT_BITS, n_bits + 2)

    def softmax(scores: FloatArray) -> FloatArray:
        limit = 2 ** (FINE_BITS - 1) - 1
        doubled = np.clip(np.rint(scores / (unit / 2)), -limit, limit).astype(np.int64)
        rounded = ClearOperators().accumulator("scores", doubled, FINE_BITS, kept_bits)
        weights = head.exponential(rounded) * causal_mask(scores.shape[-1])
        probabilities: FloatArray = weights / np.maximum(weights.sum(-1, keepdims=True), 1)
        return probabilities

    return softmax


def _softmax_of_compact_head(unit: float, shift: float, bits: int) -> CompactHead:
    """A compact head of which only the exponential is used."""
    blank, none = Quantizer(scale=1.0, n_bits=2), np.zeros(0)
    return CompactHead(
        weight=np.zeros((1, 3), dtype=np.int64),
        column_scale=none,
        column_offset=none,
        query=blank,
        key=blank,
        value=blank,
        value_scale=none,
        value_mean=none,
        score_unit=unit,
        exponential_shift=shift,
        exponential_bits=bits,
        projection_bits=FINE_BITS,
        score_bits=FINE_BITS,
        attended_bits=FINE_BITS,
        rank=1,
    )


VARIANTS: Mapping[str, Callable[[FloatArray, int], Softmax]] = {
    "reference": reference_softmax,
    "compact": compact_softmax,
    "compact, one bit less": partial(compact_softmax, wider=0),
}
"""The last one has exponentials of the width asked for, as the reference has."""


def row_variation(got: FloatArray, exact: FloatArray) -> FloatArray:
    """Total variation of rows, shapes (L, L) to (L,)."""
    difference = got - exact
    too_much = np.maximum(difference, 0).sum(axis=-1)
    too_little = np.maximum(-difference, 0).sum(axis=-1)
    variation: FloatArray = np.maximum(too_much, too_little)
    return variation


def measure(
    prompts: Sequence[Prompt],
    make: Callable[[FloatArray, int], Softmax],
    n_bits: int,
    heads: Sequence[int] | None = None,
) -> Errors:
    """Judge what ``make`` makes of four prompts' scores on the fifth, five times over.

    ``heads`` are numbered layer by layer; all 144 when left out.
    """
    single: list[FloatArray] = []
    rows: list[FloatArray] = []
    empty: list[FloatArray] = []
    for judged in prompts:
        others = [prompt for prompt in prompts if prompt is not judged]
        lower = causal_mask(judged.scores.shape[-1])
        for head in range(len(judged.scores)) if heads is None else heads:
            calibration = np.stack([p.scores[head, :SHORTEST, :SHORTEST] for p in others])
            got = make(calibration, n_bits)(judged.scores[head])
            single.append(np.abs(got - judged.softmax[head])[lower])
            rows.append(row_variation(got, judged.softmax[head])[1:])
            empty.append((got.sum(axis=-1) == 0)[1:])
    of_single, of_rows = np.concatenate(single), np.concatenate(rows)
    return Errors(
        mean=float(of_single.mean()),
        p95=float(np.quantile(of_single, 0.95)),
        row_mean=float(of_rows.mean()),
        row_p95=float(np.quantile(of_rows, 0.95)),
        row_worst=float(of_rows.max()),
        empty=float(np.concatenate(empty).mean()),
    )


def main(folder: Path) -> None:
    """Print the table of docs/softmax.md."""
    prompts = read_prompts(folder)
    cases = [(n_bits, name) for n_bits in range(2, 9) for name in VARIANTS]
    found = [measure(prompts, VARIANTS[name], n_bits) for n_bits, name in cases]
    digits = "{:.4f}".format
    table = Table(
        numbers("bits", (n_bits for n_bits, _ in cases)),
        column("softmax", (name for _, name in cases)),
        numbers("error, mean", (errors.mean for errors in found), digits),
        numbers("error, 95 %", (errors.p95 for errors in found), digits),
        numbers("row, mean", (errors.row_mean for errors in found), digits),
        numbers("row, 95 %", (errors.row_p95 for errors in found), digits),
        numbers("row, worst", (errors.row_worst for errors in found), digits),
        numbers("empty rows", (f"{100 * errors.empty:.1f} %" for errors in found)),
    )
    print(markdown_table(table))


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1], "ex0.npz").is_file():
        sys.exit(f"usage: {sys.argv[0]} FOLDER, the one that holds ex0.npz to ex4.npz")
    main(Path(sys.argv[1]))
