"""What becomes of a task that another process was given."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Finished(Generic[Result]):
    """The task has ended, with a result."""

    result: Result


@dataclass(frozen=True)
class Raised:
    """The task has ended, with an error."""

    error: Exception


@dataclass(frozen=True)
class Lost:
    """The process of the task has ended before the task did."""

    reason: str


Outcome = Finished[Result] | Raised | Lost


class Runner(Protocol):
    """A place where tasks are done."""

    def outcomes(
        self, work: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> Generator[tuple[int, Outcome[Result]], None, None]:
        """What becomes of ``work`` on each of ``tasks``, with its place among them, as they come.

        Closing it ends what still runs.
        """


def outcome_of(work: Callable[[Task], Result], task: Task) -> Outcome[Result]:
    """What becomes of ``work`` on ``task`` in this process."""
    try:
        return Finished(work(task))
    except Exception as error:
        return Raised(error)
