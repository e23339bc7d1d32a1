"""Progress on stderr, with what is left; nothing when stderr is no terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, Task
    from rich.text import Text


@dataclass(frozen=True)
class Bar:
    """A bar to call with the name of each step, and to tell when the end is known better.

    One that is hidden appears with the next step, as if that were the first.
    """

    begin: Callable[[str], None]
    expect: Callable[[float], None]
    hide: Callable[[], None]

    def __call__(self, step: str) -> None:
        """Show the name of the step."""
        self.begin(step)


@contextmanager
def timed_progress(expected_s: float) -> Iterator[Bar]:
    """Show the step that runs and about how much of ``expected_s`` seconds is left.

    Yields:
        a bar that appears when the first step begins.
    """
    from rich.progress import ProgressColumn
    from rich.text import Text

    class Left(ProgressColumn):
        def render(self, task: Task) -> Text:
            elapsed, total = task.elapsed or 0.0, task.total or expected_s
            # The work reports no progress of its own: the bar is the clock against experience.
            task.completed = min(elapsed, 0.99 * total)
            if elapsed < total:
                return Text(f"{elapsed:.0f} s, about {total - elapsed:.0f} s left")
            return Text(f"{elapsed:.0f} s, longer than usual")

    with _progress(Left()) as progress:
        task = progress.add_task("", total=expected_s, start=False)

        def begin(step: str) -> None:
            progress.update(task, description=step)
            progress.start_task(task)
            progress.start()

        def expect(left_s: float) -> None:
            progress.update(task, total=(progress.tasks[0].elapsed or 0.0) + left_s)

        def hide() -> None:
            _stop(progress)
            progress.reset(task, start=False, total=expected_s)

        yield Bar(begin, expect, hide)


@contextmanager
def measured_progress(announce: Callable[[float], None]) -> Iterator[Bar]:
    """As :func:`timed_progress`, for work that knows only when it has begun how long it takes.

    Args:
        announce: called once with the seconds that it will take, as soon as that is known.
    """
    with timed_progress(0.0) as bar:
        announced = False

        def expect(left_s: float) -> None:
            nonlocal announced
            if not announced:
                announce(left_s)
            announced = True
            bar.expect(left_s)

        yield replace(bar, expect=expect)


@contextmanager
def counted_progress(title: str, total: int | None = None) -> Iterator[Bar]:
    """Show how many of ``total`` steps are done and when the rest will be; it may be told later.

    Yields:
        a bar to call with the name of each step when it has ended.
    """
    from rich.progress import MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    left = (TextColumn("left"), TimeRemainingColumn())
    with _progress(MofNCompleteColumn(), TimeElapsedColumn(), *left) as progress:
        progress.start()
        task = progress.add_task(title, total=total)
        yield Bar(
            lambda step: progress.update(task, advance=1, description=step),
            lambda known: progress.update(task, total=known),
            progress.stop,
        )


@contextmanager
def _progress(*columns: ProgressColumn) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    try:
        yield progress
    finally:
        _stop(progress)


def _stop(progress: Progress) -> None:
    # It would print an empty line where it never began.
    if progress.live.is_started:
        progress.stop()
