"""The page that ``fhecost report`` writes: sections, each a question that its reader has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fhecost.full_report import FullReport
from fhecost.report.accuracy_document import accuracy_document
from fhecost.report.accuracy_figures import accuracy_figures
from fhecost.report.circuit_figures import circuit_figures
from fhecost.report.circuit_lines import headline
from fhecost.report.comparison_document import comparison_document, price
from fhecost.report.comparison_figures import comparison_figures
from fhecost.report.document import Block, Note, Text
from fhecost.report.drawing import KIND_COLORS, Drawn
from fhecost.report.estimate_document import circuit_blocks, grounds
from fhecost.report.pages import cards, figure_part, html, section_page
from fhecost.report.projection_document import projection_document
from fhecost.report.projection_figures import projection_figures
from fhecost.report.validation_document import validation_document
from fhecost.report.validation_figures import validation_figures
from fhecost.units import amount, duration, span

Figures = Mapping[str, Sequence[Drawn]]
"""Plotly figures with their headings, by the anchor of the section that they belong to."""

_LEAD = (
    "Latency, price and accuracy of a TFHE circuit, machine by machine, with ranges and with the "
    "source of every number."
)
_SOURCES = Text(
    "What each estimate takes for granted, and where its numbers come from; shares are of its "
    "latency."
)
_WIDE = Note(
    "Ranges are wide where they rest on published or assumed numbers: each machine's section below "
    "says on which."
)


def report_figures(report: FullReport) -> Figures:
    """The figures by section; a part that is missing has none.

    Raises:
        UsageError: plotly isn't installed.
    """
    return {
        "circuit": circuit_figures(report.comparison.circuit),
        "machines": comparison_figures(report.comparison),
        "accuracy": accuracy_figures(report.accuracy) if report.accuracy else (),
        "validation": validation_figures(report.validation) if report.validation else (),
        "projection": projection_figures(report.projection) if report.projection else (),
    }


def report_page(report: FullReport, figures: Figures | None = None) -> str:
    """One HTML page that holds everything and opens offline.

    Args:
        report: what it says; each section is the document of one command.
        figures: those of :func:`report_figures`, if they are there already.

    Raises:
        UsageError: plotly isn't installed.
    """
    drawn = report_figures(report) if figures is None else figures
    circuit = report.comparison.circuit
    sections: list[tuple[str, str, Sequence[Block]]] = [
        ("circuit", "The circuit", circuit_blocks(report.estimates)),
        ("machines", "Machines side by side", comparison_document(report.comparison).blocks),
        ("accuracy", "Accuracy by sequence length", _accuracy(report)),
        ("validation", "Predicted against measured", _validation(report)),
        ("projection", "Longer sequences, later years", _projection(report)),
        ("sources", "Assumptions and sources", (_SOURCES, grounds(report.estimates.estimates))),
    ]
    parts = [("answer", "In short", _answer(report))]
    for anchor, heading, (first, *others) in sections:
        shown = map(figure_part, drawn.get(anchor, ()))
        parts.append((anchor, heading, "\n".join([html(first), *shown, html(*others)])))
    made_by = {"fhecost": report.fhecost_version, **circuit.versions}
    versions = ", ".join(f"{name} {version}" for name, version in made_by.items())
    return section_page(headline(circuit), _LEAD, parts, f"{versions}; circuit {circuit.hash}.")


def _answer(report: FullReport) -> str:
    circuit, rows = report.comparison.circuit, report.comparison.rows
    bootstrap, switch = amount(circuit.bsk_bytes, "B"), amount(circuit.ksk_bytes, "B")
    about = f"{circuit.key_switch_count:,} key switches, at most {circuit.max_bit_width} bits"
    found = [
        ("Bootstraps (PBS)", f"{circuit.pbs_count:,}", about),
        (
            "Keys",
            amount(circuit.bsk_bytes + circuit.ksk_bytes, "B"),
            f"bootstrap {bootstrap}, key switch {switch}",
        ),
    ]
    by_latency = sorted(rows, key=lambda row: row.latency_s)
    for kind in KIND_COLORS:
        row = next((row for row in by_latency if row.kind == kind), None)
        if row is not None:
            about = f"{row.hardware}, {span(row.low_s, row.high_s)}"
            found.append((f"Fastest {kind.upper()}", duration(row.latency_s), about))
    priced = [(row.price_usd, row.hardware) for row in rows if row.price_usd is not None]
    if priced:
        least, hardware = min(priced)
        about = f"{hardware}, of {len(priced)} machines with a known price"
        found.append(("Cheapest run", price(least), about))
    fastest = by_latency[0]
    return cards(found) + (f"\n{html(_WIDE)}" if fastest.high_s > 2 * fastest.low_s else "")


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
    # Its own heading would stand right below that of the section.
    return projection_document(report.projection).blocks[1:]
