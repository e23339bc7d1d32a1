"""What the tensors of quantized heads hold on given sentences: the ranges that set bit widths.

Concrete gives every value the width that its input set shows; here the same is seen with numpy
alone, so that a circuit profile from weights needs no compiler.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np

from fhecost.closed_form.compact_plan import AttentionRanges, CompactRanges
from fhecost.closed_form.ranges import Range
from fhecost.closed_form.reference_plan import MaximumStep, ReferenceRanges
from fhecost.heads.attention_head import causal_mask
from fhecost.heads.compact import CompactHeads
from fhecost.heads.compact_attention import CompactAttention
from fhecost.heads.compact_circuit import CompactHead
from fhecost.heads.operators import ClearOperators
from fhecost.heads.reference import ReferenceHead
from fhecost.quantization import IntArray


def range_of(values: Any) -> Range:
    """The range of an array of integers."""
    return Range(int(np.min(values)), int(np.max(values)))


def norm2_of(weight: IntArray) -> float:
    """The largest sum of squares of a column of integers."""
    return float((weight**2).sum(axis=0).max())


def _union(*values: Any) -> Range:
    ranges = [range_of(of_one) for of_one in values]
    return Range(min(r.low for r in ranges), max(r.high for r in ranges))


def reference_ranges(head: ReferenceHead, sentences: IntArray) -> ReferenceRanges:
    """The ranges of a reference head on quantized ``sentences``, shape (sentences, L, E)."""
    q, d = head.quantizers, head.dimension

    def read(stage: str, values: Any) -> Any:
        return ClearOperators().rounded(values, head.dropped.get(stage, 0))

    products = sentences @ head.weight
    projected = q["projection"].quantize_from_zero(
        read("projection.requantize", products) * (q["input"].scale * q["weight"].scale)
    )
    biased = projected + (head.bias + q["projection"].largest)
    centred = np.split(biased - 2 * q["projection"].largest, 3, axis=-1)
    query, key, value = (
        q[name].quantize(q["projection"].dequantize(read(f"{name}.requantize", part)))
        for name, part in zip(("query", "key", "value"), centred, strict=True)
    )
    scores = query @ np.swapaxes(key, -1, -2)
    unit = q["query"].scale * q["key"].scale / np.sqrt(d)
    scaled = read("scores.scale_and_mask", scores) * unit
    masked = q["scores"].quantize_from_zero(
        np.where(causal_mask(scores.shape[-1]), scaled, head.mask_value)
    )
    maximum, steps = masked[..., :1], []
    for column in range(1, masked.shape[-1]):
        difference = masked[..., column : column + 1] - maximum
        positive = np.maximum(read("softmax.maximum", difference), 0)
        maximum = maximum + positive
        steps.append(MaximumStep(range_of(difference), range_of(positive), range_of(maximum)))
    shifted = masked - maximum
    exponents = q["scores"].dequantize(read("softmax.exponential", shifted))
    exponential = q["exponential"].quantize(np.exp(np.minimum(exponents, 0.0)))
    total = exponential.sum(axis=-1, keepdims=True)
    real_total = q["exponential"].dequantize(read("softmax.inverse", total))
    inverse = q["inverse"].quantize(1 / np.maximum(real_total, q["exponential"].scale))
    product = exponential * inverse
    weights = q["attention_weights"].quantize(
        read("softmax.requantize", product) * (q["exponential"].scale * q["inverse"].scale)
    )
    return ReferenceRanges(
        input=range_of(sentences),
        projection=range_of(products),
        projected=range_of(projected),
        biased=range_of(biased),
        query_read=range_of(centred[0]),
        key_read=range_of(centred[1]),
        value_read=range_of(centred[2]),
        query=range_of(query),
        key=range_of(key),
        value=range_of(value),
        scores=range_of(scores),
        masked=range_of(masked),
        maximum=tuple(steps),
        shifted=range_of(shifted),
        exponential=range_of(exponential),
        total=range_of(total),
        inverse=range_of(inverse),
        product=range_of(product),
        weights=range_of(weights),
        output=range_of(weights @ value),
        factor_bits=q["value"].n_bits + 1,
        weight_norm2=norm2_of(head.weight),
        dropped=head.dropped,
    )


class _Recorder(ClearOperators):
    """Clear operators that keep what came out of each lookup and each hint, by stage."""

    def __init__(self) -> None:
        super().__init__()
        self.looked_up: dict[str, list[Any]] = defaultdict(list)
        self.narrowed: dict[str, list[tuple[Any, int]]] = defaultdict(list)
        self.summed: dict[str, list[Any]] = defaultdict(list)
        self._stage = ""

    def tag(self, name: str) -> AbstractContextManager[Any]:
        return self._tagged(name)

    @contextmanager
    def _tagged(self, name: str) -> Iterator[None]:
        before, self._stage = self._stage, name
        yield
        self._stage = before

    def accumulator(self, name: str, values: Any, bits: int, kept_bits: int | None = None) -> Any:
        self.summed[self._stage].append(values)
        return super().accumulator(name, values, bits, kept_bits)

    def lookup(self, values: Any, table: Callable[[Any], Any]) -> Any:
        result = super().lookup(values, table)
        self.looked_up[self._stage].append(result)
        return result

    def narrow(self, values: Any, bits: int) -> Any:
        self.narrowed[self._stage].append((values, bits))
        return values


class _Seen:
    """What a recorder kept over all sentences, as ranges by stage and position."""

    def __init__(self, recorders: Sequence[_Recorder]) -> None:
        self._recorders = recorders

    def lookups(self, stage: str, position: int = 0) -> list[Any]:
        return [recorder.looked_up[stage][position] for recorder in self._recorders]

    def hinted(self, stage: str) -> tuple[Range, int]:
        values = [recorder.narrowed[stage][0][0] for recorder in self._recorders]
        return range_of(values), self._recorders[0].narrowed[stage][0][1]

    def sums(self, stage: str) -> Range:
        return range_of([recorder.summed[stage][0] for recorder in self._recorders])


def compact_ranges(heads: CompactHeads, sentences: IntArray) -> list[CompactRanges]:
    """The ranges of compact heads on quantized ``sentences``, shape (sentences, L, E)."""
    seen = _record(heads, sentences)
    several = len(heads.heads) > 1
    return [
        _compact_ranges(
            heads,
            head,
            seen,
            range_of(sentences),
            f"head{index}." if several else "",
            weights_stage="softmax.exponential",
            attended_stage="weighted_values",
            attended_bits=head.attended_bits,
        )
        for index, head in enumerate(heads.heads)
    ]


def attention_ranges(attention: CompactAttention, sentences: IntArray) -> list[AttentionRanges]:
    """The ranges of a compact attention's heads on quantized ``sentences``."""
    seen = _record(attention, sentences)
    ranges = []
    for index, head in enumerate(attention.heads.heads):
        prefix = f"head{index}."
        compact = _compact_ranges(
            attention.heads,
            head,
            seen,
            range_of(sentences),
            prefix,
            weights_stage="softmax.probability",
            attended_stage="output.requantize",
            attended_bits=attention.attended_bits,
        )
        ranges.append(
            AttentionRanges(
                head=compact,
                logarithm=range_of(seen.lookups(f"{prefix}softmax.logarithm")),
                score=range_of(seen.lookups(f"{prefix}softmax.score")),
                difference=seen.hinted(f"{prefix}softmax.probability")[0],
                output=range_of(seen.lookups(f"{prefix}output.requantize")),
            )
        )
    return ranges


