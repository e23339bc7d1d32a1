"""Tasks one after the other, in this very process."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from fhecost.engine.outcome import Outcome, Result, Task, outcome_of


class Here:
    """No process is started: what ends this one ends them all."""

    def outcomes(
        self, work: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> Generator[tuple[int, Outcome[Result]], None, None]:
        """See :class:`fhecost.engine.outcome.Runner`."""
        for place, task in enumerate(tasks):
            yield place, outcome_of(work, task)
