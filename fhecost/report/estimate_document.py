"""What ``fhecost estimate`` says: the circuit, its stages, the machines, how sure all that is."""

from __future__ import annotations

from collections.abc import Sequence

from fhecost.circuits.profile import Stage
from fhecost.hardware.estimate import OPERATIONS, Estimate, EstimateReport
from fhecost.report.circuit_lines import circuit_lines
from fhecost.report.columns import Column, Table, column, names, numbers, records
from fhecost.report.document import Document, Heading, Line, Refusals, Text
from fhecost.units import duration, share

_NO_STAGE = "without PBS, and transfer"
_SHORTEST_STAGE = 28


def estimate_document(report: EstimateReport) -> Document:
    """The circuit, where its time goes, the latencies, and what each of them rests on."""
    return Document(
        blocks=(
            Heading("Circuit"),
            Text(*circuit_lines(report.circuit)),
            _stage_table(bootstrapping(report.circuit.stages), report.estimates),
            Heading("Latency"),
            _latency_table(report.estimates),
            Refusals(*(f"{no.hardware}: no estimate: {no.reason}." for no in report.refusals)),
            Heading("How sure"),
            Text(*(line for made in report.estimates for line in grounds(made))),
        ),
        records=_records(report),
        report=report,
    )


def bootstrapping(stages: Sequence[Stage]) -> list[Stage]:
    """The stages with PBS, which take nearly all of the time."""
    return [stage for stage in stages if stage.pbs]


def stage_columns(stages: Sequence[Stage], last: Sequence[str] = ()) -> list[Column]:
    """What each stage is; ``last`` names a row that stands for what is no stage."""
    blank = [""] * len(last)
    return [
        names("stage", [*(stage.name for stage in stages), *last], _SHORTEST_STAGE),
        numbers("bits", [*(stage.bit_width for stage in stages), *blank]),
        numbers("PBS", [*(stage.pbs_count for stage in stages), *blank]),
        numbers("wide", [*(stage.parallel_width for stage in stages), *blank]),
        numbers("deep", [*(stage.depth for stage in stages), *blank]),
    ]


def _mixture(made: Estimate) -> str:
    return ", ".join(f"{share(part)} {source.value}" for source, part in made.sources.items())


def _stage_table(stages: Sequence[Stage], estimates: Sequence[Estimate]) -> Table:
    """Stages that bootstrap, with their share of each machine's time; the rest in one row."""
    fixed = stage_columns(stages, last=[_NO_STAGE])
    shares = [numbers(made.hardware, _shares(stages, made), share) for made in estimates]
    return Table(*fixed, *shares, fixed=len(fixed))


def _shares(stages: Sequence[Stage], made: Estimate) -> list[float]:
    parts = {part.stage: part.latency_s / made.latency_s for part in made.by_stage}
    of_stages = [parts.pop(stage.name, 0.0) for stage in stages]
    return [*of_stages, sum(parts.values())]


def _latency_table(estimates: Sequence[Estimate]) -> Table:
    return Table(
        names("machine", (made.hardware for made in estimates)),
        numbers("latency", (made.latency_s for made in estimates), duration),
        numbers("from", (made.low_s for made in estimates), duration),
        numbers("to", (made.high_s for made in estimates), duration),
        column("bound by", (made.bottleneck.removeprefix("memory ") for made in estimates)),
        column("rests on", (_largest_source(made) for made in estimates)),
    )


def _largest_source(made: Estimate) -> str:
    source = max(made.sources, key=lambda name: made.sources[name])
    return f"{share(made.sources[source])} {source.value}"


def grounds(made: Estimate) -> list[Line]:
    """What the machine is and which shares of its time rest on what, then all that is assumed."""
    return [
        f"{made.hardware}: {made.title}; time rests on: {_mixture(made)}.",
        (*made.assumptions, *(f"source: {text}" for text in made.references)),
    ]


def _records(report: EstimateReport) -> Table:
    """One row a machine; one that can't run it has a reason instead."""
    fields = [
        "hardware", "latency_s", "low_s", "high_s", "bottleneck",
        *(f"{operation}_s" for operation in OPERATIONS),
        "pbs_count", "key_switch_count", "circuit_hash", "hardware_hash", "refused_because",
    ]  # fmt: skip
    counts = {
        "pbs_count": report.circuit.pbs_count,
        "key_switch_count": report.circuit.key_switch_count,
    }
    rows = [
        {**dict(made), **counts, **{f"{name}_s": s for name, s in made.by_operation_s.items()}}
        for made in report.estimates
    ]
    refused = [{"hardware": no.hardware, "refused_because": no.reason} for no in report.refusals]
    return records(fields, [*rows, *refused])
