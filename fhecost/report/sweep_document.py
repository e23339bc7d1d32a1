"""What ``fhecost sweep`` says: how many points came to what, and the figures of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fhecost.report.columns import Column, Table, column, names, numbers, records
from fhecost.report.document import Block, Document, Note, Refusals, Text
from fhecost.sweep.records import SweepReport, SweepResult
from fhecost.sweep.table import columns_of, rows_of
from fhecost.units import duration, span

_MOST_REASONS = 20
"""That are printed; the file has them all."""


def sweep_document(report: SweepReport) -> Document:
    """The counts, a table of all points, and why some have no figures."""
    rows = rows_of(report.results)
    return Document(
        blocks=tuple(_blocks(report)),
        records=records(columns_of(rows), rows),
        report=report,
    )


def _blocks(report: SweepReport) -> Iterator[Block]:
    title = f"{report.title}: " if report.title else ""
    yield Text(
        f"{title}{report.points} points: {report.done} done, {report.impossible} impossible, "
        f"{report.failed} failed; kept in {report.file}"
    )
    results = report.results
    yield Table(*_point_columns(results), *_figure_columns(results), fixed=0)
    said = [f"{one.point.title}: {one.status}: {one.reason}" for one in results if one.reason]
    more = len(said) - _MOST_REASONS
    yield Refusals(*said[:_MOST_REASONS], *([f"and {more} more"] if more > 0 else []))
    if any(one.measured is not None for one in results):
        yield Note("measured: median of the warm runs")


def _point_columns(results: Sequence[SweepResult]) -> Iterator[Column]:
    """The fields in which points differ; all that are said of a single one."""
    fields: list[tuple[str, Callable[[Any], Any]]] = [
        ("model", lambda point: point.model),
        ("scope", lambda point: point.scope),
        ("layer", lambda point: point.layer),
        ("heads", _heads),
        ("L", lambda point: point.seq_len),
        ("bits", lambda point: point.bits),
        ("variant", lambda point: point.variant_name),
        ("settings", _settings),
        ("p_error", lambda point: point.p_error),
        ("widths", lambda point: point.widths),
        ("mode", lambda point: point.mode),
        ("machine", lambda point: point.hardware),
    ]
    found = [(name, [of(one.point) for one in results]) for name, of in fields]
    differ = [(name, values) for name, values in found if len(set(values)) > 1]
    for name, values in differ or found[4:7]:
        if all(isinstance(value, int | float) for value in values if value is not None):
            yield numbers(name, values, "{:g}".format)
        else:
            yield names(name, values, least=8)


def _heads(point: Any) -> str:
    return point.heads if isinstance(point.heads, str) else ",".join(map(str, point.heads))


def _settings(point: Any) -> str:
    return " ".join(f"{name}={value}" for name, value in point.settings.items())


def _figure_columns(results: Sequence[SweepResult]) -> Iterator[Column]:
    """Those that any point has."""
    circuits = [one.compiled or one.counted for one in results]
    if any(circuits):
        yield numbers("PBS", (one and one.pbs_count for one in circuits))
        yield numbers("complexity", (one and one.complexity for one in circuits), "{:.2e}".format)
    if any(one.accuracy for one in results):
        shares = (one.accuracy and one.accuracy.top1 for one in results)
        yield numbers("top-1", shares, "{:.3f}".format)
    if any(one.estimate for one in results):
        estimates = [one.estimate for one in results]
        yield numbers("latency", (made and made.latency_s for made in estimates), duration)
        yield column("range", (made and span(made.low_s, made.high_s) for made in estimates))
    if any(one.measured for one in results):
        runs = (one.measured and one.measured.times.warm_median_s for one in results)
        yield numbers("measured", runs, duration)
