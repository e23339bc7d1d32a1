"""A measured run beside its prediction, as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fhecost.measurement.run_record import RunRecord
from fhecost.report.estimate_text import described
from fhecost.report.tables import Column, csv_text, markdown_table, text_table, wrap
from fhecost.units import amount, duration


def as_json(record: RunRecord) -> str:
    """The whole record."""
    return record.model_dump_json(indent=1) + "\n"


def as_csv(record: RunRecord) -> str:
    """One row a quantity."""
    rows = [
        [quantity, measured, hardware, value]
        for quantity, measured, predicted in _quantities(record)
        for hardware, value in predicted.items() or {"": None}.items()
    ]
    return csv_text(["quantity", "measured", "hardware", "predicted"], rows)


def as_table(record: RunRecord) -> str:
    """For a terminal of 80 columns."""
    return _compose(record, text_table)


def as_markdown(record: RunRecord) -> str:
    """For a README or an issue."""
    return _compose(record, markdown_table)


RENDERERS: Mapping[str, Callable[[RunRecord], str]] = {
    "table": as_table,
    "json": as_json,
    "csv": as_csv,
    "markdown": as_markdown,
}


def _compose(
    record: RunRecord, table: Callable[[Sequence[Column], Sequence[Sequence[str]]], str]
) -> str:
    details = ", ".join(described(record.profile.description))
    right = record.values - record.wrong_values
    blocks = [
        wrap(
            f"{record.name}: {details}; {record.profile.pbs_count:,} PBS on "
            f"{record.times.threads} threads of {record.machine.processor}"
        ),
        table(*_rows(record)),
        wrap(
            f"{right:,} of {record.values:,} values decrypt to what the clear circuit gives; "
            f"warm runs: {', '.join(duration(seconds) for seconds in record.times.warm_s)}"
        ),
    ]
    return "\n\n".join(blocks) + "\n"


def _rows(record: RunRecord) -> tuple[list[Column], list[list[str]]]:
    columns = [
        Column("quantity"),
        Column("measured", right=True),
        Column("machine"),
        Column("predicted", right=True),
        Column("error", right=True),
    ]
    rows = []
    for quantity, measured, predicted in _quantities(record):
        unit = amount if quantity == "peak memory" else duration
        shown = unit(measured, "B") if unit is amount else duration(measured)
        if not predicted:
            rows.append([quantity, shown, "", "", ""])
        for hardware, value in predicted.items():
            if value is None:
                rows.append([quantity, shown, hardware, "-", "-"])
                continue
            guess = amount(value, "B") if unit is amount else duration(value)
            rows.append([quantity, shown, hardware, guess, f"{value / measured - 1:+.1%}"])
    return columns, rows


def _quantities(record: RunRecord) -> list[tuple[str, float, dict[str, float | None]]]:
    """Each measured quantity with what each machine predicted; None where it says nothing."""
    times = record.times
    warm: dict[str, float | None] = {made.hardware: made.warm_s for made in record.predictions}

    def prepared(name: str) -> dict[str, float | None]:
        return {
            made.hardware: None if made.preparation is None else getattr(made.preparation, name)
            for made in record.predictions
        }

    return [
        ("key generation", times.keygen_s, prepared("keygen_s")),
        ("encryption", times.encrypt_s, {}),
        ("cold run", times.cold_s, prepared("cold_s")),
        ("warm run", times.warm_median_s, warm),
        ("decryption", times.decrypt_s, {}),
        ("peak memory", times.peak_memory_bytes, prepared("peak_memory_bytes")),
    ]
