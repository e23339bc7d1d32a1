"""What a command says, before it is known to whom: blocks for people, records for programs.

A command's module makes a :class:`Document` of its report by choosing words and columns; the
renderers of :mod:`fhecost.report.render` do all the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fhecost.report.columns import Table

if TYPE_CHECKING:
    from pydantic import BaseModel


@dataclass(frozen=True)
class Listing:
    """A line, and the items that it announces."""

    line: str
    items: tuple[str, ...]


@dataclass(frozen=True)
class Heading:
    """What the blocks after it are about."""

    text: str


@dataclass(frozen=True, init=False)
class Text:
    """Lines that belong together."""

    lines: tuple[str | Listing, ...]

    def __init__(self, *lines: str | Listing) -> None:
        object.__setattr__(self, "lines", lines)


class Note(Text):
    """How to read the figures, or what is to be known of them."""


class Refusals(Text):
    """What has no figures, a line each that says why."""


Block = Heading | Text | Table


@dataclass(frozen=True)
class Document:
    """One report for everyone: ``blocks`` for people, ``records`` for CSV, itself for JSON.

    ``omits_unknown`` leaves what is None out of the JSON, as far as the report's schema says so.
    """

    blocks: tuple[Block, ...]
    records: Table
    report: BaseModel
    omits_unknown: bool = False
