"""Where one machine's time goes, drawn: stage by stage, by operation."""

from __future__ import annotations

from collections.abc import Mapping

from fhecost.hardware.estimate import OPERATIONS, Estimate, Operation
from fhecost.report import drawing
from fhecost.report.estimate_document import MOST_STAGES
from fhecost.units import duration

OPERATION_COLORS: Mapping[Operation, str] = {
    "pbs": drawing.BLUE,
    "key_switch": drawing.GREEN,
    "linear": drawing.ORANGE,
    "keys": drawing.PURPLE,
    "transfer": drawing.NEUTRAL,
}
OPERATION_NAMES: Mapping[Operation, str] = {
    "pbs": "PBS",
    "key_switch": "KS",
    "linear": "linear",
    "keys": "keys",
    "transfer": "transfer",
}


def stage_time_figures(made: Estimate) -> list[drawing.Drawn]:
    """The largest stages' shares of the latency, stacked by operation, in the circuit's order."""
    order = sorted(made.by_stage, key=lambda part: -part.latency_s)[:MOST_STAGES]
    largest = {part.stage for part in order}
    drawn = [part for part in reversed(made.by_stage) if part.stage in largest]
    figure = drawing.new_figure()
    for operation in OPERATIONS:
        seconds = [part.by_operation_s.get(operation) or 0.0 for part in drawn]
        if any(seconds):
            figure.add_bar(
                x=[one / made.latency_s for one in seconds],
                y=[part.stage for part in drawn],
                orientation="h",
                name=OPERATION_NAMES[operation],
                marker={"color": OPERATION_COLORS[operation]},
                text=[
                    f"{part.stage}: {OPERATION_NAMES[operation]} {duration(one)}"
                    for part, one in zip(drawn, seconds, strict=True)
                ],
                textposition="none",
                hoverinfo="text",
            )
    drawing.finish(
        figure,
        {"tickformat": ".0%", "rangemode": "tozero"},
        {"automargin": True},
        legend_y=1.1,
        legend={"traceorder": "normal"},
        margin={"l": 20, "t": 30, "b": 40},
        barmode="stack",
        bargap=0.3,
        height=max(260, 90 + 26 * len(drawn)),
    )
    return [(f"Where the time goes on {made.hardware}", figure)]
