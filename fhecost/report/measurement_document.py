"""What ``fhecost measure`` and ``calibrate`` say: times, constants fitted to them, whole runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from fhecost.hardware.names import HERE
from fhecost.measurement.cases import Operation
from fhecost.measurement.fit import CpuFit, KeyFit
from fhecost.measurement.results import MicrobenchmarkResults
from fhecost.measurement.run_record import Compared, RunRecord
from fhecost.report.circuit_lines import described
from fhecost.report.columns import Table, column, names, numbers, records
from fhecost.report.document import Document, Note, Text
from fhecost.units import amount, deviation, duration, share

_size = partial(amount, unit="B")


def microbenchmark_document(results: MicrobenchmarkResults) -> Document:
    """The times of one kind of operation; those for a calibration with the fit to them."""
    machine = results.raw.machine
    runs = [(sample, seconds) for sample in results.raw.lookups for seconds in sample.seconds]
    return Document(
        blocks=(
            Text(
                f"Measured on {machine.processor} ({machine.family}), medians; load before the run "
                f"{machine.load_average:.1f}"
            ),
            *_TABLES[results.operation](results),
        ),
        records=Table(
            column("n", (sample.pbs.lwe_dimension for sample, _ in runs)),
            column("k", (sample.pbs.glwe_dimension for sample, _ in runs)),
            column("N", (sample.pbs.polynomial_size for sample, _ in runs)),
            column("l", (sample.pbs.level_count for sample, _ in runs)),
            column("ks_l", (sample.key_switch.level_count for sample, _ in runs)),
            column("threads", (sample.threads for sample, _ in runs)),
            column("elements", (sample.elements for sample, _ in runs)),
            column("seconds", (seconds for _, seconds in runs)),
        ),
        report=results.raw,
    )


def _fits(results: MicrobenchmarkResults) -> Iterator[Table]:
    if results.cpu is not None:
        yield from _cpu_fit(results.cpu)
    if results.keys is not None:
        yield from _key_fit(results.keys)


def _cpu_fit(fit: CpuFit) -> Iterator[Table]:
    made = fit.residuals
    yield Table(
        column("parameter set", (residual.sample.pbs for residual in made)),
        numbers("KS levels", (residual.sample.key_switch.level_count for residual in made)),
        numbers("lookups", (residual.sample.elements for residual in made)),
        numbers("measured", (residual.measured_s for residual in made), duration),
        numbers("fitted", (residual.fitted_s for residual in made), duration),
        numbers("error", (residual.error for residual in made), deviation),
        title="Table lookups (KS and PBS) on one thread",
    )
    yield _cpu_constants(fit)


def constants_of(results: MicrobenchmarkResults) -> Iterator[Table]:
    """The fitted constants and their ranges."""
    if results.cpu is not None:
        yield _cpu_constants(results.cpu)
    if results.keys is not None:
        yield _key_constants(results.keys)


def _cpu_constants(fit: CpuFit) -> Table:
    efficiency = f"{fit.thread_efficiency_low:.4f} to {fit.thread_efficiency_high:.4f}"
    linear = f"{fit.linear_element_low_s:.3e} to {fit.linear_element_high_s:.3e}"
    fitted = ("fourier_unit_s", "external_product_unit_s", "key_switch_unit_s", "key_byte_s")
    constants = {
        "threads": (str(fit.threads), ""),
        "thread_efficiency": (f"{fit.thread_efficiency:.4f}", efficiency),
        **{name: (f"{getattr(fit, name):.5e}", _spread(fit, name, fit.spread)) for name in fitted},
        "linear_element_s": (f"{fit.linear_element_s:.5e}", linear),
    }
    return _constants("Constants of the CPU latency model fitted to these times", constants)


def _key_fit(fit: KeyFit) -> Iterator[Table]:
    made = fit.residuals
    times = [residual.sample.times for residual in made]
    yield Table(
        column("parameter set", (residual.sample.pbs for residual in made)),
        numbers("keygen", (each.keygen_s for each in times), duration),
        numbers("error", (residual.keygen_error for residual in made), deviation),
        numbers("cold", (each.cold_s for each in times), duration),
        numbers("error", (residual.cold_error for residual in made), deviation),
        numbers("memory", (each.peak_memory_bytes for each in times), _size),
        numbers("error", (residual.memory_error for residual in made), deviation),
        title="Keys, each in a process of its own, and the errors of the fit to them",
    )
    yield _key_constants(fit)


def _key_constants(fit: KeyFit) -> Table:
    constants = {
        name: (f"{value:.5g}", _spread(fit, name, fit.spreads[name]))
        for name, value in fit.constants.items()
    }
    return _constants("Constants fitted to these keys", constants)


def _constants(title: str, constants: Mapping[str, tuple[str, str]]) -> Table:
    return Table(
        column("figure", constants),
        numbers("value", (value for value, _ in constants.values())),
        column("range", (bounds for _, bounds in constants.values())),
        title=title,
    )


def _spread(fit: CpuFit | KeyFit, name: str, spread: float) -> str:
    if name in fit.upper_bounds:
        return f"up to {fit.upper_bounds[name]:.2g}, not told from 0"
    return f"±{spread:.1%} (90 % of the sets)"


def _key_switches(results: MicrobenchmarkResults) -> Iterator[Table]:
    times = results.key_switches
    switches = [time.key_switch for time in times]
    sizes = (f"{made.input_lwe_dimension} to {made.output_lwe_dimension}" for made in switches)
    yield Table(
        column("key switch", sizes),
        numbers("levels", (made.level_count for made in switches)),
        numbers("threads", (time.threads for time in times)),
        numbers("each level", (time.level_s for time in times), duration),
        numbers("key switch", (time.key_switch_s for time in times), duration),
    )


def _linear(results: MicrobenchmarkResults) -> Iterator[Table]:
    samples = results.raw.linear
    runs_s = [results.raw.corrected_median_s(sample) for sample in samples]
    each_s = (run_s / made.operations for run_s, made in zip(runs_s, samples, strict=True))
    yield Table(
        numbers("LWE dimension", (sample.lwe_dimension for sample in samples), str),
        numbers("threads", (sample.threads for sample in samples)),
        numbers("operations", (sample.operations for sample in samples)),
        numbers("run, with one lookup", runs_s, duration),
        numbers("operation", (f"at most {duration(one_s)}" for one_s in each_s)),
    )
    moved = results.raw.transfers
    if moved:
        yield Table(
            numbers("inputs", (sample.input_bytes for sample in moved), _size),
            numbers("outputs", (sample.output_bytes for sample in moved), _size),
            numbers("run without lookups", map(results.raw.corrected_median_s, moved), duration),
            title="A run by itself, with its inputs and outputs",
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
        numbers("memory", (made.peak_memory_bytes for made in times), _size),
    )


_TABLES: Mapping[Operation, Callable[[MicrobenchmarkResults], Iterator[Table]]] = {
    "pbs": _fits,
    "ks": _key_switches,
    "linear": _linear,
    "keygen": _keys,
}


def run_document(record: RunRecord) -> Document:
    """Each quantity measured and predicted, and whether what came out is right."""
    right = record.values - record.wrong_values
    rows = record.compared()
    # Blank where there was no machine to ask.
    predicted = ("" if row.hardware is None else _value(row, row.predicted) for row in rows)
    errors = ("" if row.hardware is None else row.error for row in rows)
    fields = ("quantity", "measured", "hardware", "predicted")
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
                numbers("predicted", predicted),
                numbers("error", errors, deviation),
            ),
            Note(
                f"{right:,} of {record.values:,} values decrypt to what the clear circuit gives; "
                f"warm runs: {', '.join(map(duration, record.times.warm_s))}"
            ),
            *(Note(f"NOT ALONE: {said}") for said in record.not_alone or ()),
            *_of_the_processors(record),
            *(
                Note(f"{made.hardware} was calibrated on another machine: {made.other_machine}")
                for made in record.predictions
                if made.other_machine is not None
            ),
            *(Note(said) for said in _said_of_here(record)),
        ),
        records=records(fields, map(vars, rows)),
        report=record,
    )


def _of_the_processors(record: RunRecord) -> Iterator[Note]:
    """How much of the processors each warm run had, and what limits the process was under."""
    shares = [use.share for use in record.times.warm_cpu]
    if shares and all(one is not None for one in shares):
        each = ", ".join(share(one) for one in shares if one is not None)
        yield Note(f"of the processors' time that they were ready for, warm runs had {each}")
    beside, around = record.times.probe_beside_s, record.times.probe_mean_s
    if beside is not None and around is not None:
        yield Note(
            f"the probe took {duration(beside)} of a processor beside the lookups of warm runs, "
            f"{duration(around)} around them"
        )
    limits = record.machine.limits
    if limits is not None and limits.thread_share < 1:
        yield Note(f"a quota left the process {limits.quota_cpus:g} processors' time")


def _said_of_here(record: RunRecord) -> Sequence[str]:
    """What a machine that was never calibrated says of itself."""
    machine = record.calibration
    return machine.assumptions if machine is not None and machine.name == HERE else ()


def _value(row: Compared, value: float | None) -> str | None:
    if value is None:
        return None
    return _size(value) if row.quantity == "peak memory" else duration(value)
