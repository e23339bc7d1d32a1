"""Write the tables and the figure of docs/smollm2.md: python docs/make_smollm2.py [--figure].

The tables stand between marks in the page, and are made of the committed results; what is said
around them is written by hand. The figure needs a Chrome or Chromium.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from fhecost.accuracy.records import AccuracyReport, AccuracyRow, load_accuracy

PAGE = Path(__file__).parent / "smollm2.md"
RESULTS = Path(__file__).parent.parent / "experiments" / "accuracy" / "smollm2"
_PART = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- /\2 -->)", re.DOTALL)
ONE_HEAD, LEAST, WHOLE_LAYER, PERPLEXITY = 0.97, 0.90, 0.93, 0.01
"""What was asked for: of single heads at 4 bits the median top-1 and the least, of all heads of
layer 10 at 5 bits the top-1, and how far perplexity may be off with all heads of a layer at 6."""

Lines = Iterator[str]


def results(name: str) -> AccuracyReport:
    """The committed results called ``name``."""
    return load_accuracy(RESULTS / f"{name}.json")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Lines:
    """A table in Markdown; all columns but the first are numbers."""
    yield f"| {' | '.join(head)} |"
    yield f"|---|{'---:|' * (len(head) - 1)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def goals() -> Lines:
    """What was asked for, and what came out."""
    single = [row.top1 for row in results("heads").rows]
    of_10 = {row.bits: row for row in results("layer_10").rows}
    wholes = [of_10[6], *results("layers").rows]
    off = max(wholes, key=lambda row: abs(_ratio(row) - 1))
    rows = [
        ("36 single heads, 4 bits: median top-1", f"≥ {ONE_HEAD:.2f}", f"{median(single):.3f}",
         median(single) >= ONE_HEAD),
        ("the least of them", f"≥ {LEAST:.2f}", f"{min(single):.3f}", min(single) >= LEAST),
        ("all nine heads of layer 10, 5 bits: top-1", f"≥ {WHOLE_LAYER:.2f}", _share(of_10[5]),
         of_10[5].top1 >= WHOLE_LAYER),
        (f"all nine heads of a layer, 6 bits: perplexity, the worst of layers 0, 10, 20, 29 "
         f"(layer {off.layer})", f"within {PERPLEXITY:.0%}".replace("%", " %"), _perplexity(off),
         abs(_ratio(off) - 1) <= PERPLEXITY),
    ]  # fmt: skip
    marked = [(what, asked, found, "yes" if met else "no") for what, asked, found, met in rows]
    yield from table(("32 tokens, `fast`", "asked", "found", "met"), marked)


def heads() -> Lines:
    """Single heads at 4 bits, by layer, on both texts."""
    both = (("sentences", results("heads").rows), ("The Time Machine", results("text").rows))
    rows = [
        (f"{layer}, {text}", *_spread([row for row in found if row.layer == layer]))
        for layer in sorted({row.layer for row in both[0][1]})
        for text, found in both
    ]
    columns = ("top-1, least", "median", "most", "logit error", "perplexity, over the float's")
    yield from table(("layer, text", *columns), rows)


def bits() -> Lines:
    """Single heads by width: median and least top-1 of a layer's nine, by variant."""
    fast = [*results("bits").rows, *results("heads").rows]
    yield from _by_layer([*fast, *results("reference").rows], lambda row: row.bits, "bits")


def whole_layers() -> Lines:
    """All nine heads of a layer at once."""
    rows = [*results("layer_10").rows, *results("layers").rows]
    rows.sort(key=lambda row: (row.layer, row.bits))
    yield from _rows(rows, "layer, bits", lambda row: f"{row.layer}, {row.bits}")


def in_turn() -> Lines:
    """All heads of several layers at once."""
    rows = [*results("in_turn_4").rows, *results("in_turn_6").rows]
    yield from _rows(rows, "layers, bits", lambda row: f"{row.layers or row.layer}, {row.bits}")


def lengths() -> Lines:
    """Single heads by length: median and least top-1 of a layer's nine."""
    rows = [*results("lengths").rows, *results("heads").rows]
    yield from _by_layer(rows, lambda row: row.seq_len, "tokens")


