"""A microbenchmark and the constants fitted to it, as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fhecost.measurement.cases import Operation
from fhecost.measurement.fit import CpuFit, fit_cpu
from fhecost.measurement.key_fit import KeyFit, fit_keys
from fhecost.measurement.records import Microbenchmark
from fhecost.measurement.single_operations import key_switch_times
from fhecost.report.tables import Column, csv_text, markdown_table, text_table, wrap
from fhecost.units import amount, duration

TableMaker = Callable[[Sequence[Column], Sequence[Sequence[str]]], str]


def as_json(microbenchmark: Microbenchmark) -> str:
    """The raw times."""
    return microbenchmark.model_dump_json(indent=1) + "\n"


def as_csv(microbenchmark: Microbenchmark) -> str:
    """One row a timed run of table lookups."""
    rows = [
        [
            sample.pbs.lwe_dimension,
            sample.pbs.glwe_dimension,
            sample.pbs.polynomial_size,
            sample.pbs.level_count,
            sample.key_switch.level_count,
            sample.threads,
            sample.elements,
            seconds,
        ]
        for sample in microbenchmark.lookups
        for seconds in sample.seconds
    ]
    return csv_text(["n", "k", "N", "l", "ks_l", "threads", "elements", "seconds"], rows)


RENDERERS: Mapping[str, Callable[[Microbenchmark, Operation], str]] = {
    "table": lambda microbenchmark, operation: _compose(microbenchmark, operation, text_table),
    "markdown": lambda microbenchmark, operation: _compose(
        microbenchmark, operation, markdown_table
    ),
    "json": lambda microbenchmark, _: as_json(microbenchmark),
    "csv": lambda microbenchmark, _: as_csv(microbenchmark),
}


def _compose(microbenchmark: Microbenchmark, operation: Operation, table: TableMaker) -> str:
    """The times of one kind of operation; those for a calibration with the fit to them."""
    blocks = [_heading(microbenchmark)]
    if operation == "pbs":
        fit = fit_cpu(microbenchmark)
        blocks += [
            "Table lookups (KS and PBS) on one thread",
            table(*_residual_rows(fit)),
            "Constants of the CPU latency model fitted to these times",
            table(*_constant_rows(fit)),
        ]
        if microbenchmark.keys:
            keys = fit_keys(microbenchmark.keys)
            blocks += [
                "Keys, each in a process of its own, and the errors of the fit to them",
                table(*_key_residual_rows(keys)),
                "Constants fitted to these keys",
                table(*_key_constant_rows(keys)),
            ]
    else:
        rows = {"ks": _key_switch_rows, "linear": _linear_rows, "keygen": _key_rows}
        blocks.append(table(*rows[operation](microbenchmark)))
    return "\n\n".join(blocks) + "\n"


def _heading(microbenchmark: Microbenchmark) -> str:
    machine = microbenchmark.machine
    return wrap(
        f"Measured on {machine.processor} ({machine.family}), medians; load before the run "
        f"{machine.load_average:.1f}"
    )


def _key_switch_rows(microbenchmark: Microbenchmark) -> tuple[list[Column], list[list[str]]]:
    columns = [
        Column("key switch"),
        Column("levels", right=True),
        Column("threads", right=True),
        Column("each level", right=True),
        Column("key switch", right=True),
    ]
    rows = [
        [
            f"{time.key_switch.input_lwe_dimension} to {time.key_switch.output_lwe_dimension}",
            str(time.key_switch.level_count),
            str(time.threads),
            duration(time.level_s),
            duration(time.key_switch_s),
        ]
        for time in key_switch_times(microbenchmark)
    ]
    return columns, rows


def _linear_rows(microbenchmark: Microbenchmark) -> tuple[list[Column], list[list[str]]]:
    columns = [
        Column("LWE dimension", right=True),
        Column("threads", right=True),
        Column("operations", right=True),
        Column("run, with one lookup", right=True),
        Column("operation", right=True),
    ]
    rows = []
    for sample in microbenchmark.linear:
        seconds = microbenchmark.corrected_median_s(sample)
        rows.append(
            [
                str(sample.lwe_dimension),
                str(sample.threads),
                f"{sample.operations:,}",
                duration(seconds),
                f"at most {duration(seconds / sample.operations)}",
            ]
        )
    return columns, rows


def _key_rows(microbenchmark: Microbenchmark) -> tuple[list[Column], list[list[str]]]:
    columns = [
        Column("parameter set"),
        Column("KS levels", right=True),
        Column("threads", right=True),
        Column("keygen", right=True),
        Column("cold", right=True),
        Column("warm", right=True),
        Column("memory", right=True),
    ]
    rows = [
        [
            str(sample.pbs),
            str(sample.key_switch.level_count),
            str(sample.times.threads),
            duration(sample.times.keygen_s),
            duration(sample.times.cold_s),
            duration(sample.times.warm_median_s),
            amount(sample.times.peak_memory_bytes, "B"),
        ]
        for sample in microbenchmark.keys
    ]
    return columns, rows


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


def _key_residual_rows(fit: KeyFit) -> tuple[list[Column], list[list[str]]]:
    columns = [
        Column("parameter set"),
        Column("keygen", right=True),
        Column("error", right=True),
        Column("cold", right=True),
        Column("error", right=True),
        Column("memory", right=True),
        Column("error", right=True),
    ]
    rows = [
        [
            str(residual.sample.pbs),
            duration(residual.sample.times.keygen_s),
            f"{residual.keygen_error:+.1%}",
            duration(residual.sample.times.cold_s),
            f"{residual.cold_error:+.1%}",
            amount(residual.sample.times.peak_memory_bytes, "B"),
            f"{residual.memory_error:+.1%}",
        ]
        for residual in fit.residuals
    ]
    return columns, rows


def _key_constant_rows(fit: KeyFit) -> tuple[list[Column], list[list[str]]]:
    columns = [Column("figure"), Column("value", right=True), Column("range")]
    groups = (
        (("keygen_bsk_byte_s", "keygen_product_unit_s", "keygen_ksk_byte_s"), fit.keygen_spread),
        (("conversion_unit_s", "conversion_byte_s"), fit.cold_spread),
        (("bsk_copies", "ksk_copies"), fit.memory_spread),
    )
    rows = [
        [name, f"{getattr(fit, name):.5g}", f"±{spread:.1%} (90 % of the sets)"]
        for names, spread in groups
        for name in names
    ]
    return columns, rows
