"""The fast variant: compact heads of few columns and narrow widths, whose lookups may go wrong.

What differs from :mod:`fhecost.heads.compact`, which is one setting of the same circuit:

* queries, keys and values keep few columns, those that matter on the calibration sentences;
* sums are rounded by the lookups that read them, which costs nothing and is off now and then;
* squares lose bits that no lookup after them reads, which makes their sums narrower;
* a lookup may go wrong once in a hundred or a thousand times: it then reads a neighbour of what it
  should, which barely shows beside the rounding.

``bits`` names a shipped setting: 4 keeps more of the float head than the compact variant at 4 bits,
3 keeps what the published example promised, 2 is the cheapest that is worth running. Heads that
turn with their token's position are fitted more closely at the same lookups
(:mod:`fhecost.heads.head_columns`), and keep more columns from 5 bits on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fhecost.heads.attention_head import AttentionHead
from fhecost.heads.compact import CompactHeads, quantize_with, state_with
from fhecost.heads.head_quantization import HeadSetting
from fhecost.heads.parameter_rules import ParameterRules
from fhecost.heads.stated import StatedHeads, StatedShape
from fhecost.quantization import FloatArray

SHIPPED: Mapping[int, tuple[HeadSetting, ParameterRules]] = {
    2: (
        HeadSetting(
            input_bits=5, product_bits=13, score_bits=3, value_bits=3, exponential_bits=3,
            kept_bits=4, kept_score_bits=5, score_rank=2, value_rank=4,
            score_sum_bits=6, value_shift=1, exact=False,
        ),
        ParameterRules(1e-2),
    ),
    3: (
        HeadSetting(
            input_bits=5, product_bits=14, score_bits=4, value_bits=5, exponential_bits=5,
            kept_bits=6, kept_score_bits=6, score_rank=8, value_rank=3,
            score_sum_bits=6, value_shift=1, exact=False,
        ),
        ParameterRules(1e-2),
    ),
    4: (
        HeadSetting(
            input_bits=5, product_bits=14, score_bits=4, value_bits=5, exponential_bits=5,
            kept_bits=6, kept_score_bits=5, score_rank=8, value_rank=32,
            score_sum_bits=6, value_shift=3, exact=False,
        ),
        ParameterRules(1e-3),
    ),
}  # fmt: skip
"""By ``bits``; found by search for the embedded model's layer 0, head 0, on text that this model
wrote: no sentence that accuracy is judged on had a part in it."""


MORE_COLUMNS: Mapping[int, tuple[int, int]] = {5: (48, 64), 6: (64, 64)}
"""Columns of queries and keys, and of values, of heads that turn, by ``bits`` from which on.

What heads of deeper layers of real models give fills all of their dimensions: wider integers alone
bring nothing there (``docs/smollm2.md``)."""


def fast_setting(n_bits: int, *, turns: bool = False) -> tuple[HeadSetting, ParameterRules]:
    """The setting that ``n_bits`` names; wider ones than the shipped add bits to the widest.

    Of heads that turn with their token's position they add columns, too.
    """
    most = max(SHIPPED)
    setting, rules = SHIPPED[min(n_bits, most)]
    more = max(0, n_bits - most)
    wider = replace(
        setting,
        **{
            name: getattr(setting, name) + more
            for name in ("input_bits", "product_bits", "score_bits", "value_bits",
                         "exponential_bits", "kept_bits", "kept_score_bits",
                         "score_sum_bits", "value_shift")
        },
    )  # fmt: skip
    enough = [bits for bits in MORE_COLUMNS if bits <= n_bits]
    if turns and enough:
        score_rank, value_rank = MORE_COLUMNS[max(enough)]
        # Scores of many columns reach farther than those of few.
        wider = replace(
            wider,
            score_rank=score_rank,
            value_rank=value_rank,
            score_sum_bits=n_bits + 4,
            kept_score_bits=n_bits + 4,
        )
    return wider, rules


def quantize_fast_heads(
    heads: Sequence[AttentionHead], hidden: FloatArray, n_bits: int
) -> CompactHeads:
    """Quantize ``heads`` of one layer by the setting that ``n_bits`` names.

    Raises:
        ImpossibleError: at this width a tensor of a head is zero for every sentence.
    """
    setting, rules = fast_setting(n_bits, turns=heads[0].rotary is not None)
    return quantize_with(heads, hidden, [setting] * len(heads), n_bits, rules)


def state_fast_heads(shape: StatedShape, _: object = None) -> StatedHeads:
    """Fast heads of a shape, see :func:`fhecost.heads.compact.state_with`."""
    return state_with(shape, *fast_setting(shape.n_bits, turns=shape.turns))
