"""Which of a machine's figures matter: what each does to the latency of one circuit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fhecost.circuits.profile import CircuitProfile
from fhecost.errors import ImpossibleError, UsageError
from fhecost.frozen import Frozen
from fhecost.hardware.estimate import Estimate
from fhecost.hardware.estimator import Estimator
from fhecost.hardware.profile import HardwareProfile
from fhecost.hardware.what_if import checked_figures, with_figures
from fhecost.provenance import Figure, Source

_LESS, _MORE = (0.9, 0.5), (1.1, 1.5, 2.0)
"""A tenth less and more; a count or a power of two takes the next step that it can."""


class Changed(Frozen):
    """A figure's other ``value``, and the likely latency with it.

    ``latency_s`` is None where the machine can't run the circuit with that value.
    """

    value: float
    latency_s: float | None


class FigureSensitivity(Frozen):
    """What one figure does to the latency.

    ``less`` and ``more`` are a tenth from its value, or the next step of a count; ``lowest`` and
    ``highest`` the ends of its range. Each is None where there is no such value.
    """

    figure: str
    value: float
    source: Source
    less: Changed | None
    more: Changed | None
    lowest: Changed | None
    highest: Changed | None

    def swing(self, latency_s: float) -> float:
        """How far from ``latency_s`` any of these values takes the latency, relatively.

        Infinite where the circuit can't be run with one of them.
        """
        every = (self.less, self.more, self.lowest, self.highest)
        return max(
            (
                float("inf") if one.latency_s is None else abs(one.latency_s / latency_s - 1)
                for one in every
                if one is not None
            ),
            default=0.0,
        )


class Sensitivity(Frozen):
    """The figures of one machine that matter for a circuit, the strongest first."""

    hardware: str
    latency_s: float
    figures: tuple[FigureSensitivity, ...]


def sensitivity(
    circuit: CircuitProfile, hardware: HardwareProfile, known: Iterable[Estimate] = ()
) -> Sensitivity:
    """What each figure of ``hardware`` does to the latency of ``circuit``, all others as they are.

    Figures that change nothing are left out. ``known`` are estimates made before.

    Raises:
        ImpossibleError: the machine can't run the circuit.
        UsageError: the hardware profile is incomplete.
    """
    latency_s = Estimator(hardware, known)(circuit).latency_s
    found = [one for one in _figures(circuit, hardware) if one.swing(latency_s) > 0]
    found.sort(key=lambda one: (-one.swing(latency_s), one.figure))
    return Sensitivity(hardware=hardware.name, latency_s=latency_s, figures=tuple(found))


def _figures(circuit: CircuitProfile, hardware: HardwareProfile) -> Iterator[FigureSensitivity]:
    known = checked_figures(hardware)
    for name in hardware.figures:
        figure = known[name]
        if figure is None:
            continue

        def changed(value: float | None, name: str = name, own: Figure = figure) -> Changed | None:
            if value is None or value == own.value:
                return None
            try:
                other = with_figures(hardware, {name: value})
            except UsageError:
                # A value that doesn't go with the machine's other figures.
                return None
            try:
                return Changed(value=value, latency_s=Estimator(other)(circuit).latency_s)
            except ImpossibleError:
                return Changed(value=value, latency_s=None)

        yield FigureSensitivity(
            figure=name,
            value=figure.value,
            source=figure.source,
            less=changed(_next(figure, _LESS)),
            more=changed(_next(figure, _MORE)),
            lowest=changed(figure.low),
            highest=changed(figure.high),
        )


def _next(figure: Figure, factors: tuple[float, ...]) -> float | None:
    """The first of the values so many times the figure's that it can have."""
    every = (figure.nearest(factor * figure.value) for factor in factors)
    return next((value for value in every if value != figure.value), None)
