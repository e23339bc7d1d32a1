"""Projections over lengths and years for a terminal, a spreadsheet, a README or a program."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from fhecost.projection.lengths import PBS, LengthPoint, PowerLaw
from fhecost.projection.projection import ProjectionReport
from fhecost.report.tables import Column, csv_text, markdown_table, text_table, wrap
from fhecost.report.years_text import years_text
from fhecost.units import duration, share

Table = Callable[[Sequence[Column], Sequence[Sequence[str]]], str]

_MACHINES_A_TABLE = 3


def as_json(report: ProjectionReport) -> str:
    """Everything that is known."""
    return report.model_dump_json(indent=1) + "\n"


def as_csv(report: ProjectionReport) -> str:
    """One row a length and machine; what can't be run has its reason and no figure."""
    names = [
        "seq_len", "pbs_count", "complexity", "max_bit_width", "hardware", "latency_s", "low_s",
        "high_s", "reason",
    ]  # fmt: skip
    return csv_text(names, _csv_rows(report))


def as_table(report: ProjectionReport) -> str:
    """For a terminal of 80 columns."""
    return _text(report, text_table)


def as_markdown(report: ProjectionReport) -> str:
    """For a README or an issue."""
    return _text(report, markdown_table)


RENDERERS: Mapping[str, Callable[[ProjectionReport], str]] = {
    "table": as_table,
    "json": as_json,
    "csv": as_csv,
    "markdown": as_markdown,
}


def asked_line(report: ProjectionReport) -> str:
    """What was projected, in one sentence."""
    said = report.description
    variant = f" ({said.variant})" if said.variant else ""
    return (
        f"{said.model}, {said.scope}{variant}, {said.bits} bits; counts by closed form, "
        f"widths stated; shape: {said.shape_from}"
    )


def law_line(law: PowerLaw) -> str:
    """A power law as a formula, with where it holds and how well."""
    value = f"{law.coefficient:.3g}{'' if law.of == PBS else ' s'}"
    return (
        f"{law.of}: {value} · L^{law.exponent:.2f} from {law.first} to {law.last} tokens, "
        f"within {share(law.worst_error)}"
    )


def target_lines(report: ProjectionReport) -> Iterator[str]:
    """The longest of the lengths that meets the target, by machine."""
    if report.target_s is None:
        return
    target = duration(report.target_s)
    for name, length in report.longest.items():
        if length is None:
            shortest = report.lengths.points[0].seq_len
            yield f"{name}: {target} at none of these lengths, from {shortest} on"
        else:
            tokens = "1 token" if length == 1 else f"{length:,} tokens"
            yield f"{name}: {target} up to {tokens}, of the lengths estimated"


def _text(report: ProjectionReport, table: Table) -> str:
    blocks = ["PROJECTION", wrap(asked_line(report)), *_length_tables(report, table)]
    blocks.append(
        "\n".join(
            [
                wrap("power laws through the points, of shorter and of longer sequences:"),
                *(wrap(law_line(law), "  ") for law in report.lengths.laws),
            ]
        )
    )
    blocks.append("\n".join(wrap(line) for line in notes(report)))
    blocks.append("\n".join(wrap(line) for line in target_lines(report)))
    if report.years is not None:
        blocks += [f"OVER THE YEARS, AT {report.years_seq_len:,} TOKENS"]
        blocks += [years_text(report.years, table).rstrip("\n")]
    return "\n\n".join(block for block in blocks if block) + "\n"


def notes(report: ProjectionReport) -> Iterator[str]:
    """What has no figure and why, and how far the predicted circuits may be off."""
    yield from (f"not {name}: {reason}" for name, reason in report.refusals.items())
    without = [point for point in report.lengths.points if point.reason is not None]
    if without:
        first = without[0]
        yield f"no circuit at {_lengths(without)} tokens: {first.reason}"
    for name, points in _refused_at(report).items():
        yield f"not {name} at {_lengths(points)} tokens: {points[0].refusals[name]}"
    errors = [p.cost_error for p in report.lengths.points if p.cost_error is not None]
    if errors:
        least, most = share(min(errors)), share(max(errors))
        yield (
            "no circuit was compiled: the cost of the predicted ones may be off by "
            f"{most if least == most else f'{least} to {most}'}, which the ranges include"
        )


def _refused_at(report: ProjectionReport) -> dict[str, list[LengthPoint]]:
    """The lengths that machines with figures elsewhere refuse."""
    found: dict[str, list[LengthPoint]] = {}
    for point in report.lengths.points:
        for name in point.refusals:
            if name not in report.refusals:
                found.setdefault(name, []).append(point)
    return found


def _lengths(points: Sequence[LengthPoint]) -> str:
    first, last = points[0].seq_len, points[-1].seq_len
    return f"{first:,}" if first == last else f"{first:,} to {last:,}"


def length_table(
    report: ProjectionReport, machines: Sequence[str]
) -> tuple[list[Column], list[list[str]]]:
    """PBS and latency on ``machines`` at the ends and the powers of two of the lengths."""
    columns = [
        Column("tokens", right=True),
        Column("PBS", right=True),
        *(Column(name, right=True) for name in machines),
    ]
    rows = [
        [
            f"{point.seq_len:,}",
            "-" if point.pbs_count is None else f"{point.pbs_count:,}",
            *(_latency(point, name) for name in machines),
        ]
        for point in _shown(report.lengths.points)
    ]
    return columns, rows


def machines_of(report: ProjectionReport) -> list[str]:
    """The machines that have a latency at some length."""
    return list(dict.fromkeys(name for p in report.lengths.points for name in p.latency_s))


def _length_tables(report: ProjectionReport, table: Table) -> Iterator[str]:
    points = _shown(report.lengths.points)
    machines = machines_of(report)
    for start in range(0, len(machines), _MACHINES_A_TABLE):
        yield table(*length_table(report, machines[start : start + _MACHINES_A_TABLE]))
    if len(points) < len(report.lengths.points):
        count = len(report.lengths.points)
        yield wrap(f"{len(points)} of {count} lengths; --format csv or json has them all")


def _latency(point: LengthPoint, name: str) -> str:
    return duration(point.latency_s[name].value) if name in point.latency_s else "-"


def _shown(points: Sequence[LengthPoint]) -> list[LengthPoint]:
    """The ends and the powers of two of many lengths, all of few."""
    if len(points) <= 12:
        return list(points)
    return [
        point
        for point in points
        if point.seq_len.bit_count() == 1 or point in (points[0], points[-1])
    ]


def _csv_rows(report: ProjectionReport) -> Iterator[list[object]]:
    for point in report.lengths.points:
        about = [point.seq_len, point.pbs_count, point.complexity, point.max_bit_width]
        if point.reason is not None:
            yield [*about, None, None, None, None, point.reason]
        for name, band in point.latency_s.items():
            yield [*about, name, band.value, band.low, band.high, None]
        for name, reason in point.refusals.items():
            yield [*about, name, None, None, None, reason]