def projection_range(attention: CompactAttention, sentences: IntArray) -> Range:
    """The range of an attention's output projection on quantized ``sentences``."""
    return _record(attention, sentences).sums("output_projection")


def _record(heads: CompactHeads | CompactAttention, sentences: IntArray) -> _Seen:
    recorders = []
    for sentence in sentences:
        recorder = _Recorder()
        heads.run(sentence, recorder)
        recorders.append(recorder)
    return _Seen(recorders)


def _compact_ranges(
    heads: CompactHeads,
    head: CompactHead,
    seen: _Seen,
    hidden: Range,
    prefix: str,
    *,
    weights_stage: str,
    attended_stage: str,
    attended_bits: int,
) -> CompactRanges:
    query = np.stack(seen.lookups(f"{prefix}query.requantize"))
    key = np.stack(seen.lookups(f"{prefix}key.requantize"))
    rows, columns = np.tril_indices(query.shape[1])
    squares = ((query[:, rows] + key[:, columns]) ** 2).sum(axis=-1)
    partial_scores = squares - (query**2).sum(axis=-1)[:, rows]
    of_sums, of_weights, of_values = (
        np.stack(seen.lookups(f"{prefix}weighted_values", position)) for position in range(3)
    )
    without_weights = of_sums - of_weights
    products = without_weights - of_values[:, columns]
    sums, sum_bits = seen.hinted(f"{prefix}scores")
    total, total_bits = seen.hinted(f"{prefix}softmax.sum")
    weighted, weighted_bits = seen.hinted(f"{prefix}weighted_values")
    return CompactRanges(
        input=hidden,
        query=range_of(query),
        key=range_of(key),
        value=range_of(seen.lookups(f"{prefix}value.requantize")),
        sums=sums,
        squares=range_of(squares),
        partial_scores=range_of(partial_scores),
        scores=seen.sums(f"{prefix}scores.round"),
        weights=range_of(seen.lookups(f"{prefix}{weights_stage}")),
        total=total,
        weighted=weighted,
        squared=_union(of_sums, of_weights, of_values),
        partial_products=_union(without_weights, products),
        attended=seen.sums(f"{prefix}{attended_stage}"),
        weight_norm2=norm2_of(head.weight),
        kept_bits=heads.kept_bits,
        projection_bits=heads.projection_bits,
        sum_bits=sum_bits,
        score_bits=head.score_bits,
        total_bits=total_bits,
        weighted_bits=weighted_bits,
        attended_bits=attended_bits,
    )
