"""The operations of one stage while they are being collected, and the stage they make."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fhecost.circuits.profile import (
    KeySwitchParameters,
    KeySwitchUse,
    LinearOperation,
    LinearUse,
    LookupLoop,
    PbsParameters,
    PbsUse,
    Stage,
)


@dataclass
class StageCounts:
    """How often each operation runs, and the bits of the widest integer that a lookup reads."""

    pbs: Counter[PbsParameters] = field(default_factory=Counter)
    key_switches: Counter[KeySwitchParameters] = field(default_factory=Counter)
    linear: Counter[tuple[LinearOperation, int]] = field(default_factory=Counter)
    bit_width: int | None = None

    def add(self, other: StageCounts) -> None:
        """Add the operations of ``other``; its width is left out."""
        self.pbs.update(other.pbs)
        self.key_switches.update(other.key_switches)
        self.linear.update(other.linear)

    def stage(
        self,
        name: str,
        *,
        steps: int,
        largest_tensor: int,
        predecessors: Sequence[str],
        loops: Mapping[int, int] | None = None,
    ) -> Stage:
        """The stage of these operations.

        Args:
            name: of the stage.
            steps: operations that wait for each other, on the longest path; lookups where there
                are some, and no more steps than these.
            largest_tensor: its elements are the width of a stage without lookups.
            predecessors: the stages that this one waits for.
            loops: how many loops over its lookups there are, by their width; None if unknown.
        """
        pbs_count = self.pbs.total()
        depth = min(steps, pbs_count) if pbs_count else steps
        return Stage(
            name=name,
            pbs=tuple(PbsUse(parameters=use, count=count) for use, count in self.pbs.items()),
            key_switches=tuple(
                KeySwitchUse(parameters=use, count=count)
                for use, count in self.key_switches.items()
            ),
            linear=tuple(
                LinearUse(operation=operation, lwe_dimension=dimension, count=count)
                for (operation, dimension), count in self.linear.items()
            ),
            depth=depth,
            parallel_width=max(1, math.ceil(pbs_count / depth) if pbs_count else largest_tensor),
            bit_width=self.bit_width if pbs_count else None,
            predecessors=tuple(predecessors),
            loops=tuple(
                LookupLoop(width=width, times=times)
                for width, times in sorted((loops or {}).items(), reverse=True)
            ),
        )
