"""What circuits cost: ``fhecost estimate``, ``compare``, ``project`` and ``report``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer

from fhecost.circuits.description import Scope
from fhecost.cli import completion
from fhecost.cli.options import (
    BitsOption,
    CircuitOptions,
    DefaultHardwareOption,
    FormatOption,
    HardwareOption,
    HardwarePathOption,
    HeadsOption,
    KindOption,
    PbsOption,
    PlotOption,
    RequestsOption,
    VariantOption,
    check_plot,
    command_line,
    deliver,
    draw,
    prints,
    refuse_options,
    takes_circuit,
)
from fhecost.cli.parsing import (
    parse_calls,
    parse_duration,
    parse_hardware,
    parse_heads,
    parse_kinds,
    parse_lengths,
    parse_what_if,
    parse_years,
)
from fhecost.cli.progress import timed_progress
from fhecost.files import check_can_write
from fhecost.hardware.names import SortKey
from fhecost.plain import plain_line
from fhecost.report.document import Document


@takes_circuit
@prints("save_profile", "plot")
def estimate(
    circuit: CircuitOptions,
    hardware: DefaultHardwareOption = "default",
    hardware_path: HardwarePathOption = None,
    save_profile: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Keep the circuit profile there.")
    ] = None,
    calls: Annotated[
        str | None,
        typer.Option(
            metavar="FUNCTION=TIMES,…", help="With --profile of a module: calls of its functions."
        ),
    ] = None,
    requests: RequestsOption = None,
    pbs: PbsOption = None,
    plot: PlotOption = None,
) -> Iterator[Document]:
    """Estimate how long an encrypted attention head, layer or model takes, on each machine."""
    from fhecost.circuit_request import expected_seconds
    from fhecost.pipeline import estimate_calls, estimate_circuit
    from fhecost.report.calls_document import calls_document
    from fhecost.report.estimate_document import estimate_document

    if calls is not None:
        module = circuit.module_file(refused=["save_profile", "requests", "pbs", "plot"])
        machines = parse_hardware(hardware)
        yield calls_document(
            estimate_calls(module, parse_calls(calls), machines, hardware_path or ())
        )
        return
    request = circuit.request()
    with timed_progress(expected_seconds(request)) as progress:
        report = estimate_circuit(
            request,
            parse_hardware(hardware),
            hardware_path or (),
            progress,
            keep_profile=save_profile,
            requests=requests,
            pbs=pbs,
        )
    yield estimate_document(report)
    draw(report, plot)


@takes_circuit
@prints("plot")
def compare(
    circuit: CircuitOptions,
    hardware: HardwareOption = "all",
    hardware_path: HardwarePathOption = None,
    kind: KindOption = None,
    base: Annotated[
        str | None,
        typer.Option(
            help="What speed-ups are over; the slowest when left out.",
            autocompletion=completion.one_machine,
        ),
    ] = None,
    sort: Annotated[SortKey, typer.Option(help="What the rows are sorted by.")] = "latency",
    what_if: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIGURE=VALUE,…",
            help="Figures to set, in SI units: cores=64, or strix:clock_hz=2e9 on one machine.",
        ),
    ] = None,
    requests: RequestsOption = None,
    pbs: PbsOption = None,
    sensitivity: Annotated[
        bool, typer.Option("--sensitivity", help="Also which figure of each machine matters.")
    ] = False,
    with_published: Annotated[
        bool,
        typer.Option("--with-published", help="Also other ways to run a model encrypted."),
    ] = False,
    plot: PlotOption = None,
) -> Iterator[Document]:
    """Hold machines against each other: latency, utilization, energy, price, sources."""
    from fhecost.circuit_request import expected_seconds
    from fhecost.pipeline import compare_circuit
    from fhecost.report.comparison_document import comparison_document

    request = circuit.request()
    with timed_progress(expected_seconds(request)) as progress:
        report = compare_circuit(
            request,
            parse_hardware(hardware),
            hardware_path or (),
            progress,
            kinds=parse_kinds(kind),
            base=base,
            sort=sort,
            what_if=parse_what_if(",".join(what_if)) if what_if else None,
            requests=requests,
            pbs=pbs,
            sensitive=sensitivity,
            with_published=with_published,
        )
    yield comparison_document(report)
    draw(report, plot)


def project(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Option(
            help="A shape that fhecost models list has, a config.json, a folder, or a GGUF file.",
            autocompletion=completion.models,
        ),
    ] = "gpt2",
    scope: Annotated[Scope, typer.Option(help="How much of the model.")] = "head",
    seq_len: Annotated[
        str, typer.Option(help="Tokens: FIRST..LAST, or numbers with commas.")
    ] = "1..1024",
    bits: BitsOption = None,
    variant: VariantOption = "fast",
    heads: HeadsOption = "0",
    hardware: DefaultHardwareOption = "default",
    hardware_path: HardwarePathOption = None,
    years: Annotated[
        str | None,
        typer.Option(metavar="FIRST..LAST", help="Also these years, at the last length."),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Up to which length, and when: 100ms, 2s, 5min."),
    ] = None,
    requests: RequestsOption = None,
    pbs: PbsOption = None,
    format: FormatOption = "table",
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Write there; a FILE.html gets the figures."
        ),
    ] = None,
    plot: PlotOption = None,
) -> None:
    """Project PBS and latency to longer sequences, larger scopes and later years."""
    from fhecost.closed_form.requests import shape_request
    from fhecost.projection.projection import project as project_circuit
    from fhecost.report.projection_document import projection_document

    page = output if output is not None and output.suffix == ".html" else None
    check_can_write(output, plot)
    check_plot(plot)
    check_plot(page)
    if scope != "head":
        refuse_options(context, ("heads", "variant"), f"--scope {scope} has all heads, compact")
    report = project_circuit(
        shape_request(model, scope=scope, bits=bits, variant=variant, heads=parse_heads(heads)),
        parse_lengths("--seq-len", seq_len),
        parse_hardware(hardware),
        hardware_path or (),
        years=parse_years(years) if years else (),
        target_s=parse_duration("--target", target) if target else None,
        requests=requests,
        pbs=pbs,
    )
    draw(report, page)
    draw(report, plot)
    deliver(projection_document(report), format, output if page is None else None)


@takes_circuit
def report(
    circuit: CircuitOptions,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE.html", help="The page.")
    ] = Path("report.html"),
    hardware: HardwareOption = "all",
    hardware_path: HardwarePathOption = None,
    accuracy: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE.json", help="From fhecost accuracy; else fhecost's own."),
    ] = None,
    runs: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE.jsonl", help="Measured runs; else fhecost's own."),
    ] = None,
    validated: Annotated[
        str | None,
        typer.Option(help="The machine that measured runs are held against; else their own."),
    ] = None,
    lengths: Annotated[
        str | None, typer.Option(metavar="FIRST..LAST", help="Sequence lengths to project to.")
    ] = None,
    years: Annotated[
        str, typer.Option(metavar="FIRST..LAST", help="Years to project to.")
    ] = "2023..2035",
    projected: Annotated[
        str, typer.Option(help="Machines to project: names, all, or default.")
    ] = "default",
    target: Annotated[
        str | None, typer.Option(metavar="TIME", help="Up to which length, and when: 100ms.")
    ] = None,
    save_figures: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Also write each figure there.")
    ] = None,
    figure_format: Annotated[
        Literal["svg", "png"], typer.Option(help="Of the figures written there.")
    ] = "svg",
) -> None:
    """Write one page that holds everything: circuit, machines, accuracy, errors, projections."""
    from fhecost.circuit_request import expected_seconds
    from fhecost.full_report import make_report
    from fhecost.pipeline import write_report

    check_can_write(output)
    request = circuit.request()
    expected_s = expected_seconds(request) + (20 if save_figures else 3)
    with timed_progress(expected_s) as progress:
        made = make_report(
            request,
            parse_hardware(hardware),
            hardware_path or (),
            progress,
            accuracy=accuracy or (),
            runs=runs or (),
            validated=validated,
            lengths=parse_lengths("--lengths", lengths) if lengths else None,
            years=parse_years(years),
            projected=parse_hardware(projected),
            target_s=parse_duration("--target", target) if target else None,
        )
        written = write_report(
            made,
            output,
            figures_folder=save_figures,
            figure_format=figure_format,
            command=command_line(),
            progress=progress,
        )
    for path in (output, *written):
        typer.echo(plain_line(f"{path}"))
