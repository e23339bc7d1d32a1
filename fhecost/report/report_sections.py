"""The sections of the report, each a question that its reader has."""

from __future__ import annotations

from collections.abc import Mapping

from fhecost.full_report import FullReport
from fhecost.hardware.comparison import ComparisonRow
from fhecost.report.accuracy_document import accuracy_document
from fhecost.report.comparison_document import comparison_document, price
from fhecost.report.document import Block, Note, Text
from fhecost.report.drawing import Drawn
from fhecost.report.estimate_document import circuit_blocks, grounds
from fhecost.report.html_parts import Card, Section, cards, html
from fhecost.report.pages import figure_part
from fhecost.report.projection_document import projection_document
from fhecost.report.validation_document import validation_document
from fhecost.units import amount, duration, span

Figures = Mapping[str, list[Drawn]]
"""Plotly figures with their headings, by the anchor of the section that they belong to."""

_SOURCES = Text(
    "What each estimate takes for granted, and where its numbers come from; shares are of its "
    "latency."
)


def sections(report: FullReport, figures: Figures) -> list[Section]:
    """All sections, in the order in which one reads them; each is the document of one command."""
    parts: dict[str, tuple[str, tuple[Block, ...]]] = {
        "circuit": ("The circuit", circuit_blocks(report.estimates)),
        "machines": ("Machines side by side", comparison_document(report.comparison).blocks),
        "accuracy": ("Accuracy by sequence length", _accuracy(report)),
        "validation": ("Predicted against measured", _validation(report)),
        "projection": ("Longer sequences, later years", _projection(report)),
        "sources": ("Assumptions and sources", (_SOURCES, grounds(report.estimates.estimates))),
    }
    return [
        Section("answer", "In short", _answer(report)),
        *(
            Section(anchor, heading, _body(blocks, figures.get(anchor, [])))
            for anchor, (heading, blocks) in parts.items()
        ),
    ]


def _body(blocks: tuple[Block, ...], drawn: list[Drawn]) -> str:
    """What is shown, the figures, and the rest."""
    first, *others = blocks
    return "\n".join([html(first), *(figure_part(*each) for each in drawn), html(*others)])


def _answer(report: FullReport) -> str:
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
    return body


def _kinds(rows: tuple[ComparisonRow, ...]) -> list[str]:
    return [kind for kind in ("cpu", "gpu", "fpga", "asic") if any(r.kind == kind for r in rows)]


def _machine_card(label: str, rows: tuple[ComparisonRow, ...], kind: str) -> Card:
    row = min((row for row in rows if row.kind == kind), key=lambda row: row.latency_s)
    return Card(
        label,
        duration(row.latency_s),
        f"{row.hardware}, {span(row.low_s, row.high_s)}",
    )


def _accuracy(report: FullReport) -> tuple[Block, ...]:
    if report.accuracy is None:
        return (Text(f"Unknown: {report.missing['accuracy']}."),)
    weights = Note(f"weights {report.accuracy.model_sha256[:12]}")
    return (*accuracy_document(report.accuracy).blocks, weights)


def _validation(report: FullReport) -> tuple[Block, ...]:
    if report.validation is None:
        return (Text(f"Unknown: {report.missing['validation']}."),)
    said = Text(
        f"The latency model of {report.validation.hardware} against encrypted runs that were "
        "really measured there; calibration never saw them."
    )
    return (said, *validation_document(report.validation).blocks)


def _projection(report: FullReport) -> tuple[Block, ...]:
    if report.projection is None:
        return (Text(f"None: {report.missing['projection']}."),)
    return projection_document(report.projection).blocks
