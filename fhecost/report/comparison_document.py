"""What ``fhecost compare`` says and draws: machines beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fhecost.hardware.answer import Contender
from fhecost.hardware.comparison import ComparisonReport, ComparisonRow
from fhecost.hardware.estimate import LatencyRange
from fhecost.hardware.memory import memory_assumptions
from fhecost.provenance import Figure, Source
from fhecost.report import drawing
from fhecost.report.answer_lines import answer_lines
from fhecost.report.columns import Column, Table, column, names, numbers, records
from fhecost.report.document import Block, Document, Note, Text
from fhecost.report.latency_words import latency_words, not_known_lines
from fhecost.report.machine_figures import machine_figures
from fhecost.report.other_ways_blocks import other_ways_blocks
from fhecost.report.pbs_words import pbs_blocks, pbs_columns, pbs_sentence
from fhecost.report.refusal_lines import refused
from fhecost.report.sensitivity_blocks import sensitivity_blocks, sensitivity_figures
from fhecost.report.throughput_blocks import throughput_blocks
from fhecost.report.token_blocks import TOKEN_FIELDS, token_blocks, token_records
from fhecost.report.unsure_lines import on_top, sure_blocks
from fhecost.units import duration, energy, price, share, span, times

_LEGEND = Note(
    "utilization: what the machine would need were it always full, over what it needs; energy: at "
    "full power all the time; PBS/s: of this circuit; -: unknown; m/p/a: share of the latency that "
    "rests on numbers measured or calibrated here, published, or modelled and assumed"
)


def comparison_document(report: ComparisonReport) -> Document:
    """The answer, then times, costs, and the machines that can't run the circuit."""
    blocks = (*on_top(report.unsure), Text(*comparison_answer(report)), *comparison_blocks(report))
    return Document(blocks, _records(report), report)


def comparison_answer(report: ComparisonReport) -> Iterator[str]:
    """What a reader can act on, in two or three sentences."""
    return answer_lines(map(Contender.like, report.rows), cost_error=report.circuit.cost_error)


def comparison_blocks(report: ComparisonReport) -> Iterator[Block]:
    """All that the answer rests on."""
    circuit, rows = report.circuit, report.rows
    yield Text(f"{circuit.name}: {circuit.pbs_count:,} PBS, {circuit.key_switch_count:,} KS")
    yield from _what_if(report)
    speed_ups = ("1 (base)" if row.hardware == report.base else row.speed_up for row in rows)
    yield Table(
        names("machine", (row.hardware for row in rows)),
        column("kind", (row.kind for row in rows)),
        *pbs_columns(rows, report.pbs),
        numbers("latency", map(latency_words, rows)),
        numbers("range", (span(row.low_s, row.high_s) for row in rows)),
        numbers("speed-up", speed_ups, times),
        numbers("utilization", (row.utilization for row in rows), share),
        column("bottleneck", (row.bottleneck for row in rows)),
        numbers("energy", (row.energy_j for row in rows), energy),
        numbers("price", (row.price_usd for row in rows), price),
        *_efficiency(rows),
        numbers("m/p/a %", (_grounds(row) for row in rows)),
        fixed=1,
    )
    yield from pbs_blocks(rows, report.pbs, circuit.p_error)
    unknown = not_known_lines((row.hardware, row) for row in rows)
    yield Note(*unknown, *_alike(rows), *_streamed(rows))
    yield refused(report.refusals, "no estimate: ")
    yield _LEGEND
    yield from throughput_blocks(report.throughputs, report.pbs)
    yield from sensitivity_blocks(report.sensitivities)
    yield from other_ways_blocks(report.published, circuit.description.model)
    yield from token_blocks(circuit.description, report.token_costs)
    yield from sure_blocks(report.unsure)


def _efficiency(rows: Sequence[ComparisonRow]) -> Iterator[Column]:
    """PBS a second by watt and by mm², where any machine has these."""
    for heading, values in (
        ("PBS/s/W", [row.pbs_per_s_per_w for row in rows]),
        ("PBS/s/mm²", [row.pbs_per_s_per_mm2 for row in rows]),
    ):
        if any(value is not None for value in values):
            yield numbers(heading, values, "{:,.3g}".format)


