"""Texts of others' without what a terminal, a table or a page would obey.

Names of stages, titles of machines and words in files are anyone's: an escape sequence in them
would recolor or retitle a terminal, a mark of direction show other words than are there.
"""

from __future__ import annotations

import re

LONGEST_LINE = 2000
"""Of an error or a warning."""

_OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Controls, marks of direction, invisible ones, halves of characters; not a tab or a new line."""


def plain(text: str) -> str:
    """``text`` with escapes, a backslash and a number, in the place of what would be obeyed."""
    return _OBEYED.sub(_escape, text)


def plain_line(text: str) -> str:
    """``text`` as one line, plain."""
    return plain(text.replace("\n", "\\n").replace("\t", " "))


def bounded_line(text: str) -> str:
    """``text`` as one plain line of at most ``LONGEST_LINE`` characters."""
    line = plain_line(text)
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 1]}…"


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
