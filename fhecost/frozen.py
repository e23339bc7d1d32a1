"""The base of the data that goes from part to part: checked, and not to be changed."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A pydantic model whose fields can't be set again and that refuses unknown ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")
