"""An estimate in a few lines: for ``print``, and as HTML for a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Protocol

from fhecost.plain import plain, plain_line
from fhecost.provenance import Source
from fhecost.units import duration, share, span

MOST_STAGES = 8
"""Stages that are shown by themselves; the rest is one line."""


class Part(Protocol):
    """What takes a part of the time."""

    @property
    def stage(self) -> str:
        """Its name."""

    @property
    def latency_s(self) -> float:
        """Its seconds."""


def headline(latency_s: float, low_s: float, high_s: float, bottleneck: str) -> str:
    """How long, from what to what, and what it is bound by."""
    return f"{duration(latency_s)} ({span(low_s, high_s)}), bound by {bottleneck}"


def grounds(sources: Mapping[Source, float]) -> str:
    """What the time rests on, from the largest share."""
    largest = sorted(sources.items(), key=lambda found: -found[1])
    return "rests on " + ", ".join(f"{share(part)} {source}" for source, part in largest)


def largest_parts(parts: Iterable[Part]) -> list[tuple[str, str, str]]:
    """The stages that take longest with their share and time, and all others as one."""
    ordered = sorted(parts, key=lambda part: -part.latency_s)
    total = sum(part.latency_s for part in ordered)
    rows = [(one.stage, one.latency_s) for one in ordered[:MOST_STAGES]]
    rest = ordered[MOST_STAGES:]
    if rest:
        rows.append((f"({len(rest)} more)", sum(part.latency_s for part in rest)))
    return [(name, share(seconds / total), duration(seconds)) for name, seconds in rows]


def as_lines(title: str, rows: Sequence[Sequence[str]]) -> str:
    """A title and columns under it, the first aligned left and the others right."""
    cells = [[plain_line(row[0]), *row[1:]] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in cells
    ]
    return "\n".join([plain(title), *(f"  {line}".rstrip() for line in lines)])


def as_html(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same as a table for a notebook."""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    lines = "<br>".join(escape(line) for line in title.splitlines())
    return f"<p>{lines}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
