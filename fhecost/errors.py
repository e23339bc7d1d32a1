"""The errors that reach a user: one clear line each, with the exit status of the command."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar


class FhecostError(Exception):
    """Base of all errors that fhecost raises on purpose; its text is one line for a person."""

    exit_code: ClassVar[int] = 1


class ImpossibleError(FhecostError):
    """What was asked is well-formed but can't be done (exit status 1)."""

    exit_code = 1


class UsageError(FhecostError):
    """Bad usage or a bad file: what, where and what would be right, in a line (exit status 2)."""

    exit_code = 2


class FaultsError(UsageError):
    """Several things that are wrong, a line each."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__(faults)
        self.faults = tuple(faults)

    def __str__(self) -> str:
        return "\n".join(self.faults)


class FieldError(UsageError):
    """A value that a field can't have; ``field`` is the name that the Python API gives it.

    A command line may have another name for it and says that one: see :meth:`called`.
    """

    def __init__(self, field: str, message: str, value: object = None) -> None:
        # All three are its arguments, so that it comes whole out of another process.
        super().__init__(field, message, value)
        self.field, self.message, self.value = field, message, value

    def __str__(self) -> str:
        return self.called(self.field)

    def called(self, name: str) -> str:
        """The line of this error with the field under the name of ``name``."""
        return f"{name if self.value is None else f'{name} {self.value}'}: {self.message}"


def first_of(faults: Sequence[str]) -> str:
    """The first of several faults, and how many more there are."""
    first, *others = faults
    return f"{first} (and {len(others)} more)" if others else first


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown ``name``: which of ``known`` are like it, if any."""
    from difflib import get_close_matches

    by_letters = {one.lower(): one for one in known}
    like = [by_letters[one] for one in get_close_matches(name.lower(), by_letters, n=2, cutoff=0.7)]
    return f"; did you mean {' or '.join(like)}?" if like else ""


INCONSISTENT = "inconsistent"
"""The type of an error that names the field itself, as ``fhecost.fields.inconsistent`` makes it."""


def all_validation_errors(errors: Iterable[Any]) -> list[str]:
    """A line for each of pydantic's errors: the field's path, and what is wrong."""
    lines = []
    for error in errors:
        parts = [*map(str, error["loc"])]
        if error["type"] == INCONSISTENT:
            parts.append(error["ctx"]["field"])
            message = error["ctx"]["message"]
        else:
            message = str(error["msg"]).removeprefix("Value error, ")
            message = f"{message[:1].lower()}{message[1:]}{_instead(error)}"
        lines.append(f"{'.'.join(parts) or '(top level)'}: {message}")
    return lines


_LONGEST_VALUE = 40


def _instead(error: Any) -> str:
    """The value that pydantic refused, where it is one that fits a line and isn't told already."""
    value = error.get("input")
    if error["type"] in ("value_error", "extra_forbidden", "missing"):
        return ""
    if not isinstance(value, str | float | bool) and type(value) is not int:
        return ""
    if isinstance(value, int) and abs(value) >= 10**_LONGEST_VALUE:
        return ""
    said = repr(value)
    return f", not {said}" if len(said) <= _LONGEST_VALUE else ""
