"""Hardware profiles as text."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence

from fhecost.hardware.profile import HardwareList, HardwareProfile
from fhecost.report.tables import TERMINAL_WIDTH, Column, elide, markdown_table, text_table, wrap

LIST_CSV_FIELDS = ("name", "kind", "year", "latency_model", "pbs_kind", "title", "hardware_hash")
_SHORTEST_TITLE = 12


def list_as_json(machines: Sequence[HardwareProfile]) -> str:
    """All that is known of the machines, as the schema ``hardware_list`` describes it."""
    listed = HardwareList(machines=tuple(machines))
    return listed.model_dump_json(indent=1, exclude_none=True) + "\n"


def list_as_csv(machines: Sequence[HardwareProfile]) -> str:
    """One row a machine."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, LIST_CSV_FIELDS, lineterminator="\n")
    writer.writeheader()
    for machine in machines:
        about = {name: getattr(machine, name) for name in LIST_CSV_FIELDS[:-1]}
        writer.writerow({**about, "hardware_hash": machine.hash})
    return stream.getvalue()


def list_as_table(machines: Sequence[HardwareProfile]) -> str:
    """One line a machine of at most 80 columns; long titles are shortened."""
    columns, rows = _list_rows(machines)
    others = [max(map(len, cells)) for cells in zip(*(row[:-1] for row in rows), strict=True)]
    headings = [len(column.heading) for column in columns[:-1]]
    taken = sum(max(pair) + 2 for pair in zip(others, headings, strict=True))
    left = max(_SHORTEST_TITLE, TERMINAL_WIDTH - taken)
    return text_table(columns, [[*row[:-1], elide(row[-1], left)] for row in rows]) + "\n"


def list_as_markdown(machines: Sequence[HardwareProfile]) -> str:
    """For a README or an issue, titles in full."""
    return markdown_table(*_list_rows(machines)) + "\n"


LIST_RENDERERS: Mapping[str, Callable[[Sequence[HardwareProfile]], str]] = {
    "table": list_as_table,
    "json": list_as_json,
    "csv": list_as_csv,
    "markdown": list_as_markdown,
}


def _list_rows(machines: Sequence[HardwareProfile]) -> tuple[list[Column], list[list[str]]]:
    columns = [
        Column("machine"),
        Column("kind"),
        Column("year"),
        Column("model"),
        Column("title"),
    ]
    rows = [[m.name, m.kind, str(m.year or ""), m.latency_model, m.title] for m in machines]
    return columns, rows


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
    if machine.log2_p_fail is not None:
        lines.append(f"  for an error of 2^{machine.log2_p_fail:g} a lookup")
    if machine.published is not None and machine.published.fitted_to:
        fitted = ", ".join(machine.published.fitted_to)
        lines += ["", wrap(f"fitted to these published records: {fitted}")]
    if machine.assumptions:
        lines += ["", "assumptions", *(wrap(f"- {a}", indent="  ") for a in machine.assumptions)]
    lines += ["", "references", *(wrap(f"- {r}", indent="  ") for r in machine.references)]
    return "\n".join(lines) + "\n"
