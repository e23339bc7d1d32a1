"""The page that ``fhecost report`` writes: sections, each a question that its reader has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fhecost.full_report import FullReport
from fhecost.report.accuracy_document import accuracy_document, accuracy_figures
from fhecost.report.circuit_lines import headline
from fhecost.report.comparison_document import comparison_document, comparison_figures
from fhecost.report.document import Block, Note, Text
from fhecost.report.drawing import KIND_COLORS, Drawn
from fhecost.report.estimate_document import circuit_blocks, circuit_figures, grounds
from fhecost.report.pages import cards, figure_part, html, section_page
from fhecost.report.projection_document import projection_document, projection_figures
from fhecost.report.unsure_lines import unsure_blocks
from fhecost.report.validation_document import validation_document, validation_figures
from fhecost.units import amount, duration, price, span

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
    "Ranges are wide where they rest on published or assumed numbers; “Assumptions and sources” "
    "says of each machine on which."
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
    circuit, parts = report.comparison.circuit, _parts(report)
    blocks: list[tuple[str, str, Sequence[Block]]] = [
        ("circuit", "The circuit", circuit_blocks(report.estimates)),
        ("machines", "Machines side by side", _machines(report)),
        ("accuracy", "Accuracy by sequence length", parts["accuracy"]),
        ("validation", "Predicted against measured", parts["validation"]),
        ("projection", "Longer sequences, later years", parts["projection"]),
        ("sources", "Assumptions and sources", (_SOURCES, grounds(report.estimates.estimates))),
    ]
    sections = [("answer", "In short", _answer(report))]
    for anchor, heading, (first, *others) in blocks:
        shown = map(figure_part, drawn.get(anchor, ()))
        sections.append((anchor, heading, "\n".join([html(first), *shown, html(*others)])))
    made_by = {"fhecost": report.fhecost_version, **circuit.versions}
    versions = ", ".join(f"{name} {version}" for name, version in made_by.items())
    return section_page(headline(circuit), _LEAD, sections, f"{versions}; circuit {circuit.hash}.")


def _machines(report: FullReport) -> Sequence[Block]:
    """The machines beside each other; what the circuit is warned of stands on top of the page."""
    return comparison_document(report.comparison.changed(unsure=None)).blocks


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
    warning = html(*unsure_blocks(report.comparison.unsure))
    return (
        warning + cards(found) + (f"\n{html(_WIDE)}" if fastest.high_s > 2 * fastest.low_s else "")
    )


def _parts(report: FullReport) -> dict[str, Sequence[Block]]:
    """What there need not be, by the anchor of its section; if it is missing, why it is."""
    parts: dict[str, Sequence[Block]] = {}
    for part, reason in report.missing.items():
        known = "None" if part == "projection" else "Unknown"
        parts[part] = (Text(f"{known}: {reason}."),)
    if report.accuracy is not None:
        weights = Note(f"weights {report.accuracy.model_sha256[:12]}")
        parts["accuracy"] = (*accuracy_document(report.accuracy).blocks, weights)
    if report.validation is not None:
        said = Text(
            f"The latency model of {report.validation.hardware} against encrypted runs that were "
            "really measured there; calibration never saw them."
        )
        parts["validation"] = (said, *validation_document(report.validation).blocks)
    if report.projection is not None:
        # Its own heading would stand right below that of the section.
        parts["projection"] = projection_document(report.projection).blocks[1:]
    return parts
