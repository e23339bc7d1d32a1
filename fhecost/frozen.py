"""The base of the data that goes from part to part: checked, and not to be changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A pydantic model whose fields can't be set again and that refuses unknown ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def like(cls, source: object, **others: Any) -> Self:
        """One with the values ``others``, and in all other fields what ``source`` calls the same.

        Raises:
            pydantic.ValidationError: a value is none that its field can have.
        """
        same = {name: getattr(source, name) for name in cls.model_fields if name not in others}
        return cls.model_validate({**same, **others})

    def changed(self, **values: Any) -> Self:
        """A copy with other values in some fields, checked as if it were read from a file.

        Raises:
            pydantic.ValidationError: a field is unknown, or the values don't go together.
        """
        content = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self).model_validate({**content, **values})

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As pydantic's, but an ``update`` is checked: see :meth:`changed`."""
        copied = super().model_copy(deep=deep)
        return copied.changed(**update) if update else copied
