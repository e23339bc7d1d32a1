"""A generation report as table, JSON, CSV or Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence

from fhecost.generation import GeneratedToken, GenerationReport
from fhecost.report.tables import TERMINAL_WIDTH, Column, distinct, markdown_table, text_table, wrap
from fhecost.units import duration, share

_LONGEST_TOKEN = 16
_LONGEST_MACHINE = 12
NOT_ESTIMATED = "not estimated: --mode simulate compiles the circuits"

CSV_FIELDS = (
    "number",
    "token_id",
    "text",
    "float_token_id",
    "float_text",
    "seq_len",
    "pbs_count",
    "measured_s",
    "keys_s",
    "hardware",
    "latency_s",
    "low_s",
    "high_s",
    "refused_because",
)


def as_json(report: GenerationReport) -> str:
    """The whole report, as its JSON Schema describes it."""
    return report.model_dump_json(indent=1, exclude_none=True) + "\n"


def as_csv(report: GenerationReport) -> str:
    """One line a token and machine, seconds unrounded; what isn't known stays empty."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, CSV_FIELDS, lineterminator="\n")
    writer.writeheader()
    for number, token in enumerate(report.tokens, start=1):
        known: dict[str, object] = {
            "number": number,
            **token.model_dump(exclude_none=True, include=set(CSV_FIELDS)),
        }
        if number <= len(report.float_tokens):
            other = report.float_tokens[number - 1]
            known |= {"float_token_id": other.token_id, "float_text": other.text}
        machines: list[dict[str, object]] = [each.model_dump() for each in token.estimates]
        machines += [
            {"hardware": each.hardware, "refused_because": each.reason} for each in token.refusals
        ]
        for machine in machines or [{}]:
            writer.writerow(known | machine)
    return stream.getvalue()


def as_table(report: GenerationReport) -> str:
    """For a terminal of 80 columns."""
    return _compose(report, text_table, TERMINAL_WIDTH)


def as_markdown(report: GenerationReport) -> str:
    """For a README or an issue."""
    return _compose(report, markdown_table, None)


RENDERERS: Mapping[str, Callable[[GenerationReport], str]] = {
    "table": as_table,
    "json": as_json,
    "csv": as_csv,
    "markdown": as_markdown,
}


def token_line(token: GeneratedToken) -> str:
    """What a terminal shows of a token as soon as it is there, where each has to be waited for."""
    parts = [f"{token.seq_len} tokens, then {token.text!r}"]
    if token.measured_s is not None:
        parts.append(f"encrypted part {duration(token.measured_s)}")
    elif token.pbs_count is not None:
        parts.append(f"{token.pbs_count:,} PBS")
    return ": ".join(parts)


def _compose(
    report: GenerationReport,
    table: Callable[[Sequence[Column], Sequence[Sequence[str]]], str],
    width: int | None,
) -> str:
    heads = ", ".join(map(str, report.heads))
    blocks = [
        wrap(
            f"{report.model}: layer {report.layer}, heads {heads} at {report.bits} bits, variant "
            f"{report.variant}, mode {report.mode}; greedy"
        ),
        "\n".join(
            _beside(label, text)
            for label, text in (
                ("prompt", report.prompt),
                ("quantized", report.text),
                ("float", report.float_text),
            )
        ),
        wrap(_where_they_part(report)),
    ]
    if report.mode == "disable":
        blocks.append(NOT_ESTIMATED)
    else:
        blocks += [table(*part) for part in _token_tables(report, width)]
        blocks.append(
            wrap(
                "Seconds are of the quantized heads alone, warm; all else runs in the clear."
                if report.mode == "simulate"
                else "Measured: encryption, run and decryption of the quantized heads, without "
                "keys; all else runs in the clear."
            )
        )
        blocks += [wrap(line) for line in _refusal_lines(report)]
    blocks += [wrap(note) for note in _notes(report)]
    return "\n\n".join(blocks) + "\n"


def _beside(label: str, text: str) -> str:
    """A text in quotation marks, in one line or in several, with line breaks as two characters."""
    visible = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return wrap(f"{label:<11}“{visible}”")


