"""What ``fhecost estimate`` says: the circuit, its stages, the machines, how sure all that is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter

from fhecost.circuits.profile import Stage
from fhecost.circuits.work import stage_units
from fhecost.hardware.answer import Contender
from fhecost.hardware.estimate import OPERATIONS, CircuitSummary, Estimate, EstimateReport
from fhecost.report import drawing
from fhecost.report.answer_lines import answer_lines
from fhecost.report.circuit_lines import circuit_lines
from fhecost.report.columns import Table, column, names, numbers, records
from fhecost.report.document import Block, Document, Heading, Listing, Note, Text
from fhecost.report.latency_words import latency_words, not_known_lines
from fhecost.report.machine_figures import machine_figures, stage_utilization
from fhecost.report.pbs_words import pbs_blocks, pbs_columns
from fhecost.report.refusal_lines import refused
from fhecost.report.throughput_blocks import throughput_blocks
from fhecost.report.token_blocks import TOKEN_FIELDS, token_blocks, token_records
from fhecost.report.unsure_lines import on_top, sure_blocks
from fhecost.units import duration, share

_NO_STAGE = "without PBS, and transfer"
MOST_STAGES = 24
"""More bars than these can't be told apart; the largest are drawn."""
_MOST_COLUMNS = 8
"""So many machines have their columns side by side on a small screen."""


def estimate_document(report: EstimateReport) -> Document:
    """The circuit, where its time goes, the latencies, and what each of them rests on."""
    return Document(
        blocks=(
            *on_top(report.unsure),
            Text(*estimate_answer(report)),
            Heading("Circuit"),
            *circuit_blocks(report),
            Heading("Latency"),
            _latency_table(report),
            *pbs_blocks(report.estimates, report.pbs, report.circuit.p_error),
            Note(*not_known_lines((made.hardware, made) for made in report.estimates)),
            refused(report.refusals, "no estimate: "),
            *token_blocks(report.circuit.description, report.token_costs),
            *_beside(report),
            *throughput_blocks(report.throughputs, report.pbs),
            *sure_blocks(report.unsure),
            Heading("How sure"),
            grounds(report.estimates),
        ),
        records=_records(report),
        report=report,
    )


def estimate_answer(report: EstimateReport) -> Iterator[str]:
    """What a reader can act on, in two or three sentences."""
    by_name = {made.hardware: made for made in report.estimates}

    def largest(hardware: str) -> tuple[str, float]:
        made = by_name[hardware]
        part = max(made.by_stage, key=lambda one: one.latency_s)
        return part.stage, part.latency_s / made.latency_s

    machines = map(Contender.like, report.estimates)
    return answer_lines(machines, cost_error=report.circuit.cost_error, largest=largest)


def circuit_blocks(report: EstimateReport) -> tuple[Block, ...]:
    """What the circuit is, and its stages that bootstrap, with their share of each machine's time.

    All that belongs to no such stage is one row. Where there is no room for a column a machine,
    one holds the least and the largest of their shares.
    """
    stages = [stage for stage in report.circuit.stages if stage.pbs]
    shares = {made.hardware: _shares(stages, made) for made in report.estimates}
    spans = [_share_span(parts) for parts in zip(*shares.values(), strict=True)]
    table = Table(
        names("stage", [*(stage.name for stage in stages), _NO_STAGE], least=28),
        numbers("bits", [*(stage.bit_width for stage in stages), ""]),
        numbers("PBS", [*(stage.pbs_count for stage in stages), ""]),
        numbers("wide", [*(stage.parallel_width for stage in stages), ""]),
        numbers("deep", [*(stage.depth for stage in stages), ""]),
        *(numbers(name, parts, share) for name, parts in shares.items()),
        fixed=5,
        instead=[numbers("of the time", spans)],
    )
    return Text(*circuit_lines(report.circuit)), table


def grounds(estimates: Sequence[Estimate]) -> Text:
    """Of each machine what it is, what its time rests on, and all that is assumed."""
    listings = []
    for made in estimates:
        mixture = ", ".join(f"{share(part)} {source}" for source, part in made.sources.items())
        line = f"{made.hardware}: {made.title}; time rests on: {mixture}."
        references = (f"source: {text}" for text in made.references)
        listings.append(Listing(line, (*made.assumptions, *references)))
    return Text(*listings)


def _latency_table(report: EstimateReport) -> Table:
    estimates = report.estimates
    largest = [max(made.sources.items(), key=itemgetter(1)) for made in estimates]
    return Table(
        names("machine", (made.hardware for made in estimates)),
        *pbs_columns(estimates, report.pbs),
        numbers("latency", map(latency_words, estimates)),
        numbers("from", (made.low_s for made in estimates), duration),
        numbers("to", (made.high_s for made in estimates), duration),
        column("bound by", (made.bottleneck.removeprefix("memory ") for made in estimates)),
        column("rests on", (f"{share(part)} {source}" for source, part in largest)),
    )


