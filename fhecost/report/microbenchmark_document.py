"""What ``fhecost measure`` and ``calibrate`` say: times, and the constants fitted to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from fhecost.measurement.cases import Operation
from fhecost.measurement.fit import CpuFit, KeyFit
from fhecost.measurement.results import MicrobenchmarkResults
from fhecost.report.columns import Table, column, numbers, records
from fhecost.report.document import Document, Text
from fhecost.units import amount, deviation, duration


def microbenchmark_document(results: MicrobenchmarkResults) -> Document:
    """The times of one kind of operation; those for a calibration with the fit to them."""
    machine = results.raw.machine
    return Document(
        blocks=(
            Text(
                f"Measured on {machine.processor} ({machine.family}), medians; load before the run "
                f"{machine.load_average:.1f}"
            ),
            *_TABLES[results.operation](results),
        ),
        records=_records(results),
        report=results.raw,
    )


def _fits(results: MicrobenchmarkResults) -> Iterator[Table]:
    if results.cpu is not None:
        yield _residuals(results.cpu)
        yield _constants(
            "Constants of the CPU latency model fitted to these times", _cpu_constants(results.cpu)
        )
    if results.keys is not None:
        yield _key_residuals(results.keys)
        yield _constants("Constants fitted to these keys", _key_constants(results.keys))


def _key_switches(results: MicrobenchmarkResults) -> Iterator[Table]:
    times = results.key_switches
    sizes = [
        (time.key_switch.input_lwe_dimension, time.key_switch.output_lwe_dimension)
        for time in times
    ]
    yield Table(
        column("key switch", (f"{before} to {after}" for before, after in sizes)),
        numbers("levels", (time.key_switch.level_count for time in times)),
        numbers("threads", (time.threads for time in times)),
        numbers("each level", (time.level_s for time in times), duration),
        numbers("key switch", (time.key_switch_s for time in times), duration),
    )


def _linear(results: MicrobenchmarkResults) -> Iterator[Table]:
    times = results.linear
    yield Table(
        numbers("LWE dimension", (time.lwe_dimension for time in times), str),
        numbers("threads", (time.threads for time in times)),
        numbers("operations", (time.operations for time in times)),
        numbers("run, with one lookup", (time.run_s for time in times), duration),
        numbers("operation", (f"at most {duration(time.operation_s)}" for time in times)),
    )


def _keys(results: MicrobenchmarkResults) -> Iterator[Table]:
    samples = results.raw.keys
    times = [sample.times for sample in samples]
    yield Table(
        column("parameter set", (sample.pbs for sample in samples)),
        numbers("KS levels", (sample.key_switch.level_count for sample in samples)),
        numbers("threads", (made.threads for made in times)),
        numbers("keygen", (made.keygen_s for made in times), duration),
        numbers("cold", (made.cold_s for made in times), duration),
        numbers("warm", (made.warm_median_s for made in times), duration),
        numbers("memory", (made.peak_memory_bytes for made in times), _bytes),
    )


_TABLES: Mapping[Operation, Callable[[MicrobenchmarkResults], Iterator[Table]]] = {
    "pbs": _fits,
    "ks": _key_switches,
    "linear": _linear,
    "keygen": _keys,
}


def _residuals(fit: CpuFit) -> Table:
    made = fit.residuals
    return Table(
        column("parameter set", (residual.sample.pbs for residual in made)),
        numbers("KS levels", (residual.sample.key_switch.level_count for residual in made)),
        numbers("lookups", (residual.sample.elements for residual in made)),
        numbers("measured", (residual.measured_s for residual in made), duration),
        numbers("fitted", (residual.fitted_s for residual in made), duration),
        numbers("error", (residual.error for residual in made), deviation),
        title="Table lookups (KS and PBS) on one thread",
    )


def _key_residuals(fit: KeyFit) -> Table:
    made = fit.residuals
    times = [residual.sample.times for residual in made]
    return Table(
        column("parameter set", (residual.sample.pbs for residual in made)),
        numbers("keygen", (each.keygen_s for each in times), duration),
        numbers("error", (residual.keygen_error for residual in made), deviation),
        numbers("cold", (each.cold_s for each in times), duration),
        numbers("error", (residual.cold_error for residual in made), deviation),
        numbers("memory", (each.peak_memory_bytes for each in times), _bytes),
        numbers("error", (residual.memory_error for residual in made), deviation),
        title="Keys, each in a process of its own, and the errors of the fit to them",
    )


def _constants(title: str, constants: Mapping[str, tuple[str, str]]) -> Table:
    return Table(
        column("figure", constants),
        numbers("value", (value for value, _ in constants.values())),
        column("range", (bounds for _, bounds in constants.values())),
        title=title,
    )


def _cpu_constants(fit: CpuFit) -> dict[str, tuple[str, str]]:
    efficiency = f"{fit.thread_efficiency_low:.4f} to {fit.thread_efficiency_high:.4f}"
    linear = f"{fit.linear_element_low_s:.3e} to {fit.linear_element_high_s:.3e}"
    fitted = ("fourier_unit_s", "external_product_unit_s", "key_switch_unit_s", "key_byte_s")
    return {
        "threads": (str(fit.threads), ""),
        "thread_efficiency": (f"{fit.thread_efficiency:.4f}", efficiency),
        **{name: (f"{getattr(fit, name):.5e}", _spread(fit.spread)) for name in fitted},
        "linear_element_s": (f"{fit.linear_element_s:.5e}", linear),
    }


def _key_constants(fit: KeyFit) -> dict[str, tuple[str, str]]:
    return {
        name: (f"{value:.5g}", _spread(fit.spreads[name])) for name, value in fit.constants.items()
    }


def _spread(spread: float) -> str:
    return f"±{spread:.1%} (90 % of the sets)"


def _bytes(value: float) -> str:
    return amount(value, "B")


def _records(results: MicrobenchmarkResults) -> Table:
    """One row a timed run of table lookups."""
    fields = ("n", "k", "N", "l", "ks_l", "threads", "elements", "seconds")
    rows = (
        (
            sample.pbs.lwe_dimension,
            sample.pbs.glwe_dimension,
            sample.pbs.polynomial_size,
            sample.pbs.level_count,
            sample.key_switch.level_count,
            sample.threads,
            sample.elements,
            seconds,
        )
        for sample in results.raw.lookups
        for seconds in sample.seconds
    )
    return records(fields, (dict(zip(fields, row, strict=True)) for row in rows))
