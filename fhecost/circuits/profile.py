"""The circuit profile: all that a latency model may see of a circuit, as frozen data and JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ModelWrapValidatorHandler, model_validator

from fhecost.circuits.canonical import canonical
from fhecost.circuits.consistency import first_contradiction
from fhecost.circuits.description import CircuitDescription
from fhecost.circuits.stage import LINEAR_OPERATIONS as LINEAR_OPERATIONS
from fhecost.circuits.stage import KeySwitchParameters as KeySwitchParameters
from fhecost.circuits.stage import KeySwitchUse as KeySwitchUse
from fhecost.circuits.stage import LinearOperation as LinearOperation
from fhecost.circuits.stage import LinearUse as LinearUse
from fhecost.circuits.stage import LookupLoop as LookupLoop
from fhecost.circuits.stage import PbsParameters as PbsParameters
from fhecost.circuits.stage import PbsUse as PbsUse
from fhecost.circuits.stage import Stage as Stage
from fhecost.errors import UsageError
from fhecost.fields import (
    CostError,
    Count,
    FiniteNonNegative,
    Probability,
    VersionTwo,
    Width,
    inconsistent,
)
from fhecost.files import AnyPath, checked, read_json, write_result
from fhecost.frozen import Frozen

_WRONG_HASH = "hash doesn't match the content; if you edited the file on purpose, remove its hash"


class CircuitProfile(Frozen):
    """A circuit as stages in dependency order, with the sizes of its keys, inputs and outputs.

    ``complexity`` is in the units of the Concrete optimizer. ``description`` says what
    the circuit computes; ``hash`` is the SHA-256 of all other fields.
    """

    schema_version: VersionTwo = 2
    name: str
    source: str = Field(description="what the profile was read from")
    description: CircuitDescription = CircuitDescription()
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    bsk_bytes: Count
    ksk_bytes: Count
    input_bytes: Count
    output_bytes: Count
    max_bit_width: Width
    complexity: FiniteNonNegative
    p_error: Probability
    global_p_error: Probability
    versions: Mapping[str, str] = Field(default_factory=dict)
    cost_error: CostError | None = Field(
        default=None,
        description="how far the cost may be off because sets or widths are predicted; None where "
        "both were read from a compiled circuit",
    )
    hash: str = ""

    def changed(self, **values: Any) -> Self:
        """A copy with other values in some fields, and the hash of what it holds then."""
        return super().changed(**{"hash": "", **values})

    @property
    def pbs_count(self) -> int:
        """PBS of the circuit."""
        return sum(stage.pbs_count for stage in self.stages)

    @property
    def key_switch_count(self) -> int:
        """KS of the circuit."""
        return sum(stage.key_switch_count for stage in self.stages)

    def linear_count(self, operation: LinearOperation) -> int:
        """How often the circuit does the linear ``operation``."""
        return sum(stage.linear_count(operation) for stage in self.stages)

    @property
    def largest_polynomial_size(self) -> int | None:
        """The largest N of any PBS; None for a circuit without PBS."""
        sizes = (stage.largest_polynomial_size or 0 for stage in self.stages)
        return max(sizes, default=0) or None

    @model_validator(mode="wrap")
    @classmethod
    def _of_version_one(
        cls, content: Any, handler: ModelWrapValidatorHandler[CircuitProfile]
    ) -> CircuitProfile:
        """Read what fhecost 0.1 saved too: its description was a mapping without fields."""
        if not isinstance(content, dict) or _version(content) != 1:
            return handler(content)
        said = content.get("description", {})
        if not isinstance(said, dict):
            raise ValueError("description: must be an object")
        described = CircuitDescription.fields_of(said)
        read = handler({**content, "schema_version": 2, "description": described, "hash": ""})
        saved = content.get("hash")
        if saved and saved != read._content_hash({"schema_version": 1, "description": said}):
            raise ValueError(_WRONG_HASH)
        return read

    @model_validator(mode="after")
    def _something_is_done(self) -> CircuitProfile:
        if not any(stage.pbs or stage.key_switches or stage.linear for stage in self.stages):
            raise inconsistent(
                "stages", "no stage holds an operation on encrypted data: no cost to model"
            )
        return self

    @model_validator(mode="after")
    def _stages_are_ordered(self) -> CircuitProfile:
        seen: set[str] = set()
        for number, stage in enumerate(self.stages):
            for name in stage.predecessors:
                if name not in seen:
                    raise inconsistent(
                        f"stages.{number}.predecessors",
                        f"stage {stage.name!r} waits for {name!r}, which is no earlier stage",
                    )
            if stage.name in seen:
                raise inconsistent(f"stages.{number}.name", f"two stages are named {stage.name!r}")
            seen.add(stage.name)
        return self

    @model_validator(mode="after")
    def _is_consistent(self) -> CircuitProfile:
        found = first_contradiction(self)
        if found is not None:
            raise found
        return self

    @model_validator(mode="after")
    def _hash_holds(self) -> CircuitProfile:
        expected = self._content_hash()
        if not self.hash:
            object.__setattr__(self, "hash", expected)
        elif self.hash != expected:
            raise ValueError(_WRONG_HASH)
        return self

    def _content_hash(self, instead: Mapping[str, Any] | None = None) -> str:
        """SHA-256 of all fields but the hash, with those of ``instead`` in place of some."""
        fields = self.model_dump(mode="json", exclude={"hash", "stages"}) | dict(instead or {})
        if self.cost_error is None:
            # Profiles keep the hash that they had before this field was there.
            del fields["cost_error"]
        return hashlib.sha256(canonical(fields, self.stages).encode()).hexdigest()


def save_profile(profile: Frozen, path: AnyPath) -> None:
    """Write the profile of a circuit or a module to ``path`` as JSON, whole or not at all.

    Raises:
        UsageError: it can't be written; says where it is kept instead.
    """
    write_result(Path(path), profile.model_dump_json(indent=1) + "\n")


def load_profile(path: AnyPath) -> CircuitProfile:
    """Read a circuit profile that :func:`save_profile` wrote.

    Raises:
        UsageError: the file is missing, no JSON, of another schema version, or breaks the schema.
    """
    path = Path(path)
    content: Any = read_json(path)
    if not isinstance(content, dict):
        raise UsageError(f"{path}: not a circuit profile: the top level must be an object")
    if isinstance(content.get("functions"), dict):
        calls = ",".join(f"{name}=1" for name in content["functions"])
        raise UsageError(
            f"{path}: a module of several functions, not one circuit: fhecost estimate prices "
            f"calls of them with --calls {calls}"
        )
    if _version(content) not in (1, 2):
        raise UsageError(
            f"{path}: schema_version: this fhecost reads circuit profiles of versions 1 and 2, "
            f"not {content.get('schema_version')!r}; save it anew, or update fhecost"
        )
    return checked(CircuitProfile, content, f"{path}: ")


def _version(content: Mapping[str, Any]) -> int | None:
    """The version that a profile's content states; None where that is no whole number."""
    found = content.get("schema_version")
    return found if isinstance(found, int) and not isinstance(found, bool) else None
