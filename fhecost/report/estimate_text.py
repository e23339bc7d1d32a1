"""An estimate report as table, JSON, CSV or Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence

from fhecost.circuits.description import CircuitDescription
from fhecost.circuits.profile import Stage
from fhecost.hardware.estimate import OPERATIONS, CircuitSummary, Estimate, EstimateReport
from fhecost.report.tables import (
    TERMINAL_WIDTH,
    Column,
    distinct,
    markdown_table,
    text_table,
    wrap,
)
from fhecost.units import amount, duration, share

_LONGEST_STAGE = 28
_LONGEST_MACHINE = 12
_SHORTEST_MACHINE = 7
_NO_STAGE = "without PBS, and transfer"

Table = tuple[list[Column], list[list[str]]]

CSV_FIELDS = (
    "hardware",
    "latency_s",
    "low_s",
    "high_s",
    "bottleneck",
    *(f"{operation}_s" for operation in OPERATIONS),
    "pbs_count",
    "key_switch_count",
    "circuit_hash",
    "hardware_hash",
    "refused_because",
)


def as_json(report: EstimateReport) -> str:
    """The whole report, as its JSON Schema describes it."""
    return report.model_dump_json(indent=1) + "\n"


def as_csv(report: EstimateReport) -> str:
    """One row a machine, seconds unrounded; one that can't run it has a reason instead."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, CSV_FIELDS, lineterminator="\n")
    writer.writeheader()
    for estimate in report.estimates:
        writer.writerow(
            {
                "hardware": estimate.hardware,
                "latency_s": estimate.latency_s,
                "low_s": estimate.low_s,
                "high_s": estimate.high_s,
                "bottleneck": estimate.bottleneck.value,
                **{f"{name}_s": estimate.by_operation_s[name] for name in OPERATIONS},
                "pbs_count": report.circuit.pbs_count,
                "key_switch_count": report.circuit.key_switch_count,
                "circuit_hash": estimate.circuit_hash,
                "hardware_hash": estimate.hardware_hash,
            }
        )
    for refusal in report.refusals:
        writer.writerow({"hardware": refusal.hardware, "refused_because": refusal.reason})
    return stream.getvalue()


def as_table(report: EstimateReport) -> str:
    """For a terminal of 80 columns."""
    return _compose(report, text_table, str.upper, TERMINAL_WIDTH)


def as_markdown(report: EstimateReport) -> str:
    """For a README or an issue."""
    return _compose(report, markdown_table, lambda title: f"### {title}", None)


RENDERERS: Mapping[str, Callable[[EstimateReport], str]] = {
    "table": as_table,
    "json": as_json,
    "csv": as_csv,
    "markdown": as_markdown,
}


def _compose(
    report: EstimateReport,
    table: Callable[[Sequence[Column], Sequence[Sequence[str]]], str],
    heading: Callable[[str], str],
    width: int | None,
) -> str:
    circuit = report.circuit
    blocks = [
        heading("Circuit"),
        "\n".join(wrap(line) for line in circuit_lines(circuit)),
        *(table(*parts) for parts in _stage_tables(circuit, report.estimates, width)),
        heading("Latency"),
        table(*_estimate_table(report.estimates, width)),
    ]
    blocks += [
        wrap(f"{refusal.hardware}: no estimate: {refusal.reason}.") for refusal in report.refusals
    ]
    blocks += [heading("How sure"), "\n".join(_provenance_lines(report.estimates))]
    return "\n\n".join(blocks) + "\n"


def circuit_lines(circuit: CircuitSummary) -> list[str]:
    """What the circuit is, what goes into it, its counts and its keys."""
    said = ", ".join(described(circuit.description))
    text = circuit.description.text
    return [
        f"{circuit.name} ({circuit.source}){': ' + said if said else ''}",
        *([f"of: “{text}”"] if text else []),
        f"{circuit.pbs_count:,} PBS, {circuit.key_switch_count:,} KS, "
        f"{sum(circuit.linear_counts.values()):,} linear operations; "
        f"at most {circuit.max_bit_width} bits; p_error {circuit.p_error:.1e} per TLU, "
        f"{circuit.global_p_error:.1e} for the circuit",
        f"keys: BSK {amount(circuit.bsk_bytes, 'B')}, KSK {amount(circuit.ksk_bytes, 'B')}; "
        f"complexity {circuit.complexity:.3g}",
        f"ciphertexts: in {amount(circuit.input_bytes, 'B')}, out "
        f"{amount(circuit.output_bytes, 'B')}, widest stage "
        f"{amount(circuit.widest_stage_bytes, 'B')}",
    ]


def described(description: CircuitDescription) -> list[str]:
    """What is said of a circuit, a few words each."""
    # The sentence and the weights' hash are for the record; a line each would say too much here.
    fields = description.model_dump(exclude={"text", "model_sha256", "notes"}, exclude_none=True)
    return [
        _described(name, value) for name, value in (*fields.items(), *description.notes.items())
    ]


