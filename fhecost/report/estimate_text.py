"""An estimate report as table, JSON, CSV or Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence

from fhecost.circuits.profile import Stage
from fhecost.hardware.estimate import OPERATIONS, CircuitSummary, Estimate, EstimateReport
from fhecost.report.tables import Column, markdown_table, text_table, wrap
from fhecost.report.units import amount, duration, share

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
    return _compose(report, text_table, str.upper)


def as_markdown(report: EstimateReport) -> str:
    """For a README or an issue."""
    return _compose(report, markdown_table, lambda title: f"### {title}")


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
) -> str:
    circuit = report.circuit
    blocks = [
        heading("Circuit"),
        "\n".join(wrap(line) for line in _circuit_lines(circuit)),
        table(*_stage_rows(circuit, report.estimates)),
        heading("Latency"),
        table(*_estimate_rows(report.estimates)),
    ]
    blocks += [
        wrap(f"{refusal.hardware}: no estimate: {refusal.reason}.") for refusal in report.refusals
    ]
    blocks += [heading("How sure"), "\n".join(_provenance_lines(report.estimates))]
    return "\n\n".join(blocks) + "\n"


def _circuit_lines(circuit: CircuitSummary) -> list[str]:
    described = ", ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in circuit.description.items()
    )
    return [
        f"{circuit.name} ({circuit.source}){': ' + described if described else ''}",
        f"{circuit.pbs_count:,} PBS, {circuit.key_switch_count:,} KS, "
        f"{sum(circuit.linear_counts.values()):,} linear operations; "
        f"at most {circuit.max_bit_width} bits; p_error {circuit.p_error:.1e} per TLU, "
        f"{circuit.global_p_error:.1e} for the circuit",
        f"keys: BSK {amount(circuit.bsk_bytes, 'B')}, KSK {amount(circuit.ksk_bytes, 'B')}; "
        f"complexity {circuit.complexity:.3g}",
    ]


def _stage_rows(
    circuit: CircuitSummary, estimates: Sequence[Estimate]
) -> tuple[list[Column], list[list[str]]]:
    """Stages that bootstrap, with their share of each machine's time; the rest in one row."""
    columns = [
        Column("stage"),
        Column("bits", right=True),
        Column("PBS", right=True),
        Column("wide", right=True),
        Column("deep", right=True),
        *(Column(_shortened(estimate.hardware), right=True) for estimate in estimates[:4]),
    ]
    seconds = [
        {stage.stage: stage.latency_s / estimate.latency_s for stage in estimate.by_stage}
        for estimate in estimates[:4]
    ]
    bootstrapping = [stage for stage in circuit.stages if stage.pbs]
    rows = [
        [*_stage_cells(stage), *(share(shares.get(stage.name, 0.0)) for shares in seconds)]
        for stage in bootstrapping
    ]
    names = {stage.name for stage in bootstrapping}
    rest = [sum(part for name, part in shares.items() if name not in names) for shares in seconds]
    rows.append(["without PBS, and transfer", "", "", "", "", *(share(part) for part in rest)])
    return columns, rows


def _stage_cells(stage: Stage) -> list[str]:
    return [
        stage.name,
        str(stage.bit_width or ""),
        f"{stage.pbs_count:,}",
        f"{stage.parallel_width:,}",
        f"{stage.depth:,}",
    ]


def _shortened(name: str) -> str:
    return name if len(name) <= 10 else name[:9] + "…"


def _estimate_rows(estimates: Sequence[Estimate]) -> tuple[list[Column], list[list[str]]]:
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
            estimate.hardware,
            duration(estimate.latency_s),
            duration(estimate.low_s),
            duration(estimate.high_s),
            estimate.bottleneck.value,
            _largest_source(estimate),
        ]
        for estimate in estimates
    ]
    return columns, rows


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