def tolerance() -> Lines:
    """How many heads of each tenth of the layers keep how much."""
    rows = results("map").rows
    steps = (0.98, 0.97, 0.95, 0.90)
    layers = sorted({row.layer for row in rows})
    found = []
    for start in range(0, len(layers), 5):
        chosen = layers[start : start + 5]
        shares = [row.top1 for row in rows if row.layer in chosen]
        counts = (sum(share >= step for share in shares) for step in steps)
        least = min((row for row in rows if row.layer in chosen), key=lambda row: row.top1)
        found.append(
            (f"{chosen[0]} to {chosen[-1]}", f"{median(shares):.3f}", *map(str, counts),
             f"{least.top1:.3f} (layer {least.layer}, head {least.heads})")
        )  # fmt: skip
    head = ("layers", "median top-1", *(f"≥ {step:.2f}" for step in steps), "least")
    yield from table(head, found)


PARTS: Mapping[str, Callable[[], Lines]] = {
    "goals": goals,
    "heads": heads,
    "bits": bits,
    "whole_layers": whole_layers,
    "in_turn": in_turn,
    "lengths": lengths,
    "tolerance": tolerance,
}
"""By mark in the page, what stands there."""


def page(text: str) -> str:
    """``text`` with every table as the results have it."""
    return _PART.sub(lambda part: part[1] + "\n".join(PARTS[part[2]]()) + "\n" + part[3], text)


def draw() -> Path:
    """The heat map, beside the page."""
    from fhecost.report.accuracy_document import accuracy_figures
    from fhecost.report.saved_figures import save_figures

    drawn = accuracy_figures(results("map"))
    for _, figure in drawn:
        figure.update_layout(height=900, title="SmolLM2-135M-Instruct: one head quantized, top-1")
    (made,) = save_figures({"smollm2": drawn}, PAGE.parent)
    return made.rename(PAGE.with_suffix(".svg"))


def _by_layer(rows: Sequence[AccuracyRow], of: Callable[[AccuracyRow], int], unit: str) -> Lines:
    """Median and least top-1 of the heads of each layer and variant, by what ``of`` says."""
    every = sorted({of(row) for row in rows})
    found = []
    for layer, variant in sorted({(row.layer, row.variant) for row in rows}):
        alike = [row for row in rows if (row.layer, row.variant) == (layer, variant)]
        shares = [[row.top1 for row in alike if of(row) == one] for one in every]
        cells = (f"{median(some):.3f} ({min(some):.3f})" if some else "-" for some in shares)
        found.append((f"{layer}, {variant}", *cells))
    yield from table(("layer", *(f"{one} {unit}" for one in every)), found)


def _rows(rows: Sequence[AccuracyRow], what: str, name: Callable[[AccuracyRow], str]) -> Lines:
    found = [
        (name(row), str(row.positions), _share(row), f"{row.top5:.3f}", _error(row),
         _perplexity(row))
        for row in rows
    ]  # fmt: skip
    columns = ("positions", "top-1", "top-5", "logit error", "perplexity, over the float's")
    yield from table((what, *columns), found)


def _share(row: AccuracyRow) -> str:
    return f"{row.top1:.3f} ({row.top1_low:.3f} to {row.top1_high:.3f})"


def _error(row: AccuracyRow) -> str:
    return f"{row.logit_rmse:.2f} ({row.logit_rmse_low:.2f} to {row.logit_rmse_high:.2f})"


def _ratio(row: AccuracyRow) -> float:
    assert row.perplexity_ratio is not None
    return row.perplexity_ratio


def _perplexity(row: AccuracyRow) -> str:
    low, high = row.perplexity_ratio_low, row.perplexity_ratio_high
    return f"{_ratio(row):.4f} ({low:.4f} to {high:.4f})"


def _spread(rows: Sequence[AccuracyRow]) -> Iterator[str]:
    shares, ratios = [row.top1 for row in rows], [_ratio(row) for row in rows]
    yield from (f"{of(shares):.3f}" for of in (min, median, max))
    yield f"{median(row.logit_rmse for row in rows):.2f}"
    yield f"{min(ratios):.4f} to {max(ratios):.4f}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    if "--figure" in sys.argv[1:]:
        draw()
