"""Where a circuit's bootstraps and its work go, stage by stage."""

from __future__ import annotations

from fhecost.circuits.profile import Stage
from fhecost.circuits.work import key_switch_units, pbs_units
from fhecost.hardware.estimate import CircuitSummary
from fhecost.report.drawing import BLUE, NEUTRAL, Drawn, finish, new_figure

MOST_STAGES = 24
"""More bars than these can't be told apart; the largest are drawn."""


def circuit_figures(circuit: CircuitSummary) -> list[Drawn]:
    """Each stage's share of all PBS, and of all work."""
    work = {stage.name: _work(stage) for stage in circuit.stages if stage.pbs}
    largest = sorted(work, key=work.__getitem__, reverse=True)[:MOST_STAGES]
    # In the order of the circuit, the first on top.
    drawn = [stage for stage in reversed(circuit.stages) if stage.name in largest]
    total = sum(work.values())
    figure = new_figure()
    for label, color, shares in (
        ("work", BLUE, [work[stage.name] / total for stage in drawn]),
        ("PBS", NEUTRAL, [stage.pbs_count / circuit.pbs_count for stage in drawn]),
    ):
        figure.add_bar(
            x=shares,
            y=[stage.name for stage in drawn],
            orientation="h",
            name=f"share of {label}",
            marker={"color": color},
            hovertemplate=f"%{{y}}: %{{x:.1%}} of {label}<extra></extra>",
        )
    bars = {"barmode": "group", "bargap": 0.3, "height": max(320, 60 + 34 * len(drawn))}
    finish(
        figure,
        {"tickformat": ".0%", "rangemode": "tozero"},
        {"automargin": True},
        legend_y=1.1,
        legend={"traceorder": "reversed"},
        margin={"l": 20, "t": 30, "b": 40},
        **bars,
    )
    return [("Where the PBS and the work go", figure)]


def _work(stage: Stage) -> float:
    """The stage's PBS and KS in the optimizer's unit of complexity."""
    return sum(use.count * pbs_units(use.parameters) for use in stage.pbs) + sum(
        use.count * key_switch_units(use.parameters) for use in stage.key_switches
    )
