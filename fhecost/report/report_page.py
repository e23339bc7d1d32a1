"""The page that ``fhecost report`` writes: sections, each a question that its reader has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fhecost.accuracy.records import AccuracyReport, nearest
from fhecost.full_report import FullReport
from fhecost.hardware.answer import Contender, Lead, answer_of
from fhecost.report.accuracy_document import accuracy_document, accuracy_figures
from fhecost.report.answer_lines import ties, who
from fhecost.report.bits_figures import bits_blocks, bits_figures
from fhecost.report.circuit_lines import headline
from fhecost.report.comparison_document import comparison_blocks, comparison_figures
from fhecost.report.document import Block, Note, Text
from fhecost.report.drawing import KIND_COLORS, Drawn
from fhecost.report.estimate_document import (
    circuit_blocks,
    circuit_figures,
    estimate_answer,
    grounds,
)
from fhecost.report.pages import cards, figure_part, html, made_by, section_page
from fhecost.report.projection_document import projection_blocks, projection_figures
from fhecost.report.unsure_lines import on_top
from fhecost.report.validation_document import validation_document, validation_figures
from fhecost.units import amount, duration, price, span

Figures = Mapping[str, Sequence[Drawn]]
"""Plotly figures with their headings, by the anchor of the section that they belong to."""

_LEAD = (
    "Latency, price and accuracy of a TFHE circuit, machine by machine, with ranges and with the "
    "source of every number."
)
_FAR = 2
"""How far apart the ends of a range are that is called wide."""
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
        "bits": bits_figures(report.bits) if report.bits else (),
        "validation": validation_figures(report.validation) if report.validation else (),
        "projection": projection_figures(report.projection) if report.projection else (),
    }


def report_page(
    report: FullReport, figures: Figures | None = None, *, command: str | None = None
) -> str:
    """One HTML page that holds everything and opens offline.

    Args:
        report: what it says; each section is the document of one command.
        figures: those of :func:`report_figures`, if they are there already.
        command: what made the page, which stands on it with the date.

    Raises:
        UsageError: plotly isn't installed.
    """
    drawn = report_figures(report) if figures is None else figures
    circuit, parts = report.comparison.circuit, _parts(report)
    blocks: list[tuple[str, str, Sequence[Block]]] = [
        ("circuit", "The circuit", circuit_blocks(report.estimates)),
        ("machines", "Machines side by side", tuple(comparison_blocks(report.comparison))),
        ("accuracy", "Accuracy by sequence length", parts["accuracy"]),
        ("bits", "What bits cost, and what they keep", parts["bits"]),
        ("validation", "Predicted against measured", parts["validation"]),
        ("projection", "Longer sequences, later years", parts["projection"]),
        ("sources", "Assumptions and sources", (_SOURCES, grounds(report.estimates.estimates))),
    ]
    sections = [("answer", "In short", _answer(report))]
    for anchor, heading, (first, *others) in blocks:
        shown = map(figure_part, drawn.get(anchor, ()))
        sections.append((anchor, heading, "\n".join([html(first), *shown, html(*others)])))
    made_with = {"fhecost": report.fhecost_version, **circuit.versions}
    versions = ", ".join(f"{name} {version}" for name, version in made_with.items())
    made = made_by(command)
    footer = f"{made}. {versions}; circuit {circuit.hash}."
    return section_page(headline(circuit), f"{_LEAD} {made}", sections, footer)


def _answer(report: FullReport) -> str:
    """The warning, the sentences, and the figures that they rest on."""
    warning, said = on_top(report.comparison.unsure), Text(*estimate_answer(report.estimates))
    shown = [html(*warning, said), cards(_cards(report))]
    if any(row.high_s > _FAR * row.low_s for row in report.comparison.rows):
        shown.append(html(_WIDE))
    return "\n".join(shown)


def _cards(report: FullReport) -> list[tuple[str, str, str]]:
    """The circuit's size, the fastest of each kind, the cheapest run, and what it keeps."""
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
    contenders = [(row.kind, Contender.like(row)) for row in rows]
    for kind in KIND_COLORS:
        answer = answer_of([one for its, one in contenders if its == kind])
        if answer.fastest is not None:
            found.append(_card(f"Fastest {kind.upper()}", answer.fastest))
        else:
            found += [_card(f"{kind.upper()} on paper", lead) for lead in answer.on_paper[:1]]
    cheapest = answer_of([one for _, one in contenders]).cheapest
    if cheapest is not None:
        about = f"{cheapest.hardware}{ties(cheapest)}; {price(cheapest.low)} to "
        found.append(("Cheapest run", price(cheapest.value), about + price(cheapest.high)))
    seq_len = circuit.description.seq_len
    if report.accuracy is not None and seq_len is not None:
        found.append(_kept(report.accuracy, seq_len))
    return found


def _kept(accuracy: AccuracyReport, seq_len: int) -> tuple[str, str, str]:
    """What is left of the model at the judged length nearest to ``seq_len``."""
    row = nearest(accuracy.rows, seq_len)
    about = f"{row.top1_low:.3f} to {row.top1_high:.3f}; layer {row.layer}, {row.heads_named}"
    about += f" quantized, {row.positions:,} positions of windows of {row.seq_len} tokens"
    return "Top token kept", f"{row.top1:.3f}", about


def _card(label: str, lead: Lead) -> tuple[str, str, str]:
    about = f"{who(lead)}{ties(lead)}; {span(lead.low, lead.high)}"
    return label, duration(lead.value), about


def _parts(report: FullReport) -> dict[str, Sequence[Block]]:
    """What there need not be, by the anchor of its section; if it is missing, why it is."""
    parts: dict[str, Sequence[Block]] = {}
    for part, reason in report.missing.items():
        known = "None" if part in ("projection", "bits") else "Unknown"
        parts[part] = (Text(f"{known}: {reason}."),)
    if report.accuracy is not None:
        weights = Note(f"weights {report.accuracy.model_sha256[:12]}")
        parts["accuracy"] = (*accuracy_document(report.accuracy).blocks, weights)
    if report.bits is not None:
        parts["bits"] = tuple(bits_blocks(report.bits))
    if report.validation is not None:
        said = Text(
            f"The latency model of {report.validation.hardware} against encrypted runs that were "
            "really measured there; calibration never saw them."
        )
        parts["validation"] = (said, *validation_document(report.validation).blocks)
    if report.projection is not None:
        # Its own heading would stand right below that of the section.
        parts["projection"] = tuple(projection_blocks(report.projection))
    return parts
