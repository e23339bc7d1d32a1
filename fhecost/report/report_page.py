"""The page that ``fhecost report`` writes, and its figures."""

from __future__ import annotations

from fhecost.full_report import FullReport
from fhecost.report.accuracy_figures import accuracy_figures
from fhecost.report.circuit_figures import circuit_figures
from fhecost.report.circuit_lines import headline
from fhecost.report.comparison_figures import comparison_figures
from fhecost.report.html_parts import page_body
from fhecost.report.pages import document
from fhecost.report.projection_figures import projection_figures
from fhecost.report.report_sections import Figures, sections
from fhecost.report.validation_figures import validation_figures


def report_figures(report: FullReport) -> Figures:
    """The figures by section; a part that is missing has none.

    Raises:
        UsageError: plotly isn't installed.
    """
    figures = {
        "circuit": circuit_figures(report.comparison.circuit),
        "machines": comparison_figures(report.comparison),
    }
    if report.accuracy is not None:
        figures["accuracy"] = accuracy_figures(report.accuracy)
    if report.validation is not None:
        figures["validation"] = validation_figures(report.validation)
    if report.projection is not None:
        figures["projection"] = projection_figures(report.projection)
    return figures


def report_page(report: FullReport, figures: Figures | None = None) -> str:
    """One HTML page that holds everything and opens offline.

    Args:
        report: what it says.
        figures: those of :func:`report_figures`, if they are there already.

    Raises:
        UsageError: plotly isn't installed.
    """
    drawn = report_figures(report) if figures is None else figures
    circuit = report.comparison.circuit
    title = headline(circuit)
    lead = (
        "Latency, price and accuracy of a TFHE circuit, machine by machine, with ranges and with "
        "the source of every number."
    )
    versions = ", ".join(f"{name} {version}" for name, version in circuit.versions.items())
    footer = (
        f"fhecost {report.fhecost_version}{', ' + versions if versions else ''}; "
        f"circuit {circuit.hash}."
    )
    return document(title, page_body(title, lead, sections(report, drawn), footer))
