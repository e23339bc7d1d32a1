"""What another library says of a failure, cut to the line that a person needs."""

from __future__ import annotations

_LONGEST = 300


def reason_of(error: BaseException) -> str:
    """The first lines of an error's text as one, or its kind where it has none."""
    text = " ".join(str(error).split())
    if len(text) > _LONGEST:
        text = text[: _LONGEST - 1] + "…"
    return text or type(error).__name__
