"""What ``fhecost calibrate`` says: how good the fit is, its constants, and how quiet it was."""

from __future__ import annotations

from fhecost.files import AnyPath
from fhecost.measurement.goodness import goodness_of
from fhecost.measurement.noise import noise_of
from fhecost.measurement.records import load_microbenchmark
from fhecost.measurement.results import results_of
from fhecost.report.columns import Table, column, numbers
from fhecost.report.document import Document, Note, Text
from fhecost.report.measurement_document import constants_of, microbenchmark_document
from fhecost.units import duration, share


def calibration_document(raw_times: AnyPath) -> Document:
    """How well the CPU model describes the raw times in a file, and its constants.

    Raises:
        UsageError: the file is missing or no such record, or too few sets for a fit.
    """
    raw = load_microbenchmark(raw_times)
    results, machine, noise = results_of(raw), raw.machine, noise_of(raw)
    largest = max(sample.pbs.polynomial_size for sample in raw.lookups)
    rows = goodness_of(raw)
    whole = microbenchmark_document(results)
    return Document(
        blocks=(
            Text(
                f"Calibrated on {machine.processor} ({machine.family}), {machine.threads} threads, "
                f"{raw.started[:16].replace('T', ' ')} UTC, N up to {largest:,}"
            ),
            Table(
                column("quantity", (row.quantity for row in rows)),
                numbers("sets", (row.count for row in rows)),
                numbers("median", (row.median for row in rows), share),
                numbers("9 of 10 within", (row.nine_of_ten for row in rows), share),
                numbers("worst", (row.worst for row in rows), share),
                title="How far the fit is off the times that it was made of",
            ),
            *constants_of(results),
            *([] if noise is None else [Note(*noise.lines())]),
        ),
        records=whole.records,
        report=raw,
    )


def expected_line(seconds: float) -> str:
    """What to say before this machine is measured for so many seconds."""
    about = f"{5 * round(seconds / 5)} s" if seconds < 100 else duration(10 * round(seconds / 10))
    return f"measuring this machine takes about {about}; leave it alone meanwhile"
