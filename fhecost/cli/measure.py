"""What was measured: ``fhecost measure``, ``calibrate``, ``validate`` and ``backtest``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from fhecost.cli.options import (
    HardwareOption,
    HardwarePathOption,
    HeadOptions,
    PlotOption,
    SeqLenOption,
    deliver,
    draw,
    prints,
    takes_circuit,
)
from fhecost.cli.parsing import parse_hardware
from fhecost.cli.progress import counted_progress, measured_progress, timed_progress
from fhecost.errors import UsageError
from fhecost.hardware.names import HERE
from fhecost.interrupts import say_kept
from fhecost.measurement.cases import Operation
from fhecost.plain import plain_line
from fhecost.report.document import Document

app = typer.Typer(help="Time operations on this machine.", no_args_is_help=True)

_HELP: Mapping[Operation, str] = {
    "pbs": (
        "Time all that a calibration needs and fit the CPU model's constants.\n\n"
        "Lookups over a spread of parameter sets, linear operations, key generation and first "
        "runs. The JSON holds all raw times, the table the fit. Leave the machine alone meanwhile."
    ),
    "ks": "Time the key switch: pairs of lookups that differ in its levels alone.",
    "linear": "Time additions and multiplications by clear integers, at several LWE dimensions.",
    "keygen": "Time key generation and the first run, over a spread of parameter sets.",
}


def _add_command(operation: Operation) -> None:
    """Add the command that times ``operation``; all of them have the same options."""

    @app.command(operation, help=_HELP[operation])
    @prints("save")
    def measure(
        quick: Annotated[
            bool, typer.Option("--quick", help="Only sets with N up to 4096, under three minutes.")
        ] = False,
        minutes: Annotated[
            float | None, typer.Option(help="No round starts later; 12.5, or 2.25 when quick.")
        ] = None,
        save: Annotated[
            Path | None, typer.Option(metavar="FILE.json", help="Keep all raw times there.")
        ] = None,
        resume: Annotated[
            bool, typer.Option("--resume", help="Go on where a run with the same FILE stopped.")
        ] = False,
    ) -> Iterator[Document]:
        from fhecost.measurement.microbenchmark import run_microbenchmark, step_count
        from fhecost.measurement.results import results_of
        from fhecost.report.measurement_document import microbenchmark_document

        if save is not None:
            say_kept(f"what was timed is kept beside {save}; --resume goes on from there")
        with counted_progress("microbenchmark", step_count(operation, quick)) as progress:
            measured = run_microbenchmark(
                operation,
                quick=quick,
                minutes=minutes,
                keep=save,
                resume=resume,
                progress=progress,
            )
        yield microbenchmark_document(results_of(measured, operation))


for _operation in _HELP:
    _add_command(_operation)


@dataclass(frozen=True)
class _MeasuredHeads(HeadOptions):
    """Small ones, unless more is asked for."""

    seq_len: SeqLenOption = 2


@app.command()
@takes_circuit
@prints(added_to="record")
def head(
    circuit: _MeasuredHeads,
    threads: Annotated[
        int | None, typer.Option(help="Threads of the run; all when left out.")
    ] = None,
    runs: Annotated[int, typer.Option(help="Warm runs, after the cold one.")] = 3,
    hardware: Annotated[
        str, typer.Option(help="Machines that predict the run before it starts.")
    ] = HERE,
    hardware_path: HardwarePathOption = None,
    record: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="Add the run record to this file.")
    ] = None,
) -> Iterator[Document]:
    """Run a quantized head in FHE on this machine and set it beside its estimate.

    Leave the machine alone meanwhile. Bits and length start small: keys and minutes grow fast.
    """
    from fhecost.gpt2.head_circuit import expected_seconds
    from fhecost.measurement.run_record import append_record
    from fhecost.measurement.timed_run import measure_heads
    from fhecost.report.measurement_document import run_document

    request = circuit.head_request()
    with timed_progress(expected_seconds(request)) as progress:
        measured = measure_heads(
            request,
            parse_hardware(hardware),
            hardware_path or (),
            threads=threads,
            warm_runs=runs,
            progress=progress,
            expect=progress.expect,
        )
    failure: UsageError | None = None
    if record is not None:
        try:
            append_record(record, measured)
        except UsageError as error:
            failure = error
    # The figures are seen even where the record can't be added.
    yield run_document(measured)
    if failure is not None:
        raise failure


def calibrate(
    raw: Annotated[
        Path | None,
        typer.Argument(
            metavar="RAW.json",
            help="Raw times from fhecost measure pbs --save; measured now when left out.",
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="What the machine is to be called.")] = "local",
    thorough: Annotated[
        bool,
        typer.Option(
            "--thorough", help="Measure ten minutes instead of one: more sets, up to N=32,768."
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE.yaml", help="Write there instead."),
    ] = None,
) -> None:
    """Measure this machine, fit the CPU model to it and keep it as a hardware profile.

    Leave the machine alone meanwhile. Broken off, the same command goes on on the same day.
    """
    from fhecost.hardware.library import own_hardware_file
    from fhecost.measurement.calibration import calibrate as calibrate_hardware
    from fhecost.measurement.calibration import check_own_name, raw_times_file
    from fhecost.report.calibration_document import calibration_document, expected_line

    path = output
    if path is None:
        check_own_name(name)
        path = own_hardware_file(name)
        path.parent.mkdir(parents=True, exist_ok=True)
    if raw is None:
        say_kept("what was measured is kept, and the same command goes on from there today")
    with measured_progress(lambda seconds: _say(expected_line(seconds))) as progress:
        calibrate_hardware(
            raw,
            path.stem,
            thorough=thorough,
            keep=path,
            progress=progress,
            expect=progress.expect,
        )
    times = raw or raw_times_file(path)
    deliver(calibration_document(times), "table")
    used = f"--hardware {path.stem}" + ("" if output is None else f" --hardware-path {path.parent}")
    here = "" if raw or output else ", or --hardware here"
    _say(f"written: {path}, from {times}; use it with {used}{here}")


def _say(line: str) -> None:
    typer.echo(plain_line(line), err=True)


@prints("plot")
def validate(
    runs: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE.jsonl", help="Run records; fhecost's own when left out."),
    ] = None,
    hardware: Annotated[
        str | None,
        typer.Option(help="The machine that predicts; each run's own when left out."),
    ] = None,
    hardware_path: HardwarePathOption = None,
    tolerance: Annotated[
        float | None,
        typer.Option(help="Largest error of a warm run, such as 0.2; exit 1 beyond it."),
    ] = None,
    plot: PlotOption = None,
) -> Iterator[Document]:
    """Hold a machine's estimates against runs that were really measured."""
    from fhecost.report.validation_document import validation_document
    from fhecost.validation.comparison import check_tolerance
    from fhecost.validation.comparison import validate as validate_runs

    report = validate_runs(runs, hardware, hardware_path or ())
    yield validation_document(report)
    draw(report, plot)
    if tolerance is not None:
        check_tolerance(report, tolerance)


@prints("plot")
def backtest(
    facts: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE.json", help="Published figures; fhecost's own when left out."),
    ] = None,
    hardware: HardwareOption = "all",
    hardware_path: HardwarePathOption = None,
    plot: PlotOption = None,
) -> Iterator[Document]:
    """Hold the machines against published figures that they were not fitted to."""
    from fhecost.report.backtest_document import backtest_document
    from fhecost.validation.backtest import backtest as backtest_hardware

    report = backtest_hardware(facts, parse_hardware(hardware), hardware_path or ())
    yield backtest_document(report)
    draw(report, plot)
