"""An accuracy report as table, JSON, CSV or Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence

from fhecost.accuracy.records import AccuracyReport, AccuracyRow
from fhecost.report.tables import Column, markdown_table, text_table, wrap


def as_json(report: AccuracyReport) -> str:
    """The whole report, as its JSON Schema describes it."""
    return report.model_dump_json(indent=1, exclude_none=True) + "\n"


def as_csv(report: AccuracyReport) -> str:
    """One line a row, shares unrounded; what a mode doesn't know stays empty."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(AccuracyRow.model_fields), lineterminator="\n")
    writer.writeheader()
    for row in report.rows:
        writer.writerow(row.model_dump(exclude_none=True))
    return stream.getvalue()


def as_table(report: AccuracyReport) -> str:
    """For a terminal of 80 columns."""
    return _compose(report, text_table)


def as_markdown(report: AccuracyReport) -> str:
    """For a README or an issue."""
    return _compose(report, markdown_table)


RENDERERS: Mapping[str, Callable[[AccuracyReport], str]] = {
    "table": as_table,
    "json": as_json,
    "csv": as_csv,
    "markdown": as_markdown,
}


def _compose(
    report: AccuracyReport, table: Callable[[Sequence[Column], Sequence[Sequence[str]]], str]
) -> str:
    rows = report.rows
    variants = ", ".join(sorted({row.variant for row in rows}))
    modes = ", ".join(sorted({row.mode for row in rows}))
    blocks = [
        wrap(
            f"{report.model}: share of positions whose float top-1 token is among the quantized "
            f"top k, with 95 % intervals; variant {variants}, mode {modes}; "
            f"{rows[0].sentences} windows from {report.sentences}"
        ),
        table(*share_table(rows)),
        "What the model makes of it, and what did not fit",
        table(*_loss_rows(rows)),
    ]
    simulated = [row for row in rows if row.mode == "simulate"]
    if simulated:
        blocks += ["Lookups that go wrong, simulated", table(*_noise_rows(simulated))]
    blocks += [wrap(f"no row: {refusal}") for refusal in report.refusals]
    return "\n\n".join(blocks) + "\n"


def _setting_columns() -> list[Column]:
    return [
        Column("layer", right=True),
        Column("heads"),
        Column("bits", right=True),
        Column("L", right=True),
    ]


def _setting_cells(row: AccuracyRow) -> list[str]:
    return [str(row.layer), row.heads.replace(" ", ""), str(row.bits), str(row.seq_len)]


def share_table(rows: Sequence[AccuracyRow]) -> tuple[list[Column], list[list[str]]]:
    """How often the float model's choice is the quantized model's too, a line a setting."""
    columns = [
        *_setting_columns(),
        Column("positions", right=True),
        Column("top-1", right=True),
        Column("interval", right=True),
        Column("top-5", right=True),
        Column("top-10", right=True),
    ]
    cells = [
        [
            *_setting_cells(row),
            f"{row.positions:,}",
            f"{row.top1:.3f}",
            f"{row.top1_low:.3f}-{row.top1_high:.3f}",
            f"{row.top5:.3f}",
            f"{row.top10:.3f}",
        ]
        for row in rows
    ]
    return columns, cells


def _loss_rows(rows: Sequence[AccuracyRow]) -> tuple[list[Column], list[list[str]]]:
    columns = [
        *_setting_columns(),
        Column("logit error", right=True),
        Column("perplexity", right=True),
        Column("float", right=True),
        Column("clipped", right=True),
        Column("too wide", right=True),
    ]
    cells = [
        [
            *_setting_cells(row),
            f"{row.logit_rmse:.3f}",
            f"{row.quantized_perplexity:.2f}",
            f"{row.float_perplexity:.2f}",
            f"{row.saturated / row.inputs:.2%}".replace("%", " %"),
            "-" if row.exceeded is None else f"{row.exceeded:,}",
        ]
        for row in rows
    ]
    return columns, cells


def _noise_rows(rows: Sequence[AccuracyRow]) -> tuple[list[Column], list[list[str]]]:
    columns = [
        *_setting_columns(),
        Column("lookups", right=True),
        Column("p_error", right=True),
        Column("expected wrong", right=True),
        Column("wrong values", right=True),
    ]
    cells = [
        [
            *_setting_cells(row),
            f"{row.lookups or 0:,}",
            f"{row.p_error or 0:.1e}",
            f"{row.expected_wrong_lookups or 0:.1e}",
            f"{row.wrong_values or 0:,}",
        ]
        for row in rows
    ]
    return columns, cells
