"""What ``fhecost diff`` says: totals before and after, stages that changed, and times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from fhecost.circuits.profile import LINEAR_OPERATIONS, LinearOperation, Stage
from fhecost.circuits.work import pbs_depth
from fhecost.hardware.difference import DifferenceReport, StageChange
from fhecost.hardware.estimate import CircuitSummary
from fhecost.report.columns import UNKNOWN, Table, column, names, numbers, records
from fhecost.report.document import Block, Document, Heading, Note, Refusals, Text
from fhecost.units import amount, duration, times

_BYTES = partial(amount, unit="B")
_WHOLE: Callable[[float], str] = "{:,.0f}".format
_TOTALS: tuple[tuple[str, Callable[[CircuitSummary], float], Callable[[float], str]], ...] = (
    ("PBS", lambda circuit: circuit.pbs_count, _WHOLE),
    ("KS", lambda circuit: circuit.key_switch_count, _WHOLE),
    ("linear operations", lambda circuit: sum(circuit.linear_counts.values()), _WHOLE),
    ("PBS that wait for each other", lambda circuit: pbs_depth(circuit.stages), _WHOLE),
    ("widest integer, bits", lambda circuit: circuit.max_bit_width, _WHOLE),
    ("complexity", lambda circuit: circuit.complexity, "{:.3g}".format),
    ("BSK", lambda circuit: circuit.bsk_bytes, _BYTES),
    ("KSK", lambda circuit: circuit.ksk_bytes, _BYTES),
    ("inputs", lambda circuit: circuit.input_bytes, _BYTES),
    ("outputs", lambda circuit: circuit.output_bytes, _BYTES),
    ("p_error of a TLU", lambda circuit: circuit.p_error, "{:.1e}".format),
    ("p_error of the circuit", lambda circuit: circuit.global_p_error, "{:.1e}".format),
)


def difference_document(report: DifferenceReport) -> Document:
    """Both circuits side by side, what changed in stages, and what that does to the time."""
    return Document(tuple(_blocks(report)), _records(report), report)


def _blocks(report: DifferenceReport) -> Iterator[Block]:
    before, after = report.before, report.after
    yield Heading("Circuits")
    yield Text(*(f"{when}: {one.name} ({one.source})" for when, one in _both(before, after)))
    rows = [(what, of(before), of(after), words) for what, of, words in _TOTALS]
    yield Table(
        column("", (what for what, *_ in rows)),
        numbers("before", (words(old) for _, old, _, words in rows)),
        numbers("after", (words(new) for _, _, new, words in rows)),
        numbers("times", (new / old if old else None for _, old, new, _ in rows), times),
    )
    yield Heading("Stages")
    if report.stages:
        # Those that matter most first.
        yield from _stages(sorted(report.stages, key=lambda one: -abs(one.work_change)))
    yield Text(_same(report))
    yield Heading("Latency")
    machines = report.machines
    yield Table(
        names("machine", (one.hardware for one in machines)),
        numbers("before", (one.before and one.before.latency_s for one in machines), duration),
        numbers("after", (one.after and one.after.latency_s for one in machines), duration),
        numbers("times", (one.ratio for one in machines), times),
    )
    yield Refusals(
        *(
            f"{one.hardware}: no estimate of the circuit {when}: {reason}."
            for one in machines
            for when, reason in (("before", one.refused_before), ("after", one.refused_after))
            if reason is not None
        )
    )
    yield Note("times: after over before; likely times, whose ranges fhecost estimate shows")


def _both(before: CircuitSummary, after: CircuitSummary) -> Iterator[tuple[str, CircuitSummary]]:
    yield "before", before
    yield "after", after


def _same(report: DifferenceReport) -> str:
    if not report.stages:
        return f"all {report.same_stages} stages are the same"
    return f"{report.same_stages} stages are the same"


def _stages(changes: list[StageChange]) -> Iterator[Table]:
    def cells(of: Callable[[Stage], object]) -> list[str]:
        return [_change(change, of) for change in changes]

    yield Table(
        names("stage", (change.name for change in changes), least=16),
        column("is", (_is(change) for change in changes)),
        numbers("PBS", cells(lambda stage: stage.pbs_count)),
        numbers("KS", cells(lambda stage: stage.key_switch_count)),
        numbers("bits", cells(lambda stage: stage.bit_width)),
        numbers("wide", cells(lambda stage: stage.parallel_width)),
        numbers("deep", cells(lambda stage: stage.depth)),
        numbers("N", cells(lambda stage: stage.largest_polynomial_size)),
        fixed=2,
    )


def _is(change: StageChange) -> str:
    if change.before is None:
        return "new"
    return "gone" if change.after is None else "changed"


def _change(change: StageChange, of: Callable[[Stage], object]) -> str:
    """What was, an arrow, and what is; once where both are the same."""
    old, new = (
        None if stage is None else _cell(of(stage)) for stage in (change.before, change.after)
    )
    known = [cell for cell in (old, new) if cell is not None]
    return known[0] if len(set(known)) == 1 else " → ".join(known)


def _cell(value: object) -> str:
    return UNKNOWN if value is None else f"{value:,}"


def _linear(operation: LinearOperation) -> Callable[[Stage], object]:
    return lambda stage: stage.linear_count(operation)


def _records(report: DifferenceReport) -> Table:
    """One row a stage that changed."""
    fields: dict[str, Callable[[Stage], object]] = {
        "pbs_count": lambda stage: stage.pbs_count,
        "key_switch_count": lambda stage: stage.key_switch_count,
        **{name: _linear(name) for name in LINEAR_OPERATIONS},
        "bit_width": lambda stage: stage.bit_width,
        "parallel_width": lambda stage: stage.parallel_width,
        "depth": lambda stage: stage.depth,
        "polynomial_size": lambda stage: stage.largest_polynomial_size,
    }
    names_of = [f"{name}_{when}" for name in fields for when in ("before", "after")]
    return records(
        ("stage", "change", *names_of),
        (
            {
                "stage": change.name,
                "change": _is(change),
                **{
                    f"{name}_{when}": of(stage)
                    for name, of in fields.items()
                    for when, stage in (("before", change.before), ("after", change.after))
                    if stage is not None
                },
            }
            for change in report.stages
        ),
    )
