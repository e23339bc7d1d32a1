"""The hardware profile: one machine as data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, model_validator

from fhecost.fields import VersionOne, inconsistent
from fhecost.frozen import Frozen
from fhecost.hardware.names import PBS_KINDS as PBS_KINDS
from fhecost.hardware.names import PbsKind as PbsKind
from fhecost.hardware.processor import Processor
from fhecost.provenance import Figure

Kind = Literal["cpu", "gpu", "fpga", "asic"]
KINDS: frozenset[Kind] = frozenset(get_args(Kind))
Availability = Literal["available", "prototype", "simulated", "hypothetical"]
"""Whether a machine can be had: bought or rented, with the software of its figures; a prototype ran
in its authors' hands; one was simulated by its authors; a hypothetical one is on paper alone."""
NAME_PATTERN = r"^[a-z0-9][a-z0-9_.-]*$"
"""What a machine can be called."""


class PublishedRecords(Frozen):
    """Which published records are about a machine, and which of them its figures were fitted to.

    A record is about the machine when all words of one entry of ``mentions`` occur in its name,
    notes or source. ``fitted_to`` holds names of records.
    """

    mentions: Annotated[tuple[tuple[str, ...], ...], Field(min_length=1)]
    fitted_to: tuple[str, ...] = ()


class FurtherPbs(Frozen):
    """A kind of PBS that a machine has beside that of its own figures.

    ``figures`` holds those of the kind, such as a grouping factor, and those of the machine's
    latency model that differ for it: these take the place of the machine's own, all others stay.
    """

    figures: Mapping[str, Figure]
    log2_p_fail: Annotated[float, Field(strict=True, ge=-1000, lt=0)] | None = Field(
        default=None, description="error probability of a lookup that the figures are for"
    )
    availability: Availability | None = Field(
        default=None, description="whether it can be had; as the machine when left out"
    )
    published: PublishedRecords | None = None
    assumptions: tuple[str, ...] = ()
    references: tuple[str, ...] = ()


class HardwareFile(Frozen):
    """What the YAML file of a machine holds; the file's stem is the machine's name.

    ``figures`` holds the numbers that the machine's latency model asks for, in SI units named by
    the field. What is unknown is left out, never zero. They are for PBS of ``pbs_kind``; ``pbs``
    has further kinds.
    """

    schema_version: VersionOne
    title: Annotated[str, Field(min_length=1)]
    kind: Kind
    latency_model: Annotated[str, Field(min_length=1)]
    pbs_kind: PbsKind
    year: Annotated[int, Field(strict=True, ge=2000, le=2100)] | None = None
    availability: Availability | None = Field(
        default=None, description="whether it can be had; not said when left out"
    )
    summary: str = ""
    figures: Mapping[str, Figure]
    log2_p_fail: Annotated[float, Field(strict=True, ge=-1000, lt=0)] | None = Field(
        default=None, description="error probability of a lookup that the figures are for"
    )
    published: PublishedRecords | None = None
    pbs: Mapping[PbsKind, FurtherPbs] | None = Field(
        default=None, description="further kinds of PBS that the machine has; none when left out"
    )
    calibrated_on: Processor | None = Field(
        default=None, description="the machine that raw times were measured on"
    )
    calibrated: str | None = Field(default=None, description="when, ISO 8601 in UTC")
    calibrated_thread_share: Annotated[float, Field(strict=True, gt=0, le=1)] | None = Field(
        default=None,
        description="the part of itself that each thread had under a quota meanwhile; all of it "
        "when left out",
    )
    assumptions: tuple[str, ...] = ()
    references: Annotated[tuple[str, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _kinds_are_further_ones(self) -> Self:
        if self.pbs is not None and self.pbs_kind in self.pbs:
            raise inconsistent(
                f"pbs.{self.pbs_kind}", "is the kind that the machine's own figures are for"
            )
        return self


class HardwareProfile(HardwareFile):
    """One machine: what its file holds, and its ``name``."""

    name: Annotated[str, Field(pattern=NAME_PATTERN, max_length=200)]

    @property
    def hash(self) -> str:
        """SHA-256 of the profile's content."""
        return self._hash

    @cached_property
    def _hash(self) -> str:
        # Without what isn't said, so that a new field leaves the hashes of old files alone.
        content: Any = self.model_dump(mode="json", exclude_none=True)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class HardwareList(Frozen):
    """What ``fhecost hardware list`` prints: all machines that are known."""

    schema_version: Literal[1] = 1
    machines: tuple[HardwareProfile, ...]
