"""Rows of accuracy over widths, lengths and heads, on all cores, and where a killed run stopped."""

from __future__ import annotations

import hashlib
import importlib.metadata
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

from fhecost.accuracy.judge import Setting, judge
from fhecost.accuracy.records import AccuracyReport, AccuracyRow
from fhecost.caches import cache_named
from fhecost.circuits.cache import code_fingerprint
from fhecost.circuits.description import KeylessMode
from fhecost.engine.here import Here
from fhecost.engine.local_pool import LocalPool
from fhecost.engine.memory import pool_size
from fhecost.engine.outcome import Finished, Lost, Raised, Runner
from fhecost.errors import FieldError, ImpossibleError
from fhecost.files import AnyPath, read_text
from fhecost.gpt2.model import (
    calibration_sentences,
    check_layer,
    check_seq_len,
    find_model,
    fingerprint,
    model_shape,
)
from fhecost.heads.variants import Variant, variant_named
from fhecost.measurement.machine import available_threads
from fhecost.models.model_shape import ModelShape
from fhecost.models.shape import EMBEDDED, Heads, head_numbers
from fhecost.progress import Expect, Progress, silent
from fhecost.quantization import check_bits
from fhecost.version import VERSION

_BYTE_ORDER_MARK = "\ufeff"
WIDTHS = tuple(range(2, 9))
"""What is judged where no width is asked for."""


ROW_BYTES = 0.8e9
"""Memory of a process that judges rows: torch, the embedded model and windows of 32 tokens were
seen to take 0.69 GB."""


