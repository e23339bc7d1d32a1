"""What ``fhecost hardware`` says: all machines, or one with every figure and its source."""

from __future__ import annotations

from collections.abc import Sequence

from fhecost.hardware.pbs_choice import kinds_of
from fhecost.hardware.profile import HardwareList, HardwareProfile
from fhecost.provenance import Figure
from fhecost.report.columns import Table, column, names, records
from fhecost.report.document import Document, Listing, Text


def list_document(machines: Sequence[HardwareProfile]) -> Document:
    """A line a machine."""
    fields = (
        "name", "kind", "year", "availability", "latency_model", "pbs_kind", "pbs_kinds", "title",
        "hardware_hash",
    )  # fmt: skip
    return Document(
        blocks=(
            Table(
                names("machine", (machine.name for machine in machines)),
                column("kind", (machine.kind for machine in machines)),
                column("year", (machine.year for machine in machines)),
                column("to be had", (machine.availability for machine in machines)),
                column("title", (machine.title for machine in machines), least=12),
            ),
        ),
        records=records(
            fields,
            (
                {**dict(m), "hardware_hash": m.hash, "pbs_kinds": " ".join(kinds_of(m))}
                for m in machines
            ),
        ),
        report=HardwareList(machines=tuple(machines)),
        omits_unknown=True,
    )


def machine_document(machine: HardwareProfile) -> Document:
    """All that is known of one machine."""
    year = f", {machine.year}" if machine.year else ""
    if machine.availability:
        year += f", {machine.availability}"
    about = [
        f"{machine.name}: {machine.title}",
        f"{machine.kind}, {machine.pbs_kind} PBS, latency model {machine.latency_model}{year}",
        machine.summary,
    ]
    further = machine.pbs or {}
    if further:
        kinds = ", ".join(
            kind if stated.availability is None else f"{kind} ({stated.availability})"
            for kind, stated in further.items()
        )
        about.append(f"also {kinds} PBS: --pbs of estimate, compare and project")
    if machine.log2_p_fail is not None:
        about.append(f"for an error of 2^{machine.log2_p_fail:g} a lookup")
    if machine.published is not None and machine.published.fitted_to:
        fitted = ", ".join(machine.published.fitted_to)
        about.append(f"fitted to these published records: {fitted}")
    lists = {
        "figures (SI units)": tuple(map(_line, machine.figures, machine.figures.values())),
        **{
            f"figures of {kind} PBS, in place of its own": tuple(
                map(_line, stated.figures, stated.figures.values())
            )
            for kind, stated in further.items()
        },
        "assumptions": machine.assumptions,
        "references": machine.references,
    }
    fields = ("name", "value", "low", "high", "source", "ref", "rationale")
    return Document(
        blocks=(
            Text(*filter(None, about)),
            *(Text(Listing(line, items)) for line, items in lists.items() if items),
        ),
        records=records(fields, ({"name": n, **dict(f)} for n, f in machine.figures.items())),
        report=machine,
        omits_unknown=True,
    )


def _line(name: str, figure: Figure) -> str:
    low, high = figure.lowest, figure.highest
    bounds = f" [{low:.5g} to {high:.5g}]" if low != high else ""
    origin = figure.ref or figure.rationale
    return f"{name} = {figure.value:.6g}{bounds}, {figure.source.value}: {origin}"
