"""Published figures of other ways to run a language model encrypted, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fhecost.hardware.other_ways import OtherWay
from fhecost.report.columns import Table, column, names, numbers
from fhecost.report.document import Block, Heading, Note
from fhecost.units import duration


def other_ways_blocks(ways: Sequence[OtherWay], model: str | None = None) -> Iterator[Block]:
    """A table of them; nothing where they weren't asked for."""
    if not ways:
        return
    yield Heading("Other ways, as published")
    yield Table(
        names("name", (way.name for way in ways)),
        column("model", (way.model for way in ways)),
        column("does", (way.does for way in ways)),
        numbers("tokens", (way.tokens for way in ways)),
        numbers("time", (way.seconds for way in ways), duration),
        column("basis", (way.basis for way in ways)),
        fixed=1,
    )
    about = {way.name: way for way in ways}
    yield Table(
        names("name", about),
        column("scheme", (way.scheme for way in about.values())),
        column("machine", (way.machine for way in about.values())),
        column("who learns what", (way.who_sees for way in about.values())),
    )
    same = {way.model for way in ways} & {model}
    yield Note(
        f"whole models from end to end{f', those of {model} first' if same else ''}; no estimate "
        "here holds any of these figures, and they promise other things: see docs/other_ways.md; "
        "-: not said",
        *dict.fromkeys(f"{way.name}, {way.model}: {way.source}" for way in ways),
    )
