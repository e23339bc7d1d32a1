"""Numbers that say where they come from."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fhecost.fields import FiniteNonNegative, PowerOfTwoFloat, WholeFloat


class Source(StrEnum):
    """Where a number comes from, the strongest first."""

    MEASURED = "measured"
    PUBLISHED = "published"
    CALIBRATED = "calibrated"
    MODELLED = "modelled"
    ASSUMED = "assumed"


_WEAKNESS = {source: rank for rank, source in enumerate(Source)}


def weakest(*figures: Figure) -> Source:
    """The weakest source among ``figures``: that of a result that rests on all of them."""
    return weaker(*[figure.source for figure in figures])


def weaker(*sources: Source) -> Source:
    """The weakest of some sources."""
    return max(sources, key=_WEAKNESS.__getitem__)


class Figure(BaseModel):
    """One number of a hardware profile, in SI units, with its source and its range.

    ``ref`` names the publication, file or measurement; ``rationale`` says why a modelled or assumed
    number is what it is. ``low`` and ``high`` bound the true value; left out, the number is taken
    as exact. ``standard_error`` is that of the fit that a calibrated number comes from; ``low`` and
    ``high`` may be wider, since they also hold what the fit's model leaves out.
    """

    # Strict: YAML's yes is no 1, and "12" no 12. The source is a word in every file.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    value: FiniteNonNegative
    source: Annotated[Source, Field(strict=False)]
    low: FiniteNonNegative | None = None
    high: FiniteNonNegative | None = None
    standard_error: FiniteNonNegative | None = None
    ref: str | None = None
    rationale: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Figure:
        if self.source in (Source.MODELLED, Source.ASSUMED):
            if not self.rationale:
                raise ValueError(f"a {self.source} figure needs a rationale")
        elif not self.ref:
            raise ValueError(f"a {self.source} figure needs a ref")
        if self.low is not None and self.low > self.value:
            raise ValueError(f"low {self.low:g} is above the value {self.value:g}")
        if self.high is not None and self.high < self.value:
            raise ValueError(f"high {self.high:g} is below the value {self.value:g}")
        return self

    def set_to(self, value: float, rationale: str) -> Figure:
        """The assumption that this figure is ``value``, as unsure as it is now.

        The range reaches as far from the value as before, relative to it, within what a figure of
        this kind can be. Where the value is 0 nothing is relative to it, and the bounds stay.

        Raises:
            pydantic.ValidationError: ``value`` is negative or no number.
        """
        low, high = (
            None if end is None else self.nearest(end * (value / self.value) if self.value else end)
            for end in (self.low, self.high)
        )
        return Figure(
            value=value,
            source=Source.ASSUMED,
            low=None if low is None else min(low, value),
            high=None if high is None else max(high, value),
            rationale=rationale,
        )

    @classmethod
    def nearest(cls, bound: float) -> float:
        """The value next to ``bound`` that a figure of this kind can have."""
        return bound

    @property
    def lowest(self) -> float:
        """The lower bound, or the value where none is known."""
        return self.value if self.low is None else self.low

    @property
    def highest(self) -> float:
        """The upper bound, or the value where none is known."""
        return self.value if self.high is None else self.high


Number = TypeVar("Number", bound=float)


class FigureOf(Figure, Generic[Number]):
    """A figure whose value and bounds are numbers of one kind."""

    value: Number
    low: Number | None = None
    high: Number | None = None


class PositiveFigure(FigureOf[Annotated[float, Field(gt=0, allow_inf_nan=False)]]):
    """A figure that divides or limits: zero would be nonsense, not a small value."""


class AtLeastOneFigure(FigureOf[Annotated[float, Field(ge=1, allow_inf_nan=False)]]):
    """A factor that only ever makes something larger, or leaves it."""

    @classmethod
    def nearest(cls, bound: float) -> float:
        """The factor next to ``bound``."""
        return max(1.0, bound)


class FractionFigure(FigureOf[Annotated[float, Field(gt=0, le=1)]]):
    """A figure between zero, excluded, and one."""

    @classmethod
    def nearest(cls, bound: float) -> float:
        """The fraction next to ``bound``."""
        return min(1.0, bound)


class CountFigure(FigureOf[WholeFloat]):
    """A count of whole things, such as threads: its value and its bounds are whole, from 1."""

    @classmethod
    def nearest(cls, bound: float) -> float:
        """The whole number next to ``bound``."""
        return max(1.0, float(round(bound)))


class PowerOfTwoFigure(FigureOf[PowerOfTwoFloat]):
    """A count that is a power of two, its bounds too, such as the largest polynomial size."""

    @classmethod
    def nearest(cls, bound: float) -> float:
        """The power of two next to ``bound``."""
        return 2.0 ** max(0, round(math.log2(bound)))
