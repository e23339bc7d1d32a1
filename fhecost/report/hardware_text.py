"""Hardware profiles as text."""

from __future__ import annotations

from collections.abc import Sequence

from fhecost.hardware.profile import HardwareProfile
from fhecost.report.tables import Column, text_table, wrap


def machine_list(machines: Sequence[HardwareProfile]) -> str:
    """One line a machine."""
    columns = [Column("machine"), Column("kind"), Column("model"), Column("title")]
    rows = [[m.name, m.kind, m.latency_model, m.title] for m in machines]
    return text_table(columns, rows) + "\n"


def machine_page(machine: HardwareProfile) -> str:
    """All that is known of one machine, each figure with its source."""
    year = f", {machine.year}" if machine.year else ""
    lines = [
        f"{machine.name}: {machine.title}",
        f"{machine.kind}, {machine.pbs_kind} PBS, latency model {machine.latency_model}{year}",
    ]
    if machine.summary:
        lines.append(wrap(machine.summary))
    lines += ["", "figures (SI units)"]
    for name, figure in machine.figures.items():
        bounds = (
            f" [{figure.lowest:.5g} to {figure.highest:.5g}]"
            if figure.lowest != figure.highest
            else ""
        )
        lines.append(f"  {name} = {figure.value:.6g}{bounds}, {figure.source.value}")
        origin = figure.ref or figure.rationale
        lines.append(wrap(str(origin), indent="    "))
    if machine.assumptions:
        lines += ["", "assumptions", *(wrap(f"- {a}", indent="  ") for a in machine.assumptions)]
    lines += ["", "references", *(wrap(f"- {r}", indent="  ") for r in machine.references)]
    return "\n".join(lines) + "\n"
