"""What a circuit computes, in fields: of which model, which part, how wide, how long."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import Field, StrictInt, StrictStr

from fhecost.fields import Count, Finite, Positive
from fhecost.frozen import Frozen

Scope = Literal["head", "block", "layer", "model", "token", "cached-token"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
"""How much of a model: heads of a layer, all of them with their projection, one layer, all layers
for a text, for one more token, and for one more token with what is kept of those before it."""

Widths = Literal["calibrated", "stated"]
"""Whether bit widths are what calibration sentences show, or stated from the shape alone."""

FheMode = Literal["disable", "simulate", "execute"]
"""How quantized heads run: on clear integers, in Concrete's simulation, or really encrypted."""

KeylessMode = Literal["disable", "simulate"]
"""Those of them that need no keys."""

_NUMBERS = re.compile(r"\s*\d+\s*(,\s*\d+\s*)*")


class CircuitDescription(Frozen):
    """What a circuit computes; what isn't said of it is None.

    ``heads`` are numbers of heads of ``layer``; of a shape alone, as many from 0. ``notes`` hold
    what a user says of a circuit of their own.
    """

    model: str | None = None
    model_sha256: str | None = None
    shape_from: str | None = None
    scope: Scope | None = None
    variant: str | None = None
    layer: Count | None = None
    heads: tuple[Count, ...] | None = None
    seq_len: Count | None = None
    bits: Positive | None = None
    width: Positive | None = None
    head_dimension: Positive | None = None
    text: str | None = None
    widths: Widths | None = None
    parameter_sets: str | None = None
    pbs_per_token: Count | None = None
    cached_bytes: Count | None = None
    # One made anew is made faster than a copy of one that is empty.
    notes: Mapping[str, StrictStr | StrictInt | Finite] = Field(
        default_factory=dict, json_schema_extra={"default": {}}
    )

    @property
    def of_model(self) -> bool:
        """Whether it says that the circuit is a part of a language model, which has settings."""
        return self.scope is not None or self.variant is not None

    @property
    def tokens_of_run(self) -> int | None:
        """How many tokens a run makes, or reads in one go; None for parts of a model."""
        if self.scope in ("token", "cached-token"):
            return 1
        return self.seq_len if self.scope == "model" else None

    @classmethod
    def of(cls, said: Mapping[str, str | int | float]) -> CircuitDescription:
        """The description that ``said`` gives as profiles of version 1 did."""
        return cls.model_validate(cls.fields_of(said))

    @classmethod
    def fields_of(cls, said: Mapping[str, Any]) -> dict[str, Any]:
        """What profiles of version 1 said of a circuit: one mapping of names to words or numbers.

        There ``heads`` was a text of numbers with commas, or how many there are. What can't be read
        is left as it is, for the fields' own checks.
        """
        known: dict[str, Any] = {
            name: value for name, value in said.items() if name in cls.model_fields
        }
        notes = {name: value for name, value in said.items() if name not in known}
        if "notes" in known:
            notes["notes"] = known.pop("notes")
        heads = known.get("heads")
        if isinstance(heads, int) and not isinstance(heads, bool) and heads > 0:
            known["heads"] = tuple(range(heads))
        elif isinstance(heads, str) and _NUMBERS.fullmatch(heads):
            known["heads"] = tuple(int(part) for part in heads.split(","))
        if "widths" in known and known["widths"] not in get_args(Widths):
            known["widths"] = "calibrated"
        if known.get("scope") is None and "heads" in known:
            known["scope"] = "head"
        return {**known, "notes": notes}
