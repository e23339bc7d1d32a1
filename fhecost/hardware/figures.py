"""The figures that latency models of any kind need of a machine."""

from __future__ import annotations

import math
from typing import Any

from pydantic import Field

from fhecost.hardware.cost import Case
from fhecost.hardware.plausible import PlausibleFigures
from fhecost.provenance import (
    AtLeastOneFigure,
    Figure,
    PositiveFigure,
    PowerOfTwoFigure,
    Source,
    weakest,
)


def optional(description: str) -> Any:
    """The field of a figure that a machine may leave out: None then."""
    return Field(default=None, description=description)


class Figures(PlausibleFigures):
    """Base of the figures that a latency model needs, by name; all in SI units.

    Those here describe a machine of any kind; a model that computes with one asks for it anew.
    Each must be plausible for its unit: see :mod:`fhecost.hardware.plausible`.
    """

    clock_hz: PositiveFigure | None = optional("clock frequency")
    cache_bytes: PositiveFigure | None = optional("on-chip memory")
    memory_bytes: PositiveFigure | None = optional("memory for keys and ciphertexts")
    memory_bandwidth_bytes_per_s: PositiveFigure | None = optional("bandwidth of that memory")
    host_link_bytes_per_s: PositiveFigure | None = optional("bandwidth between host and device")
    host_link_start_s: PositiveFigure | None = optional(
        "a copy between host and device, whatever its size"
    )
    power_w: PositiveFigure | None = optional("power at full load")
    area_mm2: PositiveFigure | None = optional("silicon area")
    price_usd_per_hour: PositiveFigure | None = optional(
        "what an hour of the machine costs to rent"
    )


class ExtrapolatedFigures(Figures):
    """Figures of which it is known up to which N they hold.

    Constants are known for parameter sets up to ``trusted_polynomial_size``. Beyond it each
    doubling of N widens the range of a lookup's time by the factor ``extrapolation_per_doubling``
    to both sides; the likely time stays what the constants give.
    """

    trusted_polynomial_size: PowerOfTwoFigure = Field(
        description="the largest N that the constants were timed or published for"
    )
    extrapolation_per_doubling: AtLeastOneFigure = Field(
        description="factor that widens the range at each doubling of N beyond it"
    )

    def stretch(self, polynomial_size: int, case: Case) -> float:
        """Factor on the time of a lookup with ``polynomial_size``; 1 where constants are known."""
        if case is Case.LIKELY or not (doublings := self._doublings_beyond(polynomial_size)):
            return 1.0
        factor: float = self.extrapolation_per_doubling.value**doublings
        return 1 / factor if case is Case.FAST else factor

    def source_at(self, polynomial_size: int, *figures: Figure) -> Source:
        """The weakest source among ``figures``; beyond what is known, that of the extrapolation."""
        if self._doublings_beyond(polynomial_size) == 0:
            return weakest(*figures)
        return weakest(*figures, self.extrapolation_per_doubling)

    def _doublings_beyond(self, polynomial_size: int) -> float:
        beyond = polynomial_size / self.trusted_polynomial_size.value
        return math.log2(beyond) if beyond > 1 else 0.0
