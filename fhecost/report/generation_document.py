"""What ``fhecost generate`` says: the text, and what each of its tokens costs encrypted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from fhecost.generation import GeneratedToken, GenerationReport
from fhecost.report.columns import Table, column, numbers, records
from fhecost.report.document import Block, Document, Note, Refusals, Text
from fhecost.units import duration, share

_LONGEST_TOKEN = 16
_PREDICTED = (
    "Each token is a circuit of its own length, by closed form. Seconds are of the quantized heads "
    "alone, warm; all else runs in the clear."
)
_NOTES = {
    "disable": _PREDICTED,
    "simulate": _PREDICTED,
    "execute": "Measured: encryption, run and decryption of the quantized heads, without keys; all "
    "else runs in the clear.",
}
_FIELDS = (
    "number", "token_id", "text", "float_token_id", "float_text", "seq_len", "pbs_count",
    "measured_s", "keys_s", "hardware", "latency_s", "low_s", "high_s", "refused_because",
)  # fmt: skip


def generation_document(report: GenerationReport) -> Document:
    """Both continuations, each token's circuit on each machine, and what is to be known of it."""
    rows = records(_FIELDS, _records(report))
    return Document(tuple(_blocks(report)), rows, report, omits_unknown=True)


def _blocks(report: GenerationReport) -> Iterator[Block]:
    heads = ", ".join(map(str, report.heads))
    yield Text(
        f"{report.model}: layer {report.layer}, heads {heads} at {report.bits} bits, "
        f"variant {report.variant}, mode {report.mode}; greedy"
    )
    texts = {"prompt": report.prompt, "quantized": report.text, "float": report.float_text}
    yield Text(*(f"{name:<11}“{_visible(text)}”" for name, text in texts.items()))
    tokens, floats, index = report.tokens, report.float_tokens, report.parted_at
    if index is None:
        yield Text(f"the same {min(len(tokens), len(floats))} tokens")
    else:
        yield Text(
            f"they part at token {index + 1}: {tokens[index].text!r}, in floating point "
            f"{floats[index].text!r}"
        )
    yield _token_table(report)
    yield Note(_NOTES[report.mode])
    if report.compiled_for is not None:
        yield Note(f"Simulated in one circuit for {report.compiled_for} tokens.")
    # The first reason of each machine, and from which length on.
    refusals: dict[str, str] = {}
    for token in tokens:
        for no in token.refusals:
            line = f"{no.hardware}: no estimate at {token.seq_len} tokens: {no.reason}."
            refusals.setdefault(no.hardware, line)
    yield Refusals(*refusals.values())
    if report.saturated:
        clipped = share(report.saturated / report.inputs)
        yield Note(
            f"{report.saturated:,} of {report.inputs:,} inputs ({clipped}) lay outside the "
            "calibrated range and were clipped."
        )
    if report.exceeded:
        yield Note(
            f"{report.exceeded:,} sums did not fit their accumulator: a circuit would compute them "
            "wrong."
        )
    if report.stopped is not None:
        yield Note(f"stopped: {report.stopped}.")


def _visible(text: str) -> str:
    """The text with its line breaks as two characters."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")


def token_line(token: GeneratedToken) -> str:
    """What a terminal shows of a token as soon as it is there, where each has to be waited for."""
    parts = [f"{token.seq_len} tokens, then {token.text!r}"]
    if token.measured_s is not None:
        parts.append(f"encrypted part {duration(token.measured_s)}")
    elif token.pbs_count is not None:
        parts.append(f"{token.pbs_count:,} PBS")
    return ": ".join(parts)


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
