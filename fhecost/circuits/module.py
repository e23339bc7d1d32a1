"""The profile of a module: circuits that share keys, and pass ciphertexts on to each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, model_validator

from fhecost.circuits.profile import CircuitProfile
from fhecost.errors import FieldError
from fhecost.fields import VersionOne
from fhecost.files import AnyPath, read_model
from fhecost.frozen import Frozen


class ModuleProfile(Frozen):
    """The functions of an ``fhe.module``, each a circuit of its own.

    They share the keys, and each states all of them: a call is handed the whole set. How often
    each is called, and in which order, is not in a module; an estimate of its calls is told.
    ``uncosted`` are functions without a profile, by name, and why.
    """

    schema_version: VersionOne = 1
    name: str
    source: str = Field(description="what the profile was read from")
    functions: Annotated[Mapping[str, CircuitProfile], Field(min_length=1)]
    uncosted: Mapping[str, str] = {}

    @property
    def bsk_bytes(self) -> int:
        """Bytes of the bootstrap keys that the functions share."""
        return next(iter(self.functions.values())).bsk_bytes

    @property
    def ksk_bytes(self) -> int:
        """Bytes of the key-switch keys that the functions share."""
        return next(iter(self.functions.values())).ksk_bytes

    def function(self, name: str) -> CircuitProfile:
        """The profile of the function called ``name``.

        Raises:
            UsageError: there is none; says which there are, or why this one has no profile.
        """
        if name in self.functions:
            return self.functions[name]
        if name in self.uncosted:
            raise FieldError("function", self.uncosted[name], name)
        raise FieldError("function", f"module {self.name} has {', '.join(self.functions)}", name)

    @model_validator(mode="after")
    def _keys_are_shared(self) -> ModuleProfile:
        keys = {(one.bsk_bytes, one.ksk_bytes) for one in self.functions.values()}
        if len(keys) > 1:
            raise ValueError("functions: functions of a module share their keys; these differ")
        return self


def load_module(path: AnyPath) -> ModuleProfile:
    """Read a module's profile that :func:`save_profile` wrote.

    Raises:
        UsageError: the file is missing, no JSON, or breaks the schema.
    """
    return read_model(path, ModuleProfile)
