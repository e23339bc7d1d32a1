"""The circuit profile: all that a latency model may see of a circuit, as frozen data and JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

from pydantic import Field, ModelWrapValidatorHandler, model_validator

from fhecost.circuits.description import CircuitDescription
from fhecost.errors import UsageError
from fhecost.fields import (
    Count,
    FiniteNonNegative,
    PolynomialSize,
    Positive,
    Probability,
    VersionTwo,
)
from fhecost.files import AnyPath, checked, read_json, write_atomically
from fhecost.frozen import Frozen

if TYPE_CHECKING:
    from fhecost.circuits.module import ModuleProfile

LinearOperation = Literal[
    "clear_addition", "encrypted_addition", "clear_multiplication", "encrypted_negation"
]
LINEAR_OPERATIONS: tuple[LinearOperation, ...] = get_args(LinearOperation)


_WRONG_HASH = "hash doesn't match the content; if you edited the file on purpose, remove its hash"


class PbsParameters(Frozen):
    """The parameter set of a programmable bootstrap."""

    lwe_dimension: Positive = Field(
        description="n, the dimension of the ciphertext that is rotated"
    )
    glwe_dimension: Positive = Field(description="k")
    polynomial_size: PolynomialSize = Field(description="N, a power of two")
    level_count: Positive = Field(description="l, decomposition levels of the bootstrap key")
    base_log: Positive

    @property
    def ring(self) -> tuple[int, int]:
        """Number and size of the polynomials."""
        return self.glwe_dimension, self.polynomial_size

    @property
    def output_lwe_dimension(self) -> int:
        """The dimension of what comes out of the bootstrap."""
        return self.glwe_dimension * self.polynomial_size

    def __str__(self) -> str:
        return (
            f"n={self.lwe_dimension} k={self.glwe_dimension} N={self.polynomial_size} "
            f"l={self.level_count}"
        )


class KeySwitchParameters(Frozen):
    """The parameter set of a key switch."""

    input_lwe_dimension: Positive
    output_lwe_dimension: Positive
    level_count: Positive
    base_log: Positive


class PbsUse(Frozen):
    """How often a stage bootstraps with one parameter set."""

    parameters: PbsParameters
    count: Positive


class KeySwitchUse(Frozen):
    """How often a stage switches keys with one parameter set."""

    parameters: KeySwitchParameters
    count: Positive


class LinearUse(Frozen):
    """How often a stage does one linear operation on ciphertexts of one LWE dimension."""

    operation: LinearOperation
    lwe_dimension: Positive
    count: Positive


class LookupLoop(Frozen):
    """Lookups of a tensor's values, which a CPU's threads share out: ``width`` values at a time.

    Concrete runs such loops one after the other, ``times`` of them, whether they wait for each
    other or not.
    """

    width: Positive
    times: Positive


class Stage(Frozen):
    """One operation of the circuit on a whole tensor.

    Its PBS run in ``depth`` steps that wait for each other (1 for an elementwise operation, more
    for a running maximum); ``parallel_width`` of them can run at the same time. Names in
    parentheses are kept for what an estimate holds beside the stages.
    """

    name: str = Field(
        pattern=r"^[^(]", description="its tag or source line; no parenthesis in front"
    )
    pbs: tuple[PbsUse, ...] = ()
    key_switches: tuple[KeySwitchUse, ...] = ()
    linear: tuple[LinearUse, ...] = ()
    depth: Positive = 1
    parallel_width: Positive
    bit_width: Positive | None = Field(
        default=None,
        description="bits of the widest integer that a table lookup of the stage reads",
    )
    predecessors: tuple[str, ...] = ()
    loops: tuple[LookupLoop, ...] = Field(
        default=(),
        description="the loops over lookups that Concrete compiled the stage to; empty where "
        "unknown: one for each step then",
    )

    @property
    def pbs_count(self) -> int:
        """PBS of the stage, over all parameter sets."""
        return sum(use.count for use in self.pbs)

    @property
    def key_switch_count(self) -> int:
        """KS of the stage, over all parameter sets."""
        return sum(use.count for use in self.key_switches)

    def linear_count(self, operation: LinearOperation) -> int:
        """How often the stage does the linear ``operation``."""
        return sum(use.count for use in self.linear if use.operation == operation)

    @model_validator(mode="after")
    def _width_fits_count(self) -> Stage:
        if self.depth * self.parallel_width < self.pbs_count:
            raise ValueError(
                f"{self.depth} steps of {self.parallel_width} can't hold {self.pbs_count} PBS"
            )
        in_loops = sum(loop.width * loop.times for loop in self.loops)
        if self.loops and in_loops != self.pbs_count:
            raise ValueError(f"loops over {in_loops} lookups aren't those of {self.pbs_count} PBS")
        return self


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
    max_bit_width: Positive
    complexity: FiniteNonNegative
    p_error: Probability
    global_p_error: Probability
    versions: Mapping[str, str] = Field(default_factory=dict)
    cost_error: FiniteNonNegative | None = Field(
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
        sizes = [use.parameters.polynomial_size for stage in self.stages for use in stage.pbs]
        return max(sizes, default=None)

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
            raise ValueError("no stage holds an operation on encrypted data: no cost to model")
        return self

    @model_validator(mode="after")
    def _stages_are_ordered(self) -> CircuitProfile:
        seen: set[str] = set()
        for stage in self.stages:
            for name in stage.predecessors:
                if name not in seen:
                    raise ValueError(
                        f"stage {stage.name!r} waits for {name!r}, which is no earlier stage"
                    )
            if stage.name in seen:
                raise ValueError(f"two stages are named {stage.name!r}")
            seen.add(stage.name)
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
        # Profiles keep the hash that they had before these fields were there.
        left_out = {"hash"} if self.cost_error is not None else {"hash", "cost_error"}
        content = {**self.model_dump(mode="json", exclude=left_out), **(instead or {})}
        for stage in content["stages"]:
            if not stage["loops"]:
                del stage["loops"]
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def save_profile(profile: CircuitProfile | ModuleProfile, path: AnyPath) -> None:
    """Write the profile of a circuit or a module to ``path`` as JSON, whole or not at all."""
    write_atomically(Path(path), profile.model_dump_json(indent=1) + "\n")


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
