"""What an accuracy run returns: rows of agreement, as frozen data and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from fhecost.circuits.description import KeylessMode
from fhecost.files import read_model
from fhecost.frozen import Frozen

Share = Annotated[float, Field(ge=0, le=1)]


class AccuracyRow(Frozen):
    """One setting: which heads at which width and length, and how much of the float model is kept.

    ``top1`` is the share of positions whose float top-1 token is the quantized model's too,
    ``top5`` and ``top10`` the shares where it is among its 5 and 10 most likely; ``_low`` and
    ``_high`` are Wilson's 95 % intervals. ``exceeded`` sums did not fit their accumulator: a
    circuit computes them wrong. Simulated rows say how probable a wrong lookup is and how many of
    all ``lookups`` that makes; ``wrong_values`` of the decrypted integers differed from the clear
    ones.
    """

    layer: int
    heads: str
    bits: int
    seq_len: int
    mode: KeylessMode
    variant: str
    sentences: int
    positions: int
    top1: Share
    top5: Share
    top10: Share
    top1_low: Share
    top1_high: Share
    top5_low: Share
    top5_high: Share
    top10_low: Share
    top10_high: Share
    logit_rmse: float
    float_perplexity: float
    quantized_perplexity: float
    inputs: int
    saturated: int
    exceeded: int | None
    pbs_count: int | None = None
    p_error: float | None = None
    global_p_error: float | None = None
    lookups: int | None = None
    expected_wrong_lookups: float | None = None
    wrong_values: int | None = None
    wrong_sentences: int | None = None


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
