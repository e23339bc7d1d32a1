"""The operations of one stage while they are being collected, and the stage they make."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fhecost.circuits.profile import KeySwitchParameters, LinearOperation, PbsParameters, Stage

K = TypeVar("K", bound=Hashable)


def count_up(counts: dict[K, int], key: K, count: int) -> None:
    """Add ``count`` to that of ``key``."""
    # A Counter does it too, with two calls more for each new key.
    counts[key] = counts.get(key, 0) + count


@dataclass
class StageCounts:
    """How often each operation runs, and the bits of the widest integer that a lookup reads."""

    pbs: dict[PbsParameters, int] = field(default_factory=dict)
    key_switches: dict[KeySwitchParameters, int] = field(default_factory=dict)
    linear: dict[tuple[LinearOperation, int], int] = field(default_factory=dict)
    bit_width: int | None = None

    @property
    def pbs_count(self) -> int:
        """PBS of the stage, over all parameter sets."""
        return sum(self.pbs.values())

    def add(self, other: StageCounts) -> None:
        """Add the operations of ``other``; its width is left out."""
        for one, count in other.pbs.items():
            count_up(self.pbs, one, count)
        for switch, count in other.key_switches.items():
            count_up(self.key_switches, switch, count)
        for operation, count in other.linear.items():
            count_up(self.linear, operation, count)

    def stage(
        self,
        name: str,
        *,
        steps: int,
        largest_tensor: int,
        predecessors: Sequence[str],
        loops: Mapping[int, int] | None = None,
        repeated: int = 0,
    ) -> Stage:
        """The stage of these operations; the arguments are those of :meth:`fields`."""
        return Stage.model_validate(
            self.fields(
                name,
                steps=steps,
                largest_tensor=largest_tensor,
                predecessors=predecessors,
                loops=loops,
                repeated=repeated,
            )
        )

    def fields(
        self,
        name: str,
        *,
        steps: int,
        largest_tensor: int,
        predecessors: Sequence[str],
        loops: Mapping[int, int] | None = None,
        repeated: int = 0,
    ) -> dict[str, Any]:
        """The fields of the stage of these operations, which still have to be checked.

        A circuit profile checks those of all its stages at once, in half the time.

        Args:
            name: of the stage.
            steps: operations that wait for each other, on the longest path; lookups where there
                are some, and no more steps than these.
            largest_tensor: its elements are the width of a stage without lookups.
            predecessors: the stages that this one waits for.
            loops: how many loops over its lookups there are, by their width; None if unknown.
            repeated: lookups that read a value which another of the stage reads too.
        """
        pbs_count = self.pbs_count
        depth = min(steps, pbs_count) if pbs_count else steps
        return {
            "name": name,
            "pbs": [{"parameters": use, "count": count} for use, count in self.pbs.items()],
            "key_switches": [
                {"parameters": use, "count": count} for use, count in self.key_switches.items()
            ],
            "linear": [
                {"operation": operation, "lwe_dimension": dimension, "count": count}
                for (operation, dimension), count in self.linear.items()
            ],
            "depth": depth,
            "parallel_width": max(1, math.ceil(pbs_count / depth) if pbs_count else largest_tensor),
            "bit_width": self.bit_width if pbs_count else None,
            "predecessors": tuple(predecessors),
            "loops": [
                {"width": width, "times": times}
                for width, times in sorted((loops or {}).items(), reverse=True)
            ],
            "distinct_values": pbs_count - repeated if 0 < repeated < pbs_count else None,
        }
