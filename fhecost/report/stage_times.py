"""Where one machine's time goes, drawn: stage by stage, by operation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fhecost.hardware.estimate import OPERATIONS, Estimate, Operation, StageEstimate
from fhecost.report import drawing
from fhecost.report.estimate_document import MOST_STAGES
from fhecost.report.machine_figures import OPERATION_COLORS, OPERATION_NAMES
from fhecost.units import duration

Seconds = Mapping[Operation, float]


def stage_time_figures(made: Estimate) -> list[drawing.Drawn]:
    """Stages' shares of the latency, stacked by operation, in the circuit's order.

    Of many stages the smaller ones are one bar. An operation that the latency model leaves out
    isn't drawn.
    """
    bars = _bars(made.by_stage)
    figure = drawing.new_figure()
    for operation in OPERATIONS:
        seconds = {name: parts.get(operation, 0.0) for name, parts in bars.items()}
        if any(seconds.values()):
            words = OPERATION_NAMES[operation]
            figure.add_bar(
                x=[one / made.latency_s for one in seconds.values()],
                y=list(seconds),
                orientation="h",
                name=words,
                marker={"color": OPERATION_COLORS[operation], "line": {"width": 0}},
                text=[f"{name}: {words} {duration(one)}" for name, one in seconds.items()],
                textposition="none",
                hoverinfo="text",
            )
    drawing.finish(
        figure,
        {"tickformat": ".0%", "rangemode": "tozero"},
        # The first stage on top.
        {"automargin": True, "autorange": "reversed"},
        legend_y=1.1,
        legend={"traceorder": "normal"},
        margin={"l": 20, "t": 30, "b": 40},
        barmode="stack",
        bargap=0.3,
        height=max(260, 90 + 26 * len(bars)),
    )
    return [(f"Where the time goes on {made.hardware}", figure)]


def _bars(stages: Sequence[StageEstimate]) -> dict[str, Seconds]:
    """Seconds by operation of the largest stages, and of all others together."""
    order = sorted(stages, key=lambda part: -part.latency_s)
    largest = {part.stage for part in order[:MOST_STAGES]}
    bars = {part.stage: _known(part) for part in stages if part.stage in largest}
    if others := [_known(part) for part in order[MOST_STAGES:]]:
        bars[f"({len(others)} smaller stages)"] = {
            operation: sum(parts.get(operation, 0.0) for parts in others)
            for operation in OPERATIONS
        }
    return bars


def _known(part: StageEstimate) -> Seconds:
    return {name: one for name, one in part.by_operation_s.items() if one is not None}
