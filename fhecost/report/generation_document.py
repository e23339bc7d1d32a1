"""What ``fhecost generate`` says: the text, and what each of its tokens costs encrypted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from fhecost.generation import GeneratedToken, GenerationReport
from fhecost.report.columns import Table, column, numbers, records
from fhecost.report.document import Block, Document, Note, Refusals, Text
from fhecost.units import duration, share

_LONGEST_TOKEN = 16
NOT_ESTIMATED = "not estimated: --mode simulate compiles the circuits"
_NOTES = {
    "simulate": "Seconds are of the quantized heads alone, warm; all else runs in the clear.",
    "execute": "Measured: encryption, run and decryption of the quantized heads, without keys; all "
    "else runs in the clear.",
}
_FIELDS = (
    "number", "token_id", "text", "float_token_id", "float_text", "seq_len", "pbs_count",
    "measured_s", "keys_s", "hardware", "latency_s", "low_s", "high_s", "refused_because",
)  # fmt: skip


def generation_document(report: GenerationReport) -> Document:
    """Both continuations, each token's circuit on each machine, and what is to be known of it."""
    estimated: list[Block] = [Note(NOT_ESTIMATED)]
    if report.mode != "disable":
        estimated = [_token_table(report), Note(_NOTES[report.mode]), Refusals(*_refusals(report))]
    heads = ", ".join(map(str, report.heads))
    return Document(
        blocks=(
            Text(
                f"{report.model}: layer {report.layer}, heads {heads} at {report.bits} bits, "
                f"variant {report.variant}, mode {report.mode}; greedy"
            ),
            Text(
                _quoted("prompt", report.prompt),
                _quoted("quantized", report.text),
                _quoted("float", report.float_text),
            ),
            Text(_where_they_part(report)),
            *estimated,
            *map(Note, _notes(report)),
        ),
        records=records(_FIELDS, _records(report)),
        report=report,
        omits_unknown=True,
    )


def token_line(token: GeneratedToken) -> str:
    """What a terminal shows of a token as soon as it is there, where each has to be waited for."""
    parts = [f"{token.seq_len} tokens, then {token.text!r}"]
    if token.measured_s is not None:
        parts.append(f"encrypted part {duration(token.measured_s)}")
    elif token.pbs_count is not None:
        parts.append(f"{token.pbs_count:,} PBS")
    return ": ".join(parts)


def _quoted(label: str, text: str) -> str:
    """A text in quotation marks, with line breaks as two characters."""
    visible = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"{label:<11}“{visible}”"


def _where_they_part(report: GenerationReport) -> str:
    if report.parted_at is None:
        return f"the same {min(len(report.tokens), len(report.float_tokens))} tokens"
    index = report.parted_at
    return (
        f"they part at token {index + 1}: {report.tokens[index].text!r}, in floating point "
        f"{report.float_tokens[index].text!r}"
    )


def _token_table(report: GenerationReport) -> Table:
    """A line a token with its seconds on each machine, and the sum."""
    tokens = report.tokens
    floats = [_shown(token.text) for token in report.float_tokens[: len(tokens)]]
    latencies = [{made.hardware: made.latency_s for made in token.estimates} for token in tokens]
    fixed = [
        numbers("L", [*(token.seq_len for token in tokens), ""]),
        column("token", [*(_shown(token.text) for token in tokens), "all"]),
        column("float", [*floats, *[""] * (len(tokens) - len(floats) + 1)]),
        numbers("PBS", _with_sum([token.pbs_count for token in tokens])),
    ]
    if report.mode == "execute":
        fixed += [
            numbers("measured", _with_sum([token.measured_s for token in tokens]), duration),
            numbers("keys", _with_sum([token.keys_s for token in tokens]), duration),
        ]
    on_machines = [
        numbers(name, _with_sum([known.get(name) for known in latencies]), duration)
        for name in dict.fromkeys(chain(*latencies))
    ]
    return Table(*fixed, *on_machines, fixed=len(fixed))


def _shown(text: str) -> str:
    shown = repr(text)
    return shown if len(shown) <= _LONGEST_TOKEN else shown[: _LONGEST_TOKEN - 2] + "…" + shown[-1]


def _with_sum(values: Sequence[float | None]) -> list[float | None]:
    """The values and their sum, which is unknown where one of them is."""
    known = [value for value in values if value is not None]
    return [*values, sum(known) if len(known) == len(values) else None]


def _refusals(report: GenerationReport) -> Sequence[str]:
    """The first reason of each machine, and from which length on."""
    lines: dict[str, str] = {}
    for token in report.tokens:
        for no in token.refusals:
            line = f"{no.hardware}: no estimate at {token.seq_len} tokens: {no.reason}."
            lines.setdefault(no.hardware, line)
    return list(lines.values())


def _notes(report: GenerationReport) -> Iterator[str]:
    if report.saturated:
        clipped = share(report.saturated / report.inputs)
        yield (
            f"{report.saturated:,} of {report.inputs:,} inputs ({clipped}) lay outside the "
            "calibrated range and were clipped."
        )
    if report.exceeded:
        yield (
            f"{report.exceeded:,} sums did not fit their accumulator: a circuit would compute them "
            "wrong."
        )
    if report.stopped is not None:
        yield f"stopped: {report.stopped}."


def _records(report: GenerationReport) -> Iterator[dict[str, object]]:
    """One row a token and machine."""
    for number, token in enumerate(report.tokens, start=1):
        known = {**dict(token), "number": number}
        if number <= len(report.float_tokens):
            other = report.float_tokens[number - 1]
            known |= {"float_token_id": other.token_id, "float_text": other.text}
        refused = ({"hardware": no.hardware, "refused_because": no.reason} for no in token.refusals)
        for machine in [*map(dict, token.estimates), *refused] or [{}]:
            yield {**known, **machine}
