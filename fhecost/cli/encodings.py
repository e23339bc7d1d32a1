"""Texts that cross the command line's edge: arguments of any bytes, terminals of any encoding."""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
import unicodedata
from collections.abc import Mapping, Sequence

from fhecost.errors import UsageError
from fhecost.report.tables import TERMINAL_WIDTH

_NARROWEST = 40
"""Columns below which nothing could be laid out; lines then run over the edge."""

PLAIN = "fhecost.plain"
"""The name of the error handler that writes what an encoding lacks in plain letters."""

_PLAIN: Mapping[str, str] = {
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
    "\N{MINUS SIGN}": "-",
    "\N{HORIZONTAL ELLIPSIS}": "...",
    "\N{MULTIPLICATION SIGN}": "x",
    "\N{MIDDLE DOT}": "*",
    "\N{RIGHTWARDS ARROW}": "->",
    "\N{LESS-THAN OR EQUAL TO}": "<=",
    "\N{GREATER-THAN OR EQUAL TO}": ">=",
    "\N{ALMOST EQUAL TO}": "~",
    "\N{PLUS-MINUS SIGN}": "+-",
    "\N{MICRO SIGN}": "u",
    "\N{GREEK SMALL LETTER MU}": "u",
    "\N{LEFT SINGLE QUOTATION MARK}": "'",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": '"',
    "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
    "\N{BULLET}": "*",
    "\N{SQUARE ROOT}": "sqrt",
    "\N{INFINITY}": "inf",
    "\N{BOX DRAWINGS LIGHT HORIZONTAL}": "-",
    "\N{BOX DRAWINGS LIGHT VERTICAL}": "|",
    "\N{BOX DRAWINGS HEAVY HORIZONTAL}": "-",
}


def checked_arguments(arguments: Sequence[str]) -> list[str]:
    """``arguments``, if all of them are text.

    Raises:
        UsageError: one holds bytes that are none in the system's encoding; it is shown.
    """
    for number, argument in enumerate(arguments, start=1):
        try:
            argument.encode()
        except UnicodeEncodeError:
            shown = os.fsencode(argument).decode("utf-8", "backslashreplace")
            encoding = sys.getfilesystemencoding()
            raise UsageError(f"argument {number}, {shown}: not {encoding} text") from None
    return list(arguments)


def write_plainly() -> None:
    """Let standard output take any text: what its encoding lacks is written in plain letters."""
    codecs.register_error(PLAIN, _plain)
    stream = sys.stdout
    if isinstance(stream, io.TextIOWrapper) and not stream.encoding.lower().startswith("utf"):
        stream.reconfigure(errors=PLAIN)


def terminal_width() -> int:
    """Columns of the terminal that standard output is, or as many as ``COLUMNS`` says; else 80."""
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and int(said) > 0:
        return max(_NARROWEST, int(said))
    try:
        return max(_NARROWEST, os.get_terminal_size(sys.stdout.fileno()).columns)
    except (OSError, ValueError):
        return TERMINAL_WIDTH


def escaped(json_text: str) -> str:
    """The same JSON, in which a character that standard output's encoding lacks is an escape."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        json_text.encode(encoding)
    except UnicodeEncodeError:
        # Outside ASCII there is nothing but the inside of strings.
        return "".join(json.dumps(each)[1:-1] if ord(each) > 127 else each for each in json_text)
    return json_text


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    wanted = error.object[error.start : error.end]
    return "".join(map(_in_ascii, wanted)), error.end


def _in_ascii(character: str) -> str:
    if character in _PLAIN:
        return _PLAIN[character]
    # Letters lose their accents; for what has no ASCII at all there is its number.
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return plain or f"\\u{ord(character):04x}"
