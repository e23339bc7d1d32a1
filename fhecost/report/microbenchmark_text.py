"""A microbenchmark and the constants fitted to it, as text."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence

from fhecost.measurement.fit import CpuFit
from fhecost.measurement.records import Microbenchmark
from fhecost.report.tables import Column, markdown_table, text_table, wrap
from fhecost.report.units import duration


def as_json(microbenchmark: Microbenchmark) -> str:
    """The raw times."""
    return microbenchmark.model_dump_json(indent=1) + "\n"


def as_csv(microbenchmark: Microbenchmark) -> str:
    """One row a timed run of table lookups."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["n", "k", "N", "l", "ks_l", "threads", "elements", "seconds"])
    for sample in microbenchmark.lookups:
        p = sample.pbs
        for seconds in sample.seconds:
            writer.writerow(
                [
                    p.lwe_dimension,
                    p.glwe_dimension,
                    p.polynomial_size,
                    p.level_count,
                    sample.key_switch.level_count,
                    sample.threads,
                    sample.elements,
                    seconds,
                ]
            )
    return stream.getvalue()


def as_table(microbenchmark: Microbenchmark, fit: CpuFit) -> str:
    """For a terminal of 80 columns."""
    return _compose(microbenchmark, fit, text_table)


def as_markdown(microbenchmark: Microbenchmark, fit: CpuFit) -> str:
    """For a README or an issue."""
    return _compose(microbenchmark, fit, markdown_table)


RAW_RENDERERS: Mapping[str, Callable[[Microbenchmark], str]] = {"json": as_json, "csv": as_csv}
FIT_RENDERERS: Mapping[str, Callable[[Microbenchmark, CpuFit], str]] = {
    "table": as_table,
    "markdown": as_markdown,
}


def _compose(
    microbenchmark: Microbenchmark,
    fit: CpuFit,
    table: Callable[[Sequence[Column], Sequence[Sequence[str]]], str],
) -> str:
    machine = microbenchmark.machine
    blocks = [
        wrap(
            f"Runs of table lookups (KS and PBS) on one thread of {machine.processor} "
            f"({machine.family}), medians; load before the run {machine.load_average:.1f}"
        ),
        table(*_residual_rows(fit)),
        "Constants of the CPU latency model fitted to these times",
        table(*_constant_rows(fit)),
    ]
    return "\n\n".join(blocks) + "\n"


def _residual_rows(fit: CpuFit) -> tuple[list[Column], list[list[str]]]:
    columns = [
        Column("parameter set"),
        Column("KS levels", right=True),
        Column("lookups", right=True),
        Column("measured", right=True),
        Column("fitted", right=True),
        Column("error", right=True),
    ]
    rows = [
        [
            str(residual.sample.pbs),
            str(residual.sample.key_switch.level_count),
            str(residual.sample.elements),
            duration(residual.measured_s),
            duration(residual.fitted_s),
            f"{residual.error:+.1%}",
        ]
        for residual in fit.residuals
    ]
    return columns, rows


def _constant_rows(fit: CpuFit) -> tuple[list[Column], list[list[str]]]:
    columns = [Column("figure"), Column("value", right=True), Column("range")]
    spread = f"±{fit.spread:.1%} (90 % of the sets)"
    rows = [
        ["threads", str(fit.threads), ""],
        [
            "thread_efficiency",
            f"{fit.thread_efficiency:.4f}",
            f"{fit.thread_efficiency_low:.4f} to {fit.thread_efficiency_high:.4f}",
        ],
        ["fourier_unit_s", f"{fit.fourier_unit_s:.5e}", spread],
        ["external_product_unit_s", f"{fit.external_product_unit_s:.5e}", spread],
        ["key_switch_unit_s", f"{fit.key_switch_unit_s:.5e}", spread],
        ["key_byte_s", f"{fit.key_byte_s:.5e}", spread],
        [
            "linear_element_s",
            f"{fit.linear_element_s:.5e}",
            f"{fit.linear_element_low_s:.3e} to {fit.linear_element_high_s:.3e}",
        ],
    ]
    return columns, rows
