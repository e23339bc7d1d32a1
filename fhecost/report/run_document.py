"""What ``fhecost measure head`` says: a measured run beside what machines said of it before."""

from __future__ import annotations

from fhecost.measurement.run_record import Compared, RunRecord
from fhecost.report.circuit_lines import described
from fhecost.report.columns import Table, column, names, numbers, records
from fhecost.report.document import Document, Note, Text
from fhecost.units import amount, deviation, duration


def run_document(record: RunRecord) -> Document:
    """Each quantity measured and predicted, and whether what came out is right."""
    right = record.values - record.wrong_values
    rows = record.compared()
    return Document(
        blocks=(
            Text(
                f"{record.name}: {described(record.profile.description)}; "
                f"{record.profile.pbs_count:,} PBS on {record.times.threads} threads of "
                f"{record.machine.processor}"
            ),
            Table(
                column("quantity", (row.quantity for row in rows)),
                numbers("measured", (_value(row, row.measured) for row in rows)),
                names("machine", (row.hardware or "" for row in rows)),
                numbers("predicted", (_said(row, _value(row, row.predicted)) for row in rows)),
                numbers("error", (_said(row, row.error) for row in rows), deviation),
            ),
            Note(
                f"{right:,} of {record.values:,} values decrypt to what the clear circuit gives; "
                f"warm runs: {', '.join(map(duration, record.times.warm_s))}"
            ),
        ),
        records=records(
            ("quantity", "measured", "hardware", "predicted"), (vars(row) for row in rows)
        ),
        report=record,
    )


def _value(row: Compared, value: float | None) -> str | None:
    if value is None:
        return None
    return amount(value, "B") if row.quantity == "peak memory" else duration(value)


def _said(row: Compared, value: object) -> object:
    """What a machine said; blank where there was none to ask."""
    return "" if row.hardware is None else value
