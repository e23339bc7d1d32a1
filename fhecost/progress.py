"""How long work says what it is doing."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], None]
"""Called with the name of each step when it begins."""


Expect = Callable[[float], None]
"""Called with the seconds that are left, once that is known."""


def silent(_: object) -> None:
    """A progress that nobody looks at."""
