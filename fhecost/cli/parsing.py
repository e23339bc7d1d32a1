"""The short ways of writing that options take: commas, ranges, moves, durations."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Literal, cast

from fhecost.errors import UsageError

if TYPE_CHECKING:
    from fhecost.hardware.profile import Kind

_UNITS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_NUMBER = r"\d{1,18}"
"""Digits of whole numbers; more are no number of anything."""
MOST_LAYERS = 10_000
"""More than any model has: a range is written down number by number."""
_RANGE = re.compile(rf"\s*({_NUMBER})\s*\.\.\s*({_NUMBER})\s*")
_YEARS = re.compile(r"\s*(\d{4})\s*(?:\.\.\s*(\d{4})\s*)?")


def words(text: str) -> list[str]:
    """The words with commas between them in ``text``."""
    return [part.strip() for part in text.split(",")]


def parse_hardware(text: str) -> str | list[str]:
    """The machines of an option such as ``h100,strix``, ``all`` or ``default``."""
    small = text.strip().lower()
    return small if small in ("all", "default") else words(text)


def parse_kinds(text: str | None) -> list[Kind]:
    """The kinds of machines of an option such as ``gpu,asic``; all, which is none of them, if None.

    Whether there are such kinds is for those to say who look for them.
    """
    return cast("list[Kind]", words(text.lower())) if text else []


def parse_heads(text: str) -> list[int] | Literal["all"]:
    """The heads of an option such as ``0,2`` or ``all``.

    Raises:
        UsageError: something else.
    """
    if text.strip() == "all":
        return "all"
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--heads {text}: must be numbers such as 0,2, or all") from None


def parse_numbers(option: str, text: str) -> list[int]:
    """The numbers of an option such as ``2,4,8``, each once, in their order.

    Raises:
        UsageError: something else than whole numbers with commas between them.
    """
    try:
        return list(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise UsageError(f"{option} {text}: must be numbers with commas, such as 2,4,8") from None


def parse_layers(text: str) -> list[int]:
    """The layers of an option such as ``0..9`` or ``0,4``.

    Raises:
        UsageError: something else, or the last before the first.
    """
    whole = _RANGE.fullmatch(text)
    if whole is None:
        return parse_numbers("--layers", text)
    first, last = int(whole[1]), int(whole[2])
    if not first <= last < MOST_LAYERS:
        raise UsageError(f"--layers {text}: must be FIRST..LAST, as in 0..9")
    return list(range(first, last + 1))


def parse_lengths(option: str, text: str) -> tuple[int, ...]:
    """The lengths of an option such as ``1..1024``, ``6`` or ``8,64,512``.

    Raises:
        UsageError: something else, or lengths below 1.
    """
    whole = _RANGE.fullmatch(text)
    if whole:
        from fhecost.projection.lengths import spread_lengths

        first, last = int(whole[1]), int(whole[2])
        if not 1 <= first <= last:
            raise UsageError(f"{option} {text}: must be FIRST..LAST, from 1 on")
        return spread_lengths(first, last)
    if not re.fullmatch(rf"\s*{_NUMBER}(\s*,\s*{_NUMBER})*\s*", text):
        raise UsageError(f"{option} {text}: must be FIRST..LAST, as in 1..1024, or 8,64,512")
    lengths = sorted({int(part) for part in text.split(",")})
    if lengths[0] < 1:
        raise UsageError(f"{option} {text}: a sequence has at least one token")
    return tuple(lengths)


def parse_years(text: str) -> range:
    """The years of an option such as ``2023..2035``; one year is a range of its own.

    Raises:
        UsageError: something else than years, or the last before the first.
    """
    from fhecost.projection.years import FIRST_YEAR, LAST_YEAR

    match = _YEARS.fullmatch(text)
    years = [int(year) for year in match.groups() if year] if match else []
    if not years or not all(FIRST_YEAR <= year <= LAST_YEAR for year in years):
        raise UsageError(
            f"--years {text}: must be FIRST..LAST between {FIRST_YEAR} and {LAST_YEAR}, "
            "as in 2023..2035"
        )
    if years[0] > years[-1]:
        raise UsageError(f"--years {text}: the last year is before the first")
    return range(years[0], years[-1] + 1)


def parse_script(text: str) -> tuple[str, str | None]:
    """The file and the name in ``my_script.py:circuit``; no name where there is only a file."""
    path, colon, name = text.rpartition(":")
    # What follows the colon of a drive is no name.
    if colon and all(part.isidentifier() for part in name.split(".")):
        return path, name
    return text, None


def parse_calls(text: str) -> dict[str, int]:
    """The calls of an option such as ``inc=10,dec=1``.

    Raises:
        UsageError: something else than names and whole numbers, or one name twice.
    """
    calls: dict[str, int] = {}
    for part in text.split(","):
        name, _, number = (word.strip() for word in part.partition("="))
        if name in calls or not re.fullmatch(_NUMBER, number):
            raise UsageError(f"--calls {part}: must be functions once each, such as inc=10,dec=1")
        calls[name] = int(number)
    return calls


def parse_duration(option: str, text: str) -> float:
    """Seconds of an option that is a duration such as ``100ms``, ``2.5 s`` or ``1h``.

    Raises:
        UsageError: no positive number with one of the units.
    """
    match = re.fullmatch(r"\s*([0-9.eE+-]+)\s*([a-zµ]+)\s*", text)
    try:
        seconds = float(match[1]) * _UNITS[match[2]] if match else math.nan
    except (KeyError, ValueError):
        seconds = math.nan
    if not 0 < seconds < math.inf:
        units = ", ".join(_UNITS)
        raise UsageError(f"{option} {text}: must be a positive number and a unit of {units}")
    return seconds


def parse_what_if(text: str) -> dict[str, float]:
    """The figures of an option such as ``cores=64,memory_bandwidth_bytes_per_s=3.2e12``.

    Raises:
        UsageError: something else than names and numbers, or one name twice.
    """
    values: dict[str, float] = {}
    for part in text.split(","):
        said, _, number = part.partition("=")
        name = said.strip()
        if name in values:
            raise UsageError(f"--what-if {name}: is set twice")
        try:
            values[name] = float(number)
        except ValueError:
            raise UsageError(
                f"--what-if {part}: must be a figure and a positive number, such as cores=64"
            ) from None
    return values
