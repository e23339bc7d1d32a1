"""What an accuracy run returns: rows of agreement, as frozen data and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fhecost.circuits.description import KeylessMode
from fhecost.data import data_folder
from fhecost.fields import Count, FiniteNonNegative, Positive, Probability, Width, inconsistent
from fhecost.files import read_model
from fhecost.frozen import Frozen

Share = Probability
Perplexity = Annotated[float, Field(strict=True, ge=1, allow_inf_nan=False)]


_ROUNDING = 1e-9


class AccuracyRow(Frozen):
    """One setting: which heads at which width and length, and how much of the float model is kept.

    ``top1`` is the share of positions whose float top-1 token is the quantized model's too,
    ``top5`` and ``top10`` the shares where it is among its 5 and 10 most likely;
    ``perplexity_ratio`` is the quantized model's perplexity over the float model's. ``_low`` and
    ``_high`` are 95 % intervals, of sentences drawn as wholes; none where a row lacks them, of one
    sentence. ``layers`` are all layers whose heads are quantized at once, each calibrated on what
    those before it hand on; None where ``layer`` is the only one. ``exceeded`` sums did not fit
    their accumulator: a circuit computes them wrong. Simulated rows say how probable a wrong lookup
    is and how many of all ``lookups`` that makes; ``wrong_values`` of the decrypted integers
    differed from the clear ones.
    """

    layer: Count
    layers: str | None = None
    heads: str
    bits: Width
    seq_len: Positive
    mode: KeylessMode
    variant: str
    sentences: Positive
    positions: Positive
    top1: Share
    top5: Share
    top10: Share
    top1_low: Share
    top1_high: Share
    top5_low: Share
    top5_high: Share
    top10_low: Share
    top10_high: Share
    logit_rmse: FiniteNonNegative
    logit_rmse_low: FiniteNonNegative | None = None
    logit_rmse_high: FiniteNonNegative | None = None
    float_perplexity: Perplexity
    quantized_perplexity: Perplexity
    perplexity_ratio: FiniteNonNegative | None = None
    perplexity_ratio_low: FiniteNonNegative | None = None
    perplexity_ratio_high: FiniteNonNegative | None = None
    inputs: Count
    saturated: Count
    exceeded: Count | None = None
    pbs_count: Count | None = None
    p_error: Probability | None = None
    global_p_error: Probability | None = None
    lookups: Count | None = None
    expected_wrong_lookups: FiniteNonNegative | None = None
    wrong_values: Count | None = None
    wrong_sentences: Count | None = None

    @property
    def setting(self) -> tuple[object, ...]:
        """What it is of: heads, width, length, variant and mode."""
        layers = self.layers or str(self.layer)
        heads = self.heads.replace(" ", "")
        return layers, heads, self.bits, self.seq_len, self.variant, self.mode

    @property
    def heads_named(self) -> str:
        """Its heads in words: head 0, or heads 0, 1."""
        return f"{'heads' if ',' in self.heads else 'head'} {self.heads}"

    @property
    def of_one_layer(self) -> bool:
        """Whether ``layer`` is the only one whose heads are quantized."""
        return self.layers is None

    @model_validator(mode="after")
    def _shares_are_in_order(self) -> Self:
        """Each share is in its interval, and a wider choice is right at least as often."""
        for name in ("top1", "top5", "top10"):
            low, value, high = (getattr(self, f"{name}{end}") for end in ("_low", "", "_high"))
            if not low - _ROUNDING <= value <= high + _ROUNDING:
                raise inconsistent(name, f"{value:g} isn't in its interval, {low:g} to {high:g}")
        for name in ("logit_rmse", "perplexity_ratio"):
            low, value, high = (getattr(self, f"{name}{end}") for end in ("_low", "", "_high"))
            if low is not None and not (value is not None and high is not None and low <= value):
                raise inconsistent(name, "isn't in its interval")
            if high is not None and not (value is not None and low is not None and value <= high):
                raise inconsistent(name, "isn't in its interval")
        for name, wider in (("top1", "top5"), ("top5", "top10")):
            if getattr(self, name) > getattr(self, wider) + _ROUNDING:
                raise inconsistent(wider, f"is below {name}, whose tokens are among its own")
        return self

    @model_validator(mode="after")
    def _parts_are_at_most_the_whole(self) -> Self:
        for part, whole in (("saturated", "inputs"), ("wrong_sentences", "sentences")):
            value, most = getattr(self, part), getattr(self, whole)
            if value is not None and value > most:
                raise inconsistent(part, f"{value} are more than all {most} {whole}")
        return self


class AccuracyReport(Frozen):
    """What ``fhecost accuracy`` prints: the rows, and what they were judged on."""

    schema_version: Literal[1] = 1
    fhecost_version: str
    model: str
    model_sha256: str
    sentences: str = Field(description="where the judged sentences come from")
    sentences_sha256: str
    versions: Mapping[str, str]
    rows: tuple[AccuracyRow, ...]
    refusals: tuple[str, ...] = ()


def load_accuracy(path: Path) -> AccuracyReport:
    """Read what ``fhecost accuracy --format json`` wrote.

    Raises:
        UsageError: the file is missing, no JSON, or breaks the schema.
    """
    return read_model(path, AccuracyReport)


def known_accuracy() -> list[Path]:
    """The accuracy reports that come with fhecost."""
    return sorted(data_folder("experiments/accuracy").rglob("*.json"))


def together(found: Iterable[tuple[AccuracyReport, AccuracyRow]]) -> AccuracyReport | None:
    """Rows of several reports of one model as one report; None of no rows.

    Of one setting that several judged, the row of most positions is kept: the surest one. What
    the rows were judged on, and by which fhecost, is said of all reports that one is left of.
    Refusals are left out: they are of no row.
    """
    kept: dict[tuple[object, ...], tuple[AccuracyReport, AccuracyRow]] = {}
    for report, row in found:
        known = kept.setdefault(row.setting, (report, row))
        if row.positions > known[1].positions:
            kept[row.setting] = report, row
    if not kept:
        return None
    reports = [report for report, _ in kept.values()]
    return reports[0].changed(
        fhecost_version=", ".join(dict.fromkeys(report.fhecost_version for report in reports)),
        sentences="; ".join(dict.fromkeys(report.sentences for report in reports)),
        sentences_sha256=", ".join(dict.fromkeys(report.sentences_sha256 for report in reports)),
        rows=tuple(row for _, row in kept.values()),
        refusals=(),
    )


def nearest(rows: Iterable[AccuracyRow], seq_len: int) -> AccuracyRow:
    """The row of the length nearest to ``seq_len``: the one in the clear, of most positions.

    Raises:
        ValueError: there are no rows.
    """
    return min(
        rows,
        key=lambda row: (abs(row.seq_len - seq_len), row.mode != "disable", -row.positions),
    )
