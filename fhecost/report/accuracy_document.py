"""What ``fhecost accuracy`` says: how much of the float model quantized heads keep."""

from __future__ import annotations

from collections.abc import Sequence

from fhecost.accuracy.records import AccuracyReport, AccuracyRow
from fhecost.report.columns import Column, Table, column, numbers, records
from fhecost.report.document import Document, Refusals, Text


def accuracy_document(report: AccuracyReport) -> Document:
    """Shares that are kept, what is lost, and what goes wrong when simulated."""
    rows = report.rows
    variants = ", ".join(sorted({row.variant for row in rows}))
    modes = ", ".join(sorted({row.mode for row in rows}))
    simulated = [row for row in rows if row.mode == "simulate"]
    return Document(
        blocks=(
            Text(
                f"{report.model}: share of positions whose float top-1 token is among the "
                f"quantized top k, with 95 % intervals; variant {variants}, mode {modes}; "
                f"{rows[0].sentences} windows from {report.sentences}"
            ),
            _share_table(rows),
            _loss_table(rows),
            *([_noise_table(simulated)] if simulated else []),
            Refusals(*(f"no row: {refusal}" for refusal in report.refusals)),
        ),
        records=records(list(AccuracyRow.model_fields), map(dict, rows)),
        report=report,
        omits_unknown=True,
    )


def _share_table(rows: Sequence[AccuracyRow]) -> Table:
    return Table(
        *_setting(rows),
        numbers("positions", (row.positions for row in rows)),
        numbers("top-1", (row.top1 for row in rows), "{:.3f}".format),
        numbers("interval", (f"{row.top1_low:.3f}-{row.top1_high:.3f}" for row in rows)),
        numbers("top-5", (row.top5 for row in rows), "{:.3f}".format),
        numbers("top-10", (row.top10 for row in rows), "{:.3f}".format),
    )


def _setting(rows: Sequence[AccuracyRow]) -> list[Column]:
    return [
        numbers("layer", (row.layer for row in rows)),
        column("heads", (row.heads.replace(" ", "") for row in rows)),
        numbers("bits", (row.bits for row in rows)),
        numbers("L", (row.seq_len for row in rows)),
    ]


def _loss_table(rows: Sequence[AccuracyRow]) -> Table:
    return Table(
        *_setting(rows),
        numbers("logit error", (row.logit_rmse for row in rows), "{:.3f}".format),
        numbers("perplexity", (row.quantized_perplexity for row in rows), "{:.2f}".format),
        numbers("float", (row.float_perplexity for row in rows), "{:.2f}".format),
        numbers("clipped", (_clipped(row) for row in rows)),
        numbers("too wide", (row.exceeded for row in rows)),
        title="What the model makes of it, and what did not fit",
    )


def _clipped(row: AccuracyRow) -> str | None:
    return f"{100 * row.saturated / row.inputs:.2f} %" if row.inputs else None


def _noise_table(rows: Sequence[AccuracyRow]) -> Table:
    return Table(
        *_setting(rows),
        numbers("lookups", (row.lookups for row in rows)),
        numbers("p_error", (row.p_error for row in rows), "{:.1e}".format),
        numbers("expected wrong", (row.expected_wrong_lookups for row in rows), "{:.1e}".format),
        numbers("wrong values", (row.wrong_values for row in rows)),
        title="Lookups that go wrong, simulated",
    )
