"""What a search returns: settings that nothing beats, as frozen data and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from fhecost.accuracy.records import Share
from fhecost.frozen import Frozen
from fhecost.heads.parameter_rules import UNRESTRICTED, Restriction
from fhecost.heads.saved_setting import SavedSetting

JUDGED_SEQ_LEN = 32
"""Tokens of the windows on which the share of kept top-1 tokens is judged."""

StoppedBy = Literal["budget", "trials", "interrupt"]


class Latency(Frozen):
    """A likely latency and its range."""

    latency_s: float
    low_s: float
    high_s: float


class Figures(Frozen):
    """What heads come to in closed form and in the clear, with lookups as wrong as they may be.

    ``top1`` is the share of positions whose float top-1 token is kept, with Wilson's 95 % interval;
    ``error`` is the root mean square of what the heads' output is off, over that of the float
    output, at the asked length; ``exceeded`` sums there did not fit their accumulator. ``latency``
    is None where the machine can't run the circuit. PBS, complexity and latency are those of
    parameters within ``restriction``; ``unrestricted_s`` is the likely latency without it, where
    there is one and the machine can run that.
    """

    top1: Share
    top1_low: Share
    top1_high: Share
    error: float
    exceeded: int | None
    pbs_count: int
    complexity: float
    latency: Latency | None
    restriction: Restriction = UNRESTRICTED
    unrestricted_s: float | None = None


class VerifiedFigures(Frozen):
    """What Concrete makes of the same heads: the compiled circuit, and its simulation.

    ``top1`` is what they keep on fhecost's evaluation sentences, with lookups going wrong as they
    may; a search on other text has seen none of them.
    """

    top1: float
    error: float
    pbs_count: int
    complexity: float
    latency: Latency | None


class FrontPoint(Frozen):
    """A setting that no judged one beats in both top-1 and latency.

    ``command`` gives its predicted latency again from ``file``; both are None where settings
    weren't saved. ``verified`` is None where it wasn't compiled.
    """

    name: str
    setting: SavedSetting
    figures: Figures
    file: str | None = None
    command: str | None = None
    verified: VerifiedFigures | None = None


class MarkedPoint(Frozen):
    """A shipped variant, for comparison."""

    variant: str
    bits: int
    figures: Figures


class BeatenPoint(Frozen):
    """A judged setting that another one beats, or that a limit leaves out."""

    top1: Share
    error: float
    latency_s: float


class OptimizationReport(Frozen):
    """What ``fhecost optimize`` prints: the front by latency, and what it was found among.

    ``trials`` are all settings that the study has tried, ``judged`` of them wholly: what is beyond
    a limit, or what no head or circuit can be made of, is given up early.
    """

    schema_version: Literal[1] = 1
    fhecost_version: str
    model: str
    model_sha256: str
    layer: int
    heads: tuple[int, ...]
    seq_len: int
    judged_seq_len: int
    sentences: str = Field(description="where the judged sentences come from")
    sentences_sha256: str
    hardware: str
    hardware_hash: str
    min_top1: float | None
    max_error: float | None
    trials: int
    judged: int
    stopped_by: StoppedBy
    versions: Mapping[str, str]
    points: tuple[FrontPoint, ...]
    marked: tuple[MarkedPoint, ...]
    beaten: tuple[BeatenPoint, ...]
    refusals: tuple[str, ...] = ()
