"""What a microbenchmark that was broken off had measured by then: it can go on from there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from fhecost.errors import FieldError
from fhecost.files import read_model, write_atomically
from fhecost.frozen import Frozen
from fhecost.measurement.cases import Operation
from fhecost.measurement.machine import Machine
from fhecost.measurement.records import Microbenchmark
from fhecost.measurement.run_record import Seconds


class BegunCase(Frozen):
    """The rounds that a circuit has had: its times by thread count, and a probe a round."""

    seconds: Mapping[int, tuple[Seconds, ...]]
    probes_s: tuple[Seconds, ...]


class BrokenOff(Frozen):
    """A microbenchmark as far as it came.

    The first ``key_cases`` keys and ``groups`` groups of circuits are done, and in ``raw``;
    ``begun`` holds what the cases of the group after these have, by their place in it.
    """

    schema_version: Literal[1] = 1
    operation: Operation
    quick: bool
    key_cases: Annotated[int, Field(ge=0)] = 0
    groups: Annotated[int, Field(ge=0)] = 0
    begun: Mapping[int, BegunCase] = {}
    raw: Microbenchmark

    def check_same(
        self, operation: Operation, quick: bool, machine: Machine, concrete: str
    ) -> None:
        """Raise unless times measured now may stand beside these.

        Raises:
            UsageError: they are of another operation, machine or version of Concrete.
        """
        if (operation, quick) != (self.operation, self.quick):
            asked = f"measure {self.operation}{' --quick' if self.quick else ''}"
            raise FieldError("resume", f"what was broken off is fhecost {asked}")
        for name in machine.differences(self.raw.machine):
            begun, here = getattr(self.raw.machine, name), getattr(machine, name)
            raise FieldError("resume", f"it began where {name} was {begun}, here it is {here}")
        version = self.raw.versions.get("concrete-python")
        if version != concrete:
            raise FieldError(
                "resume", f"it began with concrete-python {version}, here is {concrete}"
            )


def broken_off_path(path: Path) -> Path:
    """Where the raw times are kept that will be in ``path`` when all are there."""
    return path.with_name(f"{path.name}.part")


def keep_broken_off(so_far: BrokenOff, path: Path) -> None:
    """Keep what there is so far beside ``path``.

    Raises:
        UsageError: it can't be written.
    """
    write_atomically(broken_off_path(path), so_far.model_dump_json(indent=1) + "\n")


def load_broken_off(path: Path) -> BrokenOff:
    """What was kept beside ``path`` by a run that was broken off.

    Raises:
        UsageError: there is nothing, or it is something else.
    """
    part = broken_off_path(path)
    if not part.is_file():
        raise FieldError("resume", f"there is no {part}: nothing was broken off that could go on")
    return read_model(part, BrokenOff)
