"""The sections of the report, each a question that its reader has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fhecost.circuits.profile import Stage
from fhecost.full_report import FullReport
from fhecost.hardware.comparison import ComparisonRow
from fhecost.projection.years import YearProjection
from fhecost.report.accuracy_document import share_table
from fhecost.report.circuit_figures import stage_work
from fhecost.report.circuit_lines import circuit_lines
from fhecost.report.columns import Table, numbers
from fhecost.report.comparison_document import LEGEND, costs_table, price, refusals, times_table
from fhecost.report.document import Note, Text
from fhecost.report.estimate_document import bootstrapping, grounds, stage_columns
from fhecost.report.html_parts import Card, Section, cards, foldable, html
from fhecost.report.pages import figure_part
from fhecost.report.projection_document import (
    asked_line,
    cost_notes,
    law_line,
    length_table,
    target_lines,
)
from fhecost.report.projection_document import (
    refusals as projection_refusals,
)
from fhecost.report.validation_document import summary_table
from fhecost.report.years_document import target_line, trend_lines
from fhecost.units import amount, duration, share, span

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
    priced = [(row.price_usd, row.hardware) for row in rows if row.price_usd is not None]
    if priced:
        least, hardware = min(priced)
        about = f"{hardware}, of {len(priced)} machines with a known price"
        found.append(Card("Cheapest run", price(least), about))
    body = cards(found)
    if fastest.high_s > 2 * fastest.low_s:
        body += "\n" + html(
            Note(
                "Ranges are wide where they rest on published or assumed numbers: each machine's "
                "section below says on which."
            )
        )
    return Section("answer", "In short", body)


def _kinds(rows: tuple[ComparisonRow, ...]) -> list[str]:
    return [kind for kind in ("cpu", "gpu", "fpga", "asic") if any(r.kind == kind for r in rows)]


def _machine_card(label: str, rows: tuple[ComparisonRow, ...], kind: str) -> Card:
    row = min((row for row in rows if row.kind == kind), key=lambda row: row.latency_s)
    return Card(
        label,
        duration(row.latency_s),
        f"{row.hardware}, {span(row.low_s, row.high_s)}",
    )


def _circuit(report: FullReport, figures: Figures) -> Section:
    circuit = report.comparison.circuit
    body = [html(Text(*circuit_lines(circuit))), _drawn(figures, "circuit")]
    body.append(html(_stage_table(bootstrapping(circuit.stages))))
    return Section("circuit", "The circuit", "\n".join(body))


def _stage_table(stages: Sequence[Stage]) -> Table:
    work = [stage_work(stage) for stage in stages]
    columns = stage_columns(stages)
    columns.insert(3, numbers("share of work", (part / sum(work) for part in work), share))
    return Table(*columns, title="Stages that bootstrap, in their order")


def _machines(report: FullReport, figures: Figures) -> Section:
    comparison = report.comparison
    body = html(
        times_table(comparison, "Latency by machine"),
        costs_table(comparison.rows, "What it takes and what it rests on"),
        LEGEND,
        refusals(comparison),
    )
    return Section("machines", "Machines side by side", f"{_drawn(figures, 'machines')}\n{body}")


def _accuracy(report: FullReport, figures: Figures) -> Section:
    if report.accuracy is None:
        body = html(Text(f"Unknown: {report.missing['accuracy']}."))
    else:
        rows = report.accuracy.rows
        said = Text(
            f"Share of positions whose float top-1 token is among the quantized top k: "
            f"{rows[0].sentences} windows from {report.accuracy.sentences}. "
            f"Weights {report.accuracy.model_sha256[:12]}."
        )
        table = html(share_table(rows, "Accuracy by length, with 95 % intervals"))
        folded = foldable("All lengths", table)
        body = "\n".join([html(said), _drawn(figures, "accuracy"), folded])
    return Section("accuracy", "Accuracy by sequence length", body)


def _validation(report: FullReport, figures: Figures) -> Section:
    if report.validation is None:
        body = html(Text(f"Unknown: {report.missing['validation']}."))
    else:
        validation = report.validation
        said = Text(
            f"The latency model of {validation.hardware} against encrypted runs that were really "
            "measured there; calibration never saw them. The baseline is Concrete's complexity "
            "times the constant that fits these very runs best."
        )
        errors = html(summary_table(validation, "Absolute errors"))
        body = "\n".join([html(said), _drawn(figures, "validation"), errors])
    return Section("validation", "Predicted against measured", body)


def _projection(report: FullReport, figures: Figures) -> Section:
    projection = report.projection
    if projection is None:
        body = html(Text(f"None: {report.missing['projection']}."))
        return Section("projection", "Longer sequences, later years", body)
    parts = [
        html(Text(f"{asked_line(projection)}.")),
        _drawn(figures, "projection"),
        html(
            length_table(projection, "PBS and latency by sequence length"),
            Text(tuple(map(law_line, projection.lengths.laws))),
            *cost_notes(projection),
            projection_refusals(projection),
            Text(tuple(target_lines(projection))),
        ),
    ]
    if projection.years is not None:
        parts += [_years(one) for one in projection.years.projections]
        parts.append(html(Text(tuple(map(target_line, projection.years.targets)))))
    return Section("projection", "Longer sequences, later years", "\n".join(parts))


def _years(projection: YearProjection) -> str:
    said = [f"no projection: {projection.reason}"]
    if projection.reason is None:
        said = [*trend_lines(projection), *projection.assumptions]
    summary = f"{projection.name} over the years: trend and assumptions"
    return foldable(summary, html(Text(tuple(said))))


def _sources(report: FullReport) -> Section:
    said = Text(
        "What each estimate takes for granted, and where its numbers come from; shares are of its "
        "latency."
    )
    machines = [
        foldable(f"{made.hardware}: {made.title}", html(Text(*grounds(made))))
        for made in report.estimates.estimates
    ]
    return Section("sources", "Assumptions and sources", "\n".join([html(said), *machines]))


def _drawn(figures: Figures, anchor: str) -> str:
    return "\n".join(figure_part(heading, figure) for heading, figure in figures.get(anchor, ()))
