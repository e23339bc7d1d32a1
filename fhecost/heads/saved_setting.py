"""How heads are quantized, as a small JSON file that can stand wherever a variant is named."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from fhecost.errors import FieldError
from fhecost.files import AnyPath, read_model, write_result
from fhecost.frozen import Frozen
from fhecost.heads.attention_head import AttentionHead, check_all_heads
from fhecost.heads.compact import CompactHeads, quantize_with, state_with
from fhecost.heads.compact_attention import (
    AttentionSetting,
    CompactAttention,
    quantize_projected,
    state_projected,
)
from fhecost.heads.head_quantization import HeadSetting
from fhecost.heads.parameter_rules import USUAL, ParameterRules
from fhecost.heads.projected_heads import (
    HeadwiseSetting,
    ProjectedHeads,
    project_headwise,
    state_headwise,
)
from fhecost.heads.stated import StatedHeads, StatedShape
from fhecost.quantization import FloatArray


def _kind(projection: Any) -> str:
    """Which of both a file means: what else is wrong with it is then said of that one."""
    if isinstance(projection, Mapping):
        return "headwise" if "weight_bits" in projection else "whole"
    return "headwise" if isinstance(projection, HeadwiseSetting) else "whole"


Projection = Annotated[
    Annotated[AttentionSetting, Tag("whole")] | Annotated[HeadwiseSetting, Tag("headwise")],
    Discriminator(_kind),
]
"""How the output projection is quantized: that of the heads' sum, or each head's own rows."""


class SavedSetting(Frozen):
    """Settings of heads, one for all of them or one each, and the rules for their parameters.

    With a ``projection`` they are all heads of a layer, and their output projection follows inside
    the circuit: of their sum, or head by head. ``of`` says what they were found for; nothing is
    read from it.
    """

    schema_version: Literal[1] = 1
    settings: Annotated[tuple[HeadSetting, ...], Field(min_length=1)]
    rules: ParameterRules = USUAL
    projection: Projection | None = None
    of: str = ""

    @property
    def name(self) -> str:
        """What circuits of these heads are called: no two settings have the same."""
        left_out = {"of"} if self.projection else {"of", "projection"}
        said = self.model_dump_json(exclude=left_out)
        return f"fast-{hashlib.sha256(said.encode()).hexdigest()[:8]}"

    @property
    def bits(self) -> int:
        """The width that stands for them all: that of the values."""
        return max(setting.value_bits for setting in self.settings)

    @property
    def heads(self) -> type[CompactHeads | CompactAttention | ProjectedHeads]:
        """The class of what :meth:`quantize` makes."""
        if self.projection is None:
            return CompactHeads
        headwise = isinstance(self.projection, HeadwiseSetting)
        return ProjectedHeads if headwise else CompactAttention

    def quantize(
        self, heads: Sequence[AttentionHead], hidden: FloatArray, _: int
    ) -> CompactHeads | CompactAttention | ProjectedHeads:
        """Heads of one layer, each by its setting, calibrated on ``hidden``, (sentences, L, E).

        Raises:
            FieldError: there are settings for another number of heads, or a projection and not all
                heads of a layer.
            ImpossibleError: at these widths a tensor of a head is zero for every sentence.
        """
        settings = self._of_each(len(heads))
        if self.projection is not None:
            check_all_heads(heads, hidden.shape[-1])
        quantized = quantize_with(heads, hidden, settings, self.bits, self.rules)
        if self.projection is None:
            return quantized
        if isinstance(self.projection, HeadwiseSetting):
            return project_headwise(quantized, heads, hidden, self.projection)
        return quantize_projected(quantized, heads, hidden, self.projection)

    def state(self, shape: StatedShape, _: object = None) -> StatedHeads:
        """Heads of a shape; all alike, since a shape knows no differences.

        Raises:
            FieldError: the settings differ, or there is a projection and not all heads of a layer.
        """
        if len(set(self.settings)) > 1:
            raise FieldError("variant", "has a setting for each head: it takes a model's weights")
        stated = state_with(shape, self.settings[0], self.rules)
        if self.projection is None:
            return stated
        if isinstance(self.projection, HeadwiseSetting):
            return state_headwise(shape, stated, self.projection)
        return state_projected(shape, stated, self.projection)

    def _of_each(self, count: int) -> list[HeadSetting]:
        if len(self.settings) not in (1, count):
            found = len(self.settings)
            raise FieldError("variant", f"has settings for {found} heads, and there are {count}")
        return list(self.settings) * (count if len(self.settings) == 1 else 1)


def save_setting(setting: SavedSetting, path: AnyPath) -> None:
    """Write ``setting`` to ``path`` as JSON, whole or not at all."""
    write_result(Path(path), setting.model_dump_json(indent=1, exclude_none=True) + "\n")


def load_setting(path: AnyPath) -> SavedSetting:
    """Read what :func:`save_setting` wrote.

    Raises:
        UsageError: the file is missing, no JSON, or breaks the schema.
    """
    return read_model(Path(path), SavedSetting)