def _where_they_part(report: GenerationReport) -> str:
    if report.parted_at is None:
        return f"the same {min(len(report.tokens), len(report.float_tokens))} tokens"
    index = report.parted_at
    return (
        f"they part at token {index + 1}: {report.tokens[index].text!r}, in floating point "
        f"{report.float_tokens[index].text!r}"
    )


def _token_tables(
    report: GenerationReport, width: int | None
) -> list[tuple[list[Column], list[list[str]]]]:
    """A line a token with its seconds on each machine, and the sum; as many as fit ``width``."""
    fixed = _fixed_columns(report)
    groups: list[list[list[str]]] = [[]]
    left = room = (width or 0) - sum(2 + _width(cells) for cells in fixed) + 2
    for cells in _machine_columns(report, width):
        needed = 2 + _width(cells)
        if width is not None and needed > left and groups[-1]:
            groups.append([])
            left = room
        groups[-1].append(cells)
        left -= needed
    tables = []
    for group in groups:
        columns = [*fixed, *group]
        headings = [Column(cells[0], right=cells[0] not in ("token", "float")) for cells in columns]
        rows = [list(row) for row in zip(*(cells[1:] for cells in columns), strict=True)]
        tables.append((headings, rows))
    return tables


def _fixed_columns(report: GenerationReport) -> list[list[str]]:
    """What each token is, the heading first and the sum last."""
    tokens = report.tokens
    floats = [_shown(token.text) for token in report.float_tokens]
    floats += [""] * (len(tokens) - len(floats))
    columns = [
        ["L", *(str(token.seq_len) for token in tokens), ""],
        ["token", *(_shown(token.text) for token in tokens), "all"],
        ["float", *floats[: len(tokens)], ""],
        ["PBS", *(f"{token.pbs_count or 0:,}" for token in tokens)],
    ]
    columns[-1].append(f"{sum(token.pbs_count or 0 for token in tokens):,}")
    if report.mode == "execute":
        for heading, seconds in (
            ("measured", [token.measured_s or 0.0 for token in tokens]),
            ("keys", [token.keys_s or 0.0 for token in tokens]),
        ):
            columns.append([heading, *map(duration, [*seconds, sum(seconds)])])
    return columns


def _shown(text: str) -> str:
    shown = repr(text)
    return shown if len(shown) <= _LONGEST_TOKEN else shown[: _LONGEST_TOKEN - 2] + "…" + shown[-1]


def _machine_columns(report: GenerationReport, width: int | None) -> list[list[str]]:
    """Each machine's seconds, its name first and the sum last; a dash where it can't."""
    machines = list(
        dict.fromkeys(each.hardware for token in report.tokens for each in token.estimates)
    )
    headings = machines if width is None else distinct(machines, _LONGEST_MACHINE)
    columns = []
    for heading, machine in zip(headings, machines, strict=True):
        known = [_seconds(token, machine) for token in report.tokens]
        cells = ["-" if seconds is None else duration(seconds) for seconds in known]
        whole = [seconds for seconds in known if seconds is not None]
        columns.append([heading, *cells, duration(sum(whole)) if len(whole) == len(known) else "-"])
    return columns


def _seconds(token: GeneratedToken, machine: str) -> float | None:
    return next((each.latency_s for each in token.estimates if each.hardware == machine), None)


def _width(cells: Sequence[str]) -> int:
    return max(map(len, cells))


def _refusal_lines(report: GenerationReport) -> list[str]:
    """The first reason of each machine, and from which length on."""
    lines: dict[str, str] = {}
    for token in report.tokens:
        for refusal in token.refusals:
            line = f"{refusal.hardware}: no estimate at {token.seq_len} tokens: {refusal.reason}."
            lines.setdefault(refusal.hardware, line)
    return list(lines.values())


def _notes(report: GenerationReport) -> list[str]:
    notes = []
    if report.saturated:
        clipped = share(report.saturated / report.inputs)
        notes.append(
            f"{report.saturated:,} of {report.inputs:,} inputs ({clipped}) lay outside the "
            "calibrated range and were clipped."
        )
    if report.exceeded:
        notes.append(
            f"{report.exceeded:,} sums did not fit their accumulator: a circuit would compute them "
            "wrong."
        )
    if report.stopped is not None:
        notes.append(f"stopped: {report.stopped}.")
    return notes