def evaluation_sentences() -> list[str]:
    """The English sentences that accuracy is judged on; calibration uses none of them."""
    text = (files("fhecost.accuracy") / "evaluation_sentences.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line]


def read_sentences(path: AnyPath) -> list[str]:
    """The sentences of a text file, one a line.

    Raises:
        UsageError: the file can't be read, holds none, or one that calibration uses.
    """
    # Files that were joined have a byte order mark in the middle too.
    lines = [
        line.replace(_BYTE_ORDER_MARK, "").strip() for line in read_text(Path(path)).splitlines()
    ]
    sentences = [line for line in lines if line]
    if not sentences:
        raise FieldError("sentences", "holds no line of text", path)
    known = set(calibration_sentences("llama")).intersection(sentences)
    if known:
        raise FieldError(
            "sentences",
            "heads are calibrated on one of its lines, so it can't judge them: "
            f"{min(known)[:40]!r}",
            path,
        )
    return sentences


@dataclass(frozen=True)
class JudgedSentences:
    """What heads are judged on, and where it comes from."""

    lines: tuple[str, ...]
    origin: str

    @property
    def sha256(self) -> str:
        """Of all lines."""
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()


def judged_sentences(
    sentences: Sequence[str] | AnyPath | None = None, first: int | None = None
) -> JudgedSentences:
    """The sentences that a caller names: some, a file of them, or fhecost's own for None.

    Of these the ``first`` alone, where that is given.

    Raises:
        UsageError: the file can't be read, holds none, or one that calibration uses; or there
            aren't as many.
    """
    if first is not None:
        judged = judged_sentences(sentences)
        if not 1 <= first <= len(judged.lines):
            message = f"must be from 1 to {len(judged.lines)}, the sentences that there are"
            raise FieldError("first", message, first)
        return JudgedSentences(judged.lines[:first], f"the first {first} of {judged.origin}")
    if sentences is None:
        return JudgedSentences(tuple(evaluation_sentences()), "fhecost's evaluation sentences")
    if isinstance(sentences, str | os.PathLike):
        return JudgedSentences(tuple(read_sentences(sentences)), Path(sentences).name)
    lines = tuple(sentences)
    if not any(line.strip() for line in lines):
        raise FieldError("sentences", "hold no text to judge on")
    return JudgedSentences(lines, "sentences of the caller's")


def installed_versions() -> dict[str, str]:
    """The packages that shape what quantized heads keep."""
    versions = {}
    for package in ("torch", "transformers", "numpy", "concrete-python"):
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return versions


def measure_accuracy(
    model: str = EMBEDDED,
    *,
    layer: int = 0,
    heads: Iterable[int | Heads] = (0, "all"),
    bits: Iterable[int] | None = None,
    seq_lens: Iterable[int] = (32,),
    variant: str = "fast",
    mode: KeylessMode = "disable",
    sweep_heads: bool = False,
    layers: Iterable[Iterable[int]] = (),
    sentences: Sequence[str] | AnyPath | None = None,
    first: int | None = None,
    progress: Progress = silent,
    expect: Expect = silent,
    processes: int | None = None,
) -> AccuracyReport:
    """What ``fhecost accuracy`` does: how much of the float model's behaviour heads keep.

    Rows are kept in the user's cache folder as soon as they are there, so the same call goes on
    where a killed one stopped.

    Args:
        model: ``embedded``, a folder, or a Hugging Face name.
        layer: from 0.
        heads: groups of heads that are quantized together, one row each: a head, several, ``all``.
        bits: widths; 2 to 8 when None, or the variant's own.
        seq_lens: lengths in tokens.
        variant: which quantized circuit.
        mode: in the clear, or Concrete's simulation.
        sweep_heads: every head of every layer instead, one at a time.
        layers: groups of layers instead of ``layer``: their heads are quantized together, each
            layer calibrated on what those before it hand on. With ``sweep_heads``, the layers
            whose heads are judged, one at a time.
        sentences: what to judge on, or a file of them, one a line; fhecost's own when None.
        first: judge on as many of them, from the first on; on all when None.
        progress: called after each row.
        expect: called with the number of rows, when it is known.
        processes: rows judged at the same time; as many as cores and memory hold when None.

    Raises:
        UsageError: the model, a head, a width, a length or a file is wrong.
        ImpossibleError: no row can be measured.
    """
    folder = find_model(model)
    shape = model_shape(folder)
    check_layer(shape, layer)
    together = [_layers_of(shape, group) for group in layers]
    if sweep_heads:
        chosen_layers = sorted({one for group in together for one in group})
        swept = itertools.product(chosen_layers or range(shape.layers), range(shape.heads))
        groups: list[tuple[tuple[int, ...], tuple[int, ...]]]
        groups = [((each,), head_numbers(shape, [head])) for each, head in swept]
    else:
        named: list[Heads] = [[one] if isinstance(one, int) else one for one in heads]
        groups = [
            (group, head_numbers(shape, one)) for one in named for group in together or [(layer,)]
        ]
    if mode == "simulate" and any(len(group) > 1 for group, _ in groups):
        raise FieldError("layers", "only one at a time is simulated; mode disable takes several")
    # By what it is, not by the file that it may come from.
    chosen = variant_named(variant)
    if bits is None:
        bits = WIDTHS if chosen.bits is None else (chosen.bits,)
    widths = [chosen.width(width) for width in bits]
    # The longest last.
    wanted = [
        Setting(
            *(each[0], numbers, width, seq_len, mode, chosen.name),
            layers=each if len(each) > 1 else (),
        )
        for seq_len, width, (each, numbers) in itertools.product(sorted(seq_lens), widths, groups)
    ]
    for setting in wanted:
        check_bits(setting.bits)
        check_seq_len(shape, setting.seq_len)
    judged = judged_sentences(sentences, first)
    expect(len(wanted))
    weights = fingerprint(folder)
    kept = {setting: cached_row(weights, judged, setting) for setting in wanted}
    known = [(setting, row) for setting, row in kept.items() if row is not None]
    missing = [setting for setting, row in kept.items() if row is None]
    task = _Task(model, judged.lines, chosen)
    judged_now = _results(task, missing, processes)
    results: dict[Setting, AccuracyRow | str] = {}
    for setting, result in itertools.chain(known, judged_now):
        results[setting] = result
        if isinstance(result, AccuracyRow) and kept[setting] is None:
            keep_row(weights, judged, setting, result)
        progress(_title(setting))
    ordered = [(setting, results[setting]) for setting in wanted]
    rows = [result for _, result in ordered if isinstance(result, AccuracyRow)]
    refusals = [f"{_title(one)}: {result}" for one, result in ordered if isinstance(result, str)]
    if not rows:
        raise ImpossibleError("; ".join(refusals) or "there is nothing to judge")
    return AccuracyReport(
        fhecost_version=VERSION,
        model=EMBEDDED if model == EMBEDDED else folder.resolve().name,
        model_sha256=weights,
        sentences=judged.origin,
        sentences_sha256=judged.sha256,
        versions=installed_versions(),
        rows=tuple(rows),
        refusals=tuple(refusals),
    )


@dataclass(frozen=True)
class _Task:
    """What all settings are judged with: a model, sentences and a variant."""

    model: str
    sentences: tuple[str, ...]
    variant: Variant

    def row(self, setting: Setting) -> AccuracyRow | str:
        """The row of ``setting``, or why there is none."""
        try:
            return judge(self.model, self.sentences, setting, self.variant)
        except ImpossibleError as error:
            return str(error)


def _results(
    task: _Task, wanted: Sequence[Setting], processes: int | None
) -> Iterator[tuple[Setting, AccuracyRow | str]]:
    """Each setting with its row, or why there is none, as they come."""
    size = processes or pool_size(len(wanted), available_threads(), ROW_BYTES)
    runner: Runner = LocalPool(size) if size > 1 and len(wanted) > 1 else Here()
    with closing(runner.outcomes(task.row, wanted)) as outcomes:
        for place, outcome in outcomes:
            match outcome:
                case Finished(row):
                    yield wanted[place], row
                case Raised(error):
                    raise error
                case Lost(reason):
                    yield wanted[place], reason


def judged_row(
    model: str, judged: JudgedSentences, setting: Setting, variant: Variant
) -> AccuracyRow:
    """The row of ``setting``, judged now or before; ``variant`` is the one that it names.

    Raises:
        ImpossibleError: nothing is left of a head at this width, or Concrete can't compile it.
    """
    weights = fingerprint(find_model(model))
    row = cached_row(weights, judged, setting)
    if row is None:
        row = judge(model, judged.lines, setting, variant)
        keep_row(weights, judged, setting, row)
    return row


def cached_row(weights: str, judged: JudgedSentences, setting: Setting) -> AccuracyRow | None:
    """The row of ``setting`` that was kept, for the model whose files have that SHA-256."""
    return cache_named("accuracy").get(_key(weights, judged, setting), AccuracyRow)


def keep_row(weights: str, judged: JudgedSentences, setting: Setting, row: AccuracyRow) -> None:
    """Keep a row in the user's cache folder."""
    cache_named("accuracy").put(_key(weights, judged, setting), row)


def _key(weights: str, judged: JudgedSentences, setting: Setting) -> str:
    """Of all that the row of ``setting`` depends on."""
    told = json.dumps([weights, judged.sha256, code_fingerprint(("accuracy",)), VERSION])
    canonical = json.dumps([told, asdict(setting)], sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _title(setting: Setting) -> str:
    layers, heads = setting.layers_text, setting.heads_text
    where = f"layer {setting.layer}" if layers is None else f"layers {layers}"
    return f"{where} heads {heads}, {setting.bits} bits, L={setting.seq_len}"


def _layers_of(shape: ModelShape, layers: Iterable[int]) -> tuple[int, ...]:
    """The ``layers`` of one group, from first to last.

    Raises:
        FieldError: none, the same one twice, or one that the model hasn't got.
    """
    numbers = tuple(sorted(layers))
    if not numbers or len(set(numbers)) < len(numbers):
        raise FieldError("layers", "name at least one, and none twice", list(numbers))
    for number in numbers:
        check_layer(shape, number, "layers")
    return numbers
