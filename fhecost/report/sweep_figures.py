"""What points of an experiment keep and cost by bits, drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fhecost.errors import ImpossibleError
from fhecost.projection.bits import BitsPoint, BitsReport
from fhecost.projection.lengths import latency_of
from fhecost.report import drawing
from fhecost.report.bits_figures import bits_figures
from fhecost.sweep.points import Point
from fhecost.sweep.records import SweepReport, SweepResult

_MOST = 12
"""Settings that are drawn, each in figures of its own."""


def sweep_plot(report: SweepReport) -> drawing.Plot:
    """What is drawn: latency and accuracy by bits, one against the other.

    Raises:
        UsageError: plotly isn't installed.
        ImpossibleError: no two points differ in their bits or variants alone.
    """
    groups = list(by_bits(report.results))
    drawn = [figure for one in groups[:_MOST] for figure in bits_figures(one)]
    if not drawn:
        raise ImpossibleError(
            "there is nothing to draw: figures are by bits, and no two points that are done differ "
            "in bits or variants alone"
        )
    title = report.title or "An experiment"
    note = f"{report.done} of {report.points} points are done; {report.file} has them all. "
    if len(groups) > _MOST:
        note += f"Figures are of the first {_MOST} of {len(groups)} settings beside bits. "
    note += f"fhecost {report.fhecost_version}."
    return drawing.Plot(title, note, drawn)


def by_bits(results: Sequence[SweepResult]) -> Iterator[BitsReport]:
    """A report of bits for all points that differ in bits, variant and machine alone."""
    groups: dict[str, list[SweepResult]] = {}
    for one in results:
        if one.estimate is not None or one.accuracy is not None:
            groups.setdefault(_alike(one.point), []).append(one)
    said = [_words(found[0].point) for found in groups.values()]
    common = set(said[0]).intersection(*said[1:]) if said else set()
    for found, words in zip(groups.values(), said, strict=True):
        points: dict[tuple[str, int], BitsPoint] = {}
        for one in found:
            setting = one.point.variant_name, one.point.bits
            points[setting] = _with(points.get(setting), one)
        if len(points) > 1:
            point = found[0].point
            machines = dict.fromkeys(one.point.hardware for one in found if one.point.hardware)
            yield BitsReport(
                model=point.model,
                of=", ".join(
                    word for number, word in enumerate(words) if number < 2 or word not in common
                ),
                seq_len=point.seq_len,
                kinds=dict.fromkeys(machines),
                points=tuple(points[setting] for setting in sorted(points)),
            )


def _alike(point: Point) -> str:
    """All of a point but its bits, its variant and its machine."""
    return point.model_dump_json(exclude={"bits", "variant", "hardware"})


def _with(known: BitsPoint | None, result: SweepResult) -> BitsPoint:
    """What is known of a setting, and what ``result`` says."""
    point, made = result.point, result.estimate
    before = known or BitsPoint(variant=point.variant_name, bits=point.bits)
    circuit = result.compiled or result.counted
    latencies = dict(before.latency_s)
    if made is not None and point.hardware is not None:
        latencies[point.hardware] = latency_of(made)
    return before.changed(
        pbs_count=circuit.pbs_count if circuit else before.pbs_count,
        latency_s=latencies,
        accuracy=result.accuracy or before.accuracy,
    )


def _words(point: Point) -> list[str]:
    """Which points these are: always of which part and length, then all else."""
    heads = point.heads if isinstance(point.heads, str) else ",".join(map(str, point.heads))
    return [
        f"layer {point.layer} heads {heads}" if point.scope == "head" else point.scope,
        f"L={point.seq_len}",
        *(f"{name}={value}" for name, value in point.settings.items()),
        *([f"p_error {point.p_error:g}"] if point.p_error is not None else []),
        *(str(word) for word in (point.widths, point.mode) if word),
    ]
