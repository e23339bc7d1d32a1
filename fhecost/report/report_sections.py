"""The sections of the report, each a question that its reader has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhecost.full_report import FullReport
from fhecost.hardware.comparison import ComparisonRow
from fhecost.hardware.estimate import CircuitSummary
from fhecost.report.accuracy_text import share_table
from fhecost.report.circuit_figures import stage_work
from fhecost.report.comparison_text import (
    LEGEND,
    costs_table,
    price,
    refusal_lines,
    times_table,
)
from fhecost.report.estimate_text import circuit_lines
from fhecost.report.html_parts import (
    Card,
    Section,
    bullets,
    cards,
    foldable,
    paragraph,
    table,
)
from fhecost.report.pages import figure_part
from fhecost.report.projection_text import (
    asked_line,
    law_line,
    length_table,
    machines_of,
    notes,
    target_lines,
)
from fhecost.report.tables import Column
from fhecost.report.validation_text import summary_table
from fhecost.report.years_text import target_line, trend_lines
from fhecost.units import amount, duration, share

Figures = Mapping[str, list[tuple[str, Any]]]
"""Plotly figures with their headings, by the anchor of the section that they belong to."""


def sections(report: FullReport, figures: Figures) -> list[Section]:
    """All sections, in the order in which one reads them."""
    return [
        _answer(report),
        _circuit(report, figures),
        _machines(report, figures),
        _accuracy(report, figures),
        _validation(report, figures),
        _projection(report, figures),
        _sources(report),
    ]


def _answer(report: FullReport) -> Section:
    circuit, rows = report.comparison.circuit, report.comparison.rows
    fastest = min(rows, key=lambda row: row.latency_s)
    found = [
        Card(
            "Bootstraps (PBS)",
            f"{circuit.pbs_count:,}",
            f"{circuit.key_switch_count:,} key switches, at most {circuit.max_bit_width} bits",
        ),
        Card(
            "Keys",
            amount(circuit.bsk_bytes + circuit.ksk_bytes, "B"),
            f"bootstrap {amount(circuit.bsk_bytes, 'B')}, "
            f"key switch {amount(circuit.ksk_bytes, 'B')}",
        ),
        *(_machine_card(f"Fastest {kind.upper()}", rows, kind) for kind in _kinds(rows)),
    ]
    priced = [row for row in rows if row.price_usd is not None]
    if priced:
        cheapest = min(priced, key=lambda row: row.price_usd or 0.0)
        found.append(
            Card(
                "Cheapest run",
                price(cheapest.price_usd),
                f"{cheapest.hardware}, of {len(priced)} machines with a known price",
            )
        )
    body = [cards(found)]
    if fastest.high_s > 2 * fastest.low_s:
        body.append(
            paragraph(
                "Ranges are wide where they rest on published or assumed numbers: each machine's "
                "section below says on which.",
                "note",
            )
        )
    return Section("answer", "In short", "\n".join(body))


def _kinds(rows: tuple[ComparisonRow, ...]) -> list[str]:
    return [kind for kind in ("cpu", "gpu", "fpga", "asic") if any(r.kind == kind for r in rows)]


def _machine_card(label: str, rows: tuple[ComparisonRow, ...], kind: str) -> Card:
    row = min((row for row in rows if row.kind == kind), key=lambda row: row.latency_s)
    return Card(
        label,
        duration(row.latency_s),
        f"{row.hardware}, {duration(row.low_s)} to {duration(row.high_s)}",
    )


def _circuit(report: FullReport, figures: Figures) -> Section:
    circuit = report.comparison.circuit
    body = [*(paragraph(line) for line in circuit_lines(circuit)), _drawn(figures, "circuit")]
    body.append(table("Stages that bootstrap, in their order", *_stage_table(circuit)))
    return Section("circuit", "The circuit", "\n".join(body))


def _stage_table(circuit: CircuitSummary) -> tuple[list[Column], list[list[str]]]:
    names = ("bits", "PBS", "share of work", "wide", "deep")
    columns = [Column("stage"), *(Column(name, right=True) for name in names)]
    stages = [stage for stage in circuit.stages if stage.pbs]
    total = sum(stage_work(stage) for stage in stages)
    rows = [
        [
            stage.name,
            str(stage.bit_width or ""),
            f"{stage.pbs_count:,}",
            share(stage_work(stage) / total),
            f"{stage.parallel_width:,}",
            f"{stage.depth:,}",
        ]
        for stage in stages
    ]
    return columns, rows


def _machines(report: FullReport, figures: Figures) -> Section:
    comparison = report.comparison
    body = [
        _drawn(figures, "machines"),
        table("Latency by machine", *times_table(comparison)),
        table("What it takes and what it rests on", *costs_table(comparison.rows)),
        paragraph(LEGEND, "note"),
    ]
    if comparison.refusals:
        lines = refusal_lines(comparison)
        count = len(comparison.refusals)
        body.append(foldable(f"{count} machines that can't run it, and why", bullets(lines)))
    return Section("machines", "Machines side by side", "\n".join(body))


def _accuracy(report: FullReport, figures: Figures) -> Section:
    if report.accuracy is None:
        body = paragraph(f"Unknown: {report.missing['accuracy']}.")
    else:
        rows = report.accuracy.rows
        said = (
            f"Share of positions whose float top-1 token is among the quantized top k: "
            f"{rows[0].sentences} windows from {report.accuracy.sentences}. "
            f"Weights {report.accuracy.model_sha256[:12]}."
        )
        columns_and_rows = foldable(
            "All lengths", table("Accuracy by length, with 95 % intervals", *share_table(rows))
        )
        body = "\n".join([paragraph(said), _drawn(figures, "accuracy"), columns_and_rows])
    return Section("accuracy", "Accuracy by sequence length", body)


def _validation(report: FullReport, figures: Figures) -> Section:
    if report.validation is None:
        body = paragraph(f"Unknown: {report.missing['validation']}.")
    else:
        validation = report.validation
        said = (
            f"The latency model of {validation.hardware} against encrypted runs that were really "
            "measured there; calibration never saw them. The baseline is Concrete's complexity "
            "times the constant that fits these very runs best."
        )
        errors = table("Absolute errors", *summary_table(validation))
        body = "\n".join([paragraph(said), _drawn(figures, "validation"), errors])
    return Section("validation", "Predicted against measured", body)


def _projection(report: FullReport, figures: Figures) -> Section:
    projection = report.projection
    if projection is None:
        body = paragraph(f"None: {report.missing['projection']}.")
        return Section("projection", "Longer sequences, later years", body)
    columns, rows = length_table(projection, machines_of(projection))
    parts = [
        paragraph(f"{asked_line(projection)}."),
        _drawn(figures, "projection"),
        table("PBS and latency by sequence length", columns, rows),
        bullets([law_line(law) for law in projection.lengths.laws]),
        bullets([*notes(projection), *target_lines(projection)]),
    ]
    if projection.years is not None:
        parts += [
            foldable(
                f"{one.name} over the years: trend and assumptions",
                bullets([*trend_lines(one), *one.assumptions])
                if one.reason is None
                else bullets([f"no projection: {one.reason}"]),
            )
            for one in projection.years.projections
        ]
        if projection.years.targets:
            parts.append(bullets(target_line(target) for target in projection.years.targets))
    return Section("projection", "Longer sequences, later years", "\n".join(parts))


def _sources(report: FullReport) -> Section:
    parts = [
        paragraph(
            "What each estimate takes for granted, and where its numbers come from; shares are "
            "of its latency."
        )
    ]
    for made in report.estimates.estimates:
        mixture = ", ".join(f"{share(part)} {source}" for source, part in made.sources.items())
        lines = [f"rests on: {mixture}", *made.assumptions]
        lines += [f"source: {text}" for text in made.references]
        parts.append(foldable(f"{made.hardware}: {made.title}", bullets(lines)))
    return Section("sources", "Assumptions and sources", "\n".join(parts))


def _drawn(figures: Figures, anchor: str) -> str:
    return "\n".join(figure_part(heading, figure) for heading, figure in figures.get(anchor, ()))