def _beside(report: EstimateReport) -> Iterator[Block]:
    """How long the published head would take, machine by machine."""
    if report.beside is None:
        return
    published, own = report.beside, {made.hardware: made.latency_s for made in report.estimates}
    yield Text(
        f"Beside it, the published example's head of that shape ({published.circuit.pbs_count:,} "
        f"PBS, complexity {published.circuit.complexity:.2e}), by closed form"
        f"{', widths stated' if published.circuit.description.widths == 'stated' else ''}:"
    )
    # A machine may hold the published head and not this one.
    if made := [one for one in published.estimates if one.hardware in own]:
        factors = (one.latency_s / own[one.hardware] for one in made)
        yield Table(
            names("machine", (one.hardware for one in made)),
            numbers("published", (one.latency_s for one in made), duration),
            numbers("times as long", factors, "{:.0f}".format),
        )
    yield refused(published.refusals, "not the published one: ")


def _shares(stages: Sequence[Stage], made: Estimate) -> list[float]:
    """Of the stages, and of all else."""
    parts = {part.stage: part.latency_s / made.latency_s for part in made.by_stage}
    of_stages = [parts.pop(stage.name, 0.0) for stage in stages]
    return [*of_stages, sum(parts.values())]


def _share_span(parts: Sequence[float]) -> str:
    least, most = share(min(parts)), share(max(parts))
    return least if least == most else f"{least.removesuffix(' %')} to {most}"


def _records(report: EstimateReport) -> Table:
    """One row a machine; one that can't run it has a reason instead."""
    circuit = report.circuit
    fields = [
        "hardware", "pbs_kind", "availability", "latency_s", "low_s", "high_s", "bottleneck",
        *(f"{operation}_s" for operation in OPERATIONS), *TOKEN_FIELDS,
        "pbs_count", "key_switch_count", "global_p_error",
        "circuit_hash", "hardware_hash", "refused_because",
    ]  # fmt: skip
    of_circuit = ("pbs_count", "key_switch_count", "global_p_error")
    counts = {name: getattr(circuit, name) for name in of_circuit}
    tokens = token_records(report.token_costs)
    rows = [
        {
            **dict(made),
            **counts,
            **{f"{name}_s": s for name, s in made.by_operation_s.items()},
            **tokens.get(made.hardware, {}),
        }
        for made in report.estimates
    ]
    without = [{"hardware": no.hardware, "refused_because": no.reason} for no in report.refusals]
    return records(fields, [*rows, *without])


def circuit_figures(circuit: CircuitSummary) -> list[drawing.Drawn]:
    """Each stage's share of all PBS, and of all work; none where nothing is looked up."""
    work = _work(circuit)
    if not work:
        return []
    # In the order of the circuit, the first on top.
    drawn = _largest(circuit, work)[::-1]
    total = sum(work.values())
    figure = drawing.new_figure()
    for label, color, shares in (
        ("work", drawing.BLUE, [work[stage.name] / total for stage in drawn]),
        ("PBS", drawing.NEUTRAL, [stage.pbs_count / circuit.pbs_count for stage in drawn]),
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
    drawing.finish(
        figure,
        {"tickformat": ".0%", "rangemode": "tozero"},
        {"automargin": True},
        legend_y=1.02,
        legend={"traceorder": "reversed"},
        margin={"l": 20, "t": 30, "b": 40},
        **bars,
    )
    return [("Where the PBS and the work go", figure)]


def estimate_plot(report: EstimateReport) -> drawing.Plot:
    """What is drawn: the circuit's stages, and the machines with what their time consists of.

    Raises:
        UsageError: plotly isn't installed.
    """
    circuit = report.circuit
    note = (
        f"{circuit.name}: {circuit.pbs_count:,} PBS, {circuit.key_switch_count:,} KS. Bars of "
        f"latencies are the ranges of the estimates. fhecost {report.fhecost_version}, circuit "
        f"{circuit.hash[:12]}."
    )
    return drawing.Plot("How long the circuit takes, and why", note, estimate_figures(report))


def estimate_figures(report: EstimateReport) -> list[drawing.Drawn]:
    """The machines, the stages, and how full each machine is in each of them."""
    drawn = [*machine_figures(report.estimates), *circuit_figures(report.circuit)]
    stages = [stage.name for stage in _largest(report.circuit, _work(report.circuit))]
    if stages and len(report.estimates) <= _MOST_COLUMNS:
        figure = stage_utilization(report.estimates, stages)
        drawn.append(("Utilization, by stage and machine", figure))
    return drawn


def _work(circuit: CircuitSummary) -> dict[str, float]:
    """The work of each stage that has lookups, by its name."""
    return {stage.name: stage_units(stage) for stage in circuit.stages if stage.pbs}


def _largest(circuit: CircuitSummary, work: Mapping[str, float]) -> list[Stage]:
    """The stages with the most ``work``, in the order of the circuit."""
    largest = sorted(work, key=work.__getitem__, reverse=True)[:MOST_STAGES]
    return [stage for stage in circuit.stages if stage.name in largest]
