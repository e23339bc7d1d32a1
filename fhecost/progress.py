"""How long work says what it is doing."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], None]
"""Called with the name of each step when it begins."""


def silent(_: object) -> None:
    """A progress that nobody looks at."""