def _alike(rows: Sequence[ComparisonRow]) -> Iterator[str]:
    """Machines with one latency to the digit: nothing that tells them apart is asked of them."""
    alike: dict[tuple[float, float, float], list[str]] = {}
    for row in rows:
        alike.setdefault((row.latency_s, row.low_s, row.high_s), []).append(row.hardware)
    for machines in alike.values():
        if len(machines) > 1:
            yield (
                f"{', '.join(machines)}: the same to the digit, since all figures that this "
                "circuit's time rests on are the same"
            )


def _streamed(rows: Sequence[ComparisonRow]) -> Iterator[str]:
    """What doesn't fit the machines' memories, and how it gets there: a line for those alike."""
    said: dict[str, list[str]] = {}
    for row in rows:
        if row.memory is not None and row.memory.capacity_bytes is not None:
            for text in memory_assumptions(row.memory)[1:]:
                said.setdefault(text, []).append(row.hardware)
    yield from (f"{', '.join(machines)}: {text}" for text, machines in said.items())


def _what_if(report: ComparisonReport) -> Iterator[Block]:
    """The figures that were set, and what they do to the machines that have them."""
    if not report.changes:
        return
    values = ", ".join(f"{name} = {value:g}" for name, value in report.what_if.items())
    yield Text(
        f"what if: {values}, on the machines below. What was set is assumed, and keeps its range, "
        "relative to its value."
    )
    yield Table(
        names("machine", (change.hardware for change in report.changes)),
        names("figure", (change.figure for change in report.changes), least=20),
        numbers("before", (change.before for change in report.changes), _figure),
        numbers("set to", (change.after for change in report.changes), _figure),
    )
    set_on = {change.hardware for change in report.changes}
    rows = [row for row in report.rows if row.hardware in set_on]
    befores = [row.before for row in rows]
    if rows:
        yield Table(
            names("machine", (row.hardware for row in rows)),
            numbers("before", (one and one.latency_s for one in befores), duration),
            numbers("range", (one and span(one.low_s, one.high_s) for one in befores)),
            numbers("after", (row.latency_s for row in rows), duration),
            numbers("range", (span(row.low_s, row.high_s) for row in rows)),
        )


def _figure(figure: Figure) -> str:
    """A figure's value with its range, if it has one."""
    if figure.lowest == figure.highest:
        return f"{figure.value:g}"
    return f"{figure.value:g} ({figure.lowest:g} to {figure.highest:g})"


def _grounds(row: ComparisonRow) -> str:
    """Shares that rest on what was measured, published, and supposed."""
    measured = row.sources.get(Source.MEASURED, 0.0) + row.sources.get(Source.CALIBRATED, 0.0)
    published = row.sources.get(Source.PUBLISHED, 0.0)
    parts = (measured, published, max(0.0, 1 - measured - published))
    return "/".join(f"{100 * part:.0f}" for part in parts)


def _records(report: ComparisonReport) -> Table:
    """One row a machine; the shares of its sources are fields of their own."""
    tokens = token_records(report.token_costs)
    shares = {f"share_{source.value}": source for source in Source}
    fields = (
        "hardware", "kind", "year", "availability", "pbs_kind", "latency_s", "low_s", "high_s",
        "utilization", "critical_path_s", "bottleneck", "speed_up", "pbs_per_s", "pbs_per_s_per_w",
        "pbs_per_s_per_mm2", "energy_j", "price_usd", *TOKEN_FIELDS, *shares,
        *(f"before_{name}" for name in LatencyRange.model_fields),
    )  # fmt: skip
    return records(
        fields,
        (
            {
                **dict(row),
                **tokens.get(row.hardware, {}),
                **{name: row.sources.get(source, 0.0) for name, source in shares.items()},
                **({f"before_{name}": s for name, s in row.before} if row.before else {}),
            }
            for row in report.rows
        ),
    )


def comparison_plot(report: ComparisonReport) -> drawing.Plot:
    """What is drawn: each machine's latency with its range, and all that it consists of.

    Raises:
        UsageError: plotly isn't installed.
    """
    circuit = report.circuit
    note = (
        f"{circuit.name}: {circuit.pbs_count:,} PBS. The bars are the ranges of the estimates. "
        f"fhecost {report.fhecost_version}, circuit {circuit.hash[:12]}."
        f"{pbs_sentence(report.rows, report.pbs)}"
    )
    return drawing.Plot("Latency on each machine", note, comparison_figures(report))


def comparison_figures(report: ComparisonReport) -> list[drawing.Drawn]:
    """Latencies with what they consist of, roofs, utilization, and which figures matter."""
    return [*machine_figures(report.rows), *sensitivity_figures(report.sensitivities)]
