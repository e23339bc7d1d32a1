"""What ``fhecost hardware`` says: all machines, or one with every figure and its source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from fhecost.hardware.pbs_choice import kinds_of
from fhecost.hardware.profile import HardwareList, HardwareProfile
from fhecost.provenance import Figure, Source
from fhecost.report.columns import Table, column, names, numbers, records
from fhecost.report.document import Document, Listing, Note, Text


def list_document(machines: Sequence[HardwareProfile]) -> Document:
    """A line a machine, with how many of its figures are of which trust."""
    fields = (
        "name", "kind", "year", "availability", "latency_model", "pbs_kind", "pbs_kinds", "title",
        "hardware_hash", *(f"{source.value}_figures" for source in Source),
    )  # fmt: skip
    counts = [Counter(one.source for one in machine.figures.values()) for machine in machines]
    return Document(
        blocks=(
            Table(
                names("machine", (machine.name for machine in machines)),
                column("kind", (machine.kind for machine in machines)),
                column("year", (machine.year for machine in machines)),
                column("to be had", (machine.availability for machine in machines)),
                numbers("m/p/a", map(_trust, counts)),
                column("title", (machine.title for machine in machines), least=12),
            ),
            Note(
                "m/p/a: figures that were measured or calibrated, that are published, and that are "
                "modelled or assumed; hardware show names the source of each"
            ),
        ),
        records=records(
            fields,
            (
                {
                    **dict(machine),
                    "hardware_hash": machine.hash,
                    "pbs_kinds": " ".join(kinds_of(machine)),
                    **{f"{source.value}_figures": count[source] for source in Source},
                }
                for machine, count in zip(machines, counts, strict=True)
            ),
        ),
        report=HardwareList(machines=tuple(machines)),
        omits_unknown=True,
    )


def _trust(count: Mapping[Source, int]) -> str:
    """Figures of each trust, the best first."""
    measured = count[Source.MEASURED] + count[Source.CALIBRATED]
    supposed = count[Source.MODELLED] + count[Source.ASSUMED]
    return f"{measured}/{count[Source.PUBLISHED]}/{supposed}"


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
