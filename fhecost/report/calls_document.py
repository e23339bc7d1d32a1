"""What ``fhecost estimate --calls`` says: a module's functions, and what their calls cost."""

from __future__ import annotations

from collections.abc import Iterator

from fhecost.hardware.answer import Contender
from fhecost.hardware.calls import CallsEstimate, CallsReport
from fhecost.report.answer_lines import answer_lines
from fhecost.report.columns import Table, names, numbers, records
from fhecost.report.document import Block, Document, Heading, Note, Text
from fhecost.report.estimate_document import grounds
from fhecost.report.refusal_lines import refused
from fhecost.report.unsure_lines import on_top, sure_blocks
from fhecost.units import amount, duration

ALL = "all calls"


def calls_document(report: CallsReport) -> Document:
    """The functions, one call of each, all calls, and what that rests on."""
    return Document(tuple(_blocks(report)), _records(report), report)


def _blocks(report: CallsReport) -> Iterator[Block]:
    functions = report.functions
    yield from on_top(report.unsure, ", all calls as one run")
    contenders = [_contender(report, made) for made in report.estimates]
    yield Text(*answer_lines(contenders, at=" of all calls"))
    yield Heading("Calls")
    yield Text(
        f"{report.module} ({report.source}): {report.pbs_count:,} PBS in "
        f"{sum(one.calls for one in functions):,} calls; p_error {report.global_p_error:.1e} for "
        "all of them",
        f"keys of all functions together: BSK {amount(report.bsk_bytes, 'B')}, KSK "
        f"{amount(report.ksk_bytes, 'B')}",
    )
    yield Table(
        names("function", (one.function for one in functions)),
        numbers("calls", (one.calls for one in functions)),
        numbers("PBS", (one.circuit.pbs_count for one in functions)),
        numbers("KS", (one.circuit.key_switch_count for one in functions)),
        numbers("bits", (one.circuit.max_bit_width for one in functions)),
        *(
            numbers(
                made.hardware,
                (made.by_function[one.function].latency_s for one in functions),
                duration,
            )
            for made in report.estimates
        ),
        title="PBS, KS and latency of one call:",
        fixed=5,
    )
    yield Heading("Latency of all calls")
    yield Table(
        names("machine", (made.hardware for made in report.estimates)),
        numbers("latency", (made.latency_s for made in report.estimates), duration),
        numbers("from", (made.low_s for made in report.estimates), duration),
        numbers("to", (made.high_s for made in report.estimates), duration),
    )
    yield refused(report.refusals, "no estimate: ")
    yield Note(
        "calls run one after the other, each with the keys, inputs and outputs of a run of its "
        "own; encryption and decryption are left out"
    )
    yield from sure_blocks(report.unsure)
    yield Heading("How sure")
    # A machine's figures are the same for each function: those of its longest stand for all.
    yield grounds(
        [max(made.by_function.values(), key=lambda one: one.latency_s) for made in report.estimates]
    )


def _contender(report: CallsReport, made: CallsEstimate) -> Contender:
    """All calls on one machine; what holds them back is what holds back the longest of them."""
    calls = {one.function: one.calls for one in report.functions}
    name = max(calls, key=lambda one: calls[one] * made.by_function[one].latency_s)
    prices = [calls[one] * (made.by_function[one].price_usd or 0.0) for one in calls]
    longest = made.by_function[name]
    return Contender.like(
        made,
        availability=longest.availability,
        pbs_kind=longest.pbs_kind,
        p_error_at_most=longest.p_error_at_most,
        bottleneck=longest.bottleneck,
        critical_path_s=None,
        price_usd=None if longest.price_usd is None else sum(prices),
        sources=longest.sources,
    )


def _records(report: CallsReport) -> Table:
    """One row a machine and function, and one for all calls on it."""
    fields = (
        "hardware", "function", "calls", "latency_s", "low_s", "high_s", "pbs_count",
        "key_switch_count", "refused_because",
    )  # fmt: skip
    rows: list[dict[str, object]] = []
    for made in report.estimates:
        for one in report.functions:
            found = made.by_function[one.function]
            rows.append(
                {
                    "hardware": made.hardware,
                    "function": one.function,
                    "calls": 1,
                    "latency_s": found.latency_s,
                    "low_s": found.low_s,
                    "high_s": found.high_s,
                    "pbs_count": one.circuit.pbs_count,
                    "key_switch_count": one.circuit.key_switch_count,
                }
            )
        switches = sum(one.calls * one.circuit.key_switch_count for one in report.functions)
        total = {"calls": sum(one.calls for one in report.functions), "function": ALL}
        counts = {"pbs_count": report.pbs_count, "key_switch_count": switches}
        rows.append({**dict(made), **total, **counts})
    refused = [{"hardware": no.hardware, "refused_because": no.reason} for no in report.refusals]
    return records(fields, [*rows, *refused])
