"""Where a circuit's bootstraps and its work go, stage by stage."""

from __future__ import annotations

from fhecost.circuits.profile import Stage
from fhecost.circuits.work import key_switch_units, pbs_units
from fhecost.hardware.estimate import CircuitSummary
from fhecost.report.drawing import KIND_COLORS, NEUTRAL, Drawn, finish, new_figure

MOST_STAGES = 24
"""More bars than these can't be told apart; the largest are drawn."""


def _work(stage: Stage) -> float:
    """The stage's PBS and KS in the optimizer's unit of complexity."""
    return sum(use.count * pbs_units(use.parameters) for use in stage.pbs) + sum(
        use.count * key_switch_units(use.parameters) for use in stage.key_switches
    )


def circuit_figures(circuit: CircuitSummary) -> list[Drawn]:
    """Each stage's share of all PBS, and of all work."""
    stages = [stage for stage in circuit.stages if stage.pbs]
    total = sum(_work(stage) for stage in stages)
    drawn = sorted(stages, key=_work, reverse=True)[:MOST_STAGES]
    # In the order of the circuit, the first on top.
    drawn = [stage for stage in stages if stage in drawn][::-1]
    figure = new_figure()
    for label, color, shares in (
        ("work", KIND_COLORS["cpu"], [_work(stage) / total for stage in drawn]),
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
    figure.update_xaxes(tickformat=".0%", rangemode="tozero")
    figure.update_yaxes(automargin=True)
    figure.update_layout(barmode="group", bargap=0.3, height=max(320, 60 + 34 * len(drawn)))
    finish(figure, 1.1, margin={"l": 20, "t": 30, "b": 40})
    figure.update_layout(legend_traceorder="reversed")
    return [("Where the PBS and the work go", figure)]
