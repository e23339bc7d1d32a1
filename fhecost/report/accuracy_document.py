"""What ``fhecost accuracy`` says: how much of the float model quantized heads keep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fhecost.accuracy.records import AccuracyReport, AccuracyRow
from fhecost.report.columns import Column, Table, column, numbers, records
from fhecost.report.document import Document, Refusals, Text


def accuracy_document(report: AccuracyReport) -> Document:
    """Shares that are kept, what is lost, and what goes wrong when simulated."""
    rows = report.rows
    variants = ", ".join(sorted({row.variant for row in rows}))
    modes = ", ".join(sorted({row.mode for row in rows}))
    return Document(
        blocks=(
            Text(
                f"{report.model}: share of positions whose float top-1 token is among the "
                f"quantized top k, with 95 % intervals; variant {variants}, mode {modes}; "
                f"{rows[0].sentences} windows from {report.sentences}"
            ),
            *_tables(rows),
            Refusals(*(f"no row: {refusal}" for refusal in report.refusals)),
        ),
        records=records(list(AccuracyRow.model_fields), map(dict, rows)),
        report=report,
        omits_unknown=True,
    )


def _tables(rows: Sequence[AccuracyRow]) -> Iterator[Table]:
    clipped = (
        f"{row.saturated / row.inputs:.2%}".replace("%", " %") if row.inputs else None
        for row in rows
    )
    yield Table(
        *_setting(rows),
        numbers("positions", (row.positions for row in rows)),
        numbers("top-1", (row.top1 for row in rows), "{:.3f}".format),
        numbers("interval", (f"{row.top1_low:.3f}-{row.top1_high:.3f}" for row in rows)),
        numbers("top-5", (row.top5 for row in rows), "{:.3f}".format),
        numbers("top-10", (row.top10 for row in rows), "{:.3f}".format),
    )
    yield Table(
        *_setting(rows),
        numbers("logit error", (row.logit_rmse for row in rows), "{:.3f}".format),
        numbers("perplexity", (row.quantized_perplexity for row in rows), "{:.2f}".format),
        numbers("float", (row.float_perplexity for row in rows), "{:.2f}".format),
        numbers("clipped", clipped),
        numbers("too wide", (row.exceeded for row in rows)),
        title="What the model makes of it, and what did not fit",
    )
    noisy = [row for row in rows if row.mode == "simulate"]
    if noisy:
        yield Table(
            *_setting(noisy),
            numbers("lookups", (row.lookups for row in noisy)),
            numbers("p_error", (row.p_error for row in noisy), "{:.1e}".format),
            numbers("expected wrong", (r.expected_wrong_lookups for r in noisy), "{:.1e}".format),
            numbers("wrong values", (row.wrong_values for row in noisy)),
            title="Lookups that go wrong, simulated",
        )


def _setting(rows: Sequence[AccuracyRow]) -> list[Column]:
    return [
        numbers("layer", (row.layer for row in rows)),
        column("heads", (row.heads.replace(" ", "") for row in rows)),
        numbers("bits", (row.bits for row in rows)),
        numbers("L", (row.seq_len for row in rows)),
    ]