def _described(name: str, value: str | float | tuple[int, ...]) -> str:
    if name == "heads" and isinstance(value, tuple):
        return f"head{'s' if len(value) > 1 else ''} {', '.join(map(str, value))}"
    if name.endswith("_bytes") and isinstance(value, int):
        return f"{name.removesuffix('_bytes').replace('_', ' ')} {amount(value, 'B')}"
    said = f"{value:,}" if name.endswith("_per_token") else value
    return f"{name.replace('_', ' ').replace('pbs', 'PBS')} {said}"


def _stage_tables(
    circuit: CircuitSummary, estimates: Sequence[Estimate], width: int | None
) -> list[Table]:
    """Stages that bootstrap, with their share of each machine's time; the rest in one row.

    One table, or as many as the machines need when each is at most ``width`` characters wide.
    """
    stages = [stage.name for stage in _bootstrapping(circuit)]
    machines = [estimate.hardware for estimate in estimates]
    if width is not None:
        stages = distinct(stages, _LONGEST_STAGE)
        machines = distinct(machines, _LONGEST_MACHINE)
    fixed = stage_columns(circuit, stages)
    groups: list[list[list[str]]] = []
    left = 0
    for column in _share_columns(circuit, estimates, machines):
        needed = 2 + _width(column)
        if not groups or (width is not None and needed > left):
            groups.append([])
            left = (width or 0) - sum(map(_width, fixed)) - 2 * (len(fixed) - 1)
        groups[-1].append(column)
        left -= needed
    return [_beside(fixed, group) for group in groups]


def _width(cells: Sequence[str]) -> int:
    return max(map(len, cells))


def _bootstrapping(circuit: CircuitSummary) -> list[Stage]:
    return [stage for stage in circuit.stages if stage.pbs]


def stage_columns(circuit: CircuitSummary, names: Sequence[str]) -> list[list[str]]:
    """The columns that say what each stage is, each with its heading first."""
    stages = _bootstrapping(circuit)
    return [
        ["stage", *names, _NO_STAGE],
        ["bits", *(str(stage.bit_width or "") for stage in stages), ""],
        ["PBS", *(f"{stage.pbs_count:,}" for stage in stages), ""],
        ["wide", *(f"{stage.parallel_width:,}" for stage in stages), ""],
        ["deep", *(f"{stage.depth:,}" for stage in stages), ""],
    ]


def _share_columns(
    circuit: CircuitSummary, estimates: Sequence[Estimate], headings: Sequence[str]
) -> list[list[str]]:
    """A column a machine: each stage's share of its time, the heading first."""
    names = [stage.name for stage in _bootstrapping(circuit)]
    columns = []
    for estimate, heading in zip(estimates, headings, strict=True):
        parts = {stage.stage: stage.latency_s / estimate.latency_s for stage in estimate.by_stage}
        rest = sum(part for name, part in parts.items() if name not in names)
        columns.append([heading, *(share(parts.get(name, 0.0)) for name in names), share(rest)])
    return columns


def _beside(stages: Sequence[Sequence[str]], shares: Sequence[Sequence[str]]) -> Table:
    """One table of columns that have their heading first; all but the first aligned right."""
    columns = [*stages, *shares]
    headings = [Column(cells[0], right=index > 0) for index, cells in enumerate(columns)]
    return headings, [list(row) for row in zip(*(cells[1:] for cells in columns), strict=True)]


def _estimate_table(estimates: Sequence[Estimate], width: int | None) -> Table:
    """One line a machine; names are shortened where the table would be wider than ``width``."""
    columns = [
        Column("machine"),
        Column("latency", right=True),
        Column("from", right=True),
        Column("to", right=True),
        Column("bound by"),
        Column("rests on"),
    ]
    rows = [
        [
            duration(estimate.latency_s),
            duration(estimate.low_s),
            duration(estimate.high_s),
            estimate.bottleneck.value.removeprefix("memory "),
            _largest_source(estimate),
        ]
        for estimate in estimates
    ]
    names = [estimate.hardware for estimate in estimates]
    if width is not None:
        headings = [column.heading for column in columns[1:]]
        others = sum(2 + _width(cells) for cells in zip(headings, *rows, strict=True))
        names = distinct(names, max(_SHORTEST_MACHINE, width - others))
    return columns, [[name, *cells] for name, cells in zip(names, rows, strict=True)]


def _largest_source(estimate: Estimate) -> str:
    source = max(estimate.sources, key=lambda name: estimate.sources[name])
    return f"{share(estimate.sources[source])} {source.value}"


def _provenance_lines(estimates: Sequence[Estimate]) -> list[str]:
    lines = []
    for estimate in estimates:
        mixture = ", ".join(
            f"{share(part)} {source.value}" for source, part in estimate.sources.items()
        )
        lines.append(wrap(f"{estimate.hardware}: {estimate.title}; time rests on: {mixture}."))
        lines += [wrap(f"- {text}", indent="  ") for text in estimate.assumptions]
        lines += [wrap(f"- source: {text}", indent="  ") for text in estimate.references]
    return lines
