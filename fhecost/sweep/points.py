"""A point of an experiment: which circuit, judged how, on which machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from fhecost.circuits.description import KeylessMode, Scope, Widths
from fhecost.errors import all_validation_errors, first_of
from fhecost.fields import Count, Positive
from fhecost.frozen import Frozen
from fhecost.heads.head_quantization import HeadSetting
from fhecost.heads.saved_setting import SavedSetting
from fhecost.heads.variants import VARIANTS
from fhecost.models.shape import EMBEDDED


def _heads(value: Any) -> Any:
    numbers = value if isinstance(value, list | tuple) else [value]
    if value != "all" and not (numbers and all(_is_small(one) for one in numbers)):
        raise ValueError("must be a head from 0, several as [0, 2], or all")
    return value if value == "all" else tuple(numbers)


def _is_small(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**6


def _variant(value: Any) -> Any:
    if isinstance(value, str | SavedSetting):
        return value
    if not isinstance(value, Mapping):
        raise ValueError("must be the name of a variant, a FILE.json, or settings")
    try:
        return SavedSetting.model_validate(value)
    except ValidationError as error:
        raise ValueError(first_of(all_validation_errors(error.errors()))) from error


SETTINGS = tuple(field.name for field in fields(HeadSetting))
"""What may be set of a head."""


def _settings(value: Any) -> Any:
    for name in value if isinstance(value, Mapping) else ():
        if name not in SETTINGS:
            raise ValueError(f"no setting {str(name)[:40]!r}; there are {', '.join(SETTINGS)}")
    return value


def _setting(value: Any) -> Any:
    if not (value is None or isinstance(value, bool) or _is_small(value)):
        raise ValueError("must be a whole number, true, false or null")
    return value


Name = Annotated[str, Field(min_length=1, max_length=500)]
HeadsOf = Annotated[tuple[Count, ...] | Literal["all"], BeforeValidator(_heads)]
"""Heads that are quantized together."""
VariantOf = Annotated[str | SavedSetting, BeforeValidator(_variant)]
Setting = Annotated[int | bool | None, BeforeValidator(_setting)]
SETTINGS_ONLY = BeforeValidator(_settings)
"""For mappings whose keys are settings."""
PError = Annotated[float, Field(gt=0, lt=0.5, allow_inf_nan=False)]
Bits = Annotated[int, Field(strict=True, gt=0, le=64)]


_SHORT = 36
"""Letters beside a bar in 80 columns."""


class Point(Frozen):
    """One combination; what isn't said is as in ``fhecost estimate``.

    ``settings`` are changes to those that the variant has at these bits, ``p_error`` to how often a
    lookup may go wrong. ``mode`` is that of accuracy, ``hardware`` the machine of the estimate.
    """

    model: Name = EMBEDDED
    scope: Scope = "head"
    layer: Count = 0
    heads: HeadsOf = (0,)
    seq_len: Positive = 6
    bits: Bits = 4
    variant: VariantOf = "fast"
    settings: Annotated[Mapping[str, Setting], SETTINGS_ONLY] = {}
    p_error: PError | None = None
    widths: Widths | None = None
    mode: KeylessMode = "disable"
    hardware: Name | None = None

    @model_validator(mode="before")
    @classmethod
    def _usual_bits(cls, given: Any) -> Any:
        """With the width that the variant usually has, where none is said."""
        if (
            not isinstance(given, Mapping)
            or "bits" in given
            or given.get("scope", "head") != "head"
        ):
            return given
        match given.get("variant", cls.model_fields["variant"].default):
            case SavedSetting(bits=bits):
                return {**given, "bits": bits}
            case str(name) if name in VARIANTS:
                return {**given, "bits": VARIANTS[name].width()}
        return given

    @property
    def said(self) -> str:
        """What tells it from other points, as JSON: also what is left out, as it is taken."""
        return self.model_dump_json()

    @property
    def circuit(self) -> str:
        """The same without the machine: points that share it share their circuit."""
        return self.model_dump_json(exclude={"hardware"})

    @property
    def variant_name(self) -> str:
        """The variant in a word."""
        return self.variant if isinstance(self.variant, str) else self.variant.name

    @property
    def title(self) -> str:
        """The point in words."""
        heads = self.heads if isinstance(self.heads, str) else ",".join(map(str, self.heads))
        of = f"layer {self.layer} heads {heads}" if self.scope == "head" else self.scope
        on = "" if self.hardware is None else f", {self.hardware}"
        return f"{self.model} {of}, L={self.seq_len}, {self.bits} bits, {self.variant_name}{on}"

    @property
    def short(self) -> str:
        """The point in a few words, which leave room for a bar beside them."""
        words = [self.variant_name if self.scope == "head" else self.scope]
        words += [f"{self.bits} bits", f"L={self.seq_len}", *filter(None, [self.hardware])]
        said = ", ".join(words)
        return said if len(said) <= _SHORT else f"{said[: _SHORT - 1]}…"
