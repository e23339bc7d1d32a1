"""Files with the figures of any report: a page that opens offline, or pictures."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from fhecost.accuracy.records import AccuracyReport
from fhecost.errors import FieldError
from fhecost.files import AnyPath, check_can_write, write_result
from fhecost.hardware.comparison import ComparisonReport
from fhecost.hardware.estimate import EstimateReport
from fhecost.progress import Progress, silent
from fhecost.projection.bits import AccuracyCosts, BitsReport
from fhecost.projection.projection import ProjectionReport
from fhecost.report.accuracy_document import accuracy_plot
from fhecost.report.backtest_document import backtest_plot
from fhecost.report.bits_figures import bits_plot
from fhecost.report.comparison_document import comparison_plot
from fhecost.report.drawing import Plot, new_figure
from fhecost.report.estimate_document import estimate_plot
from fhecost.report.optimization_document import optimization_plot
from fhecost.report.pages import figure_page
from fhecost.report.projection_document import projection_plot
from fhecost.report.saved_figures import FigureFormat, check_kaleido, draw_files, named_after
from fhecost.report.sweep_figures import sweep_plot
from fhecost.report.validation_document import validation_plot
from fhecost.search.records import OptimizationReport
from fhecost.sweep.records import SweepReport
from fhecost.validation.backtest import BacktestReport
from fhecost.validation.comparison import ValidationReport

PlottedReport = (
    EstimateReport
    | ComparisonReport
    | AccuracyReport
    | AccuracyCosts
    | BitsReport
    | ProjectionReport
    | ValidationReport
    | BacktestReport
    | OptimizationReport
    | SweepReport
)
"""What there are figures of."""

_PAGE, _PICTURES = ".html", (".svg", ".png")


def check_plot(file: AnyPath) -> None:
    """Fail before long work rather than after it where :func:`write_plot` could write no ``file``.

    Raises:
        UsageError: its name ends otherwise than a plot's, something isn't installed, or the file
            can't be written.
    """
    path = Path(file)
    if path.suffix not in (_PAGE, *_PICTURES):
        raise FieldError("plot", "must end in .html, .svg or .png", path)
    new_figure()
    if path.suffix != _PAGE:
        check_kaleido("plot")
    check_can_write(path)


def write_plot(
    report: PlottedReport,
    file: AnyPath,
    *,
    command: str | None = None,
    progress: Progress = silent,
) -> list[Path]:
    """Draw what a report says.

    Args:
        report: of any command that has figures.
        file: a page in HTML that opens offline and holds all figures, or pictures where it ends in
            .svg or .png: one file a figure, each with its heading behind the name.
        command: what made it, which stands on a page with the date.
        progress: called with the name of each step when it begins.

    Returns:
        The files.

    Raises:
        UsageError: plotly or kaleido isn't installed, or a file can't be written.
        ImpossibleError: there is no browser that could draw pictures.
    """
    check_plot(file)
    path, plot = Path(file), plot_of(report)
    if path.suffix == _PAGE:
        write_result(path, figure_page(plot, command))
        return [path]
    form = cast("FigureFormat", path.suffix[1:])
    named = {
        path.with_name(named_after(path.stem, heading, form)): figure
        for heading, figure in plot.figures
    }
    return draw_files(named, form, progress)


def plot_of(report: PlottedReport) -> Plot:
    """What is drawn of a report.

    Raises:
        UsageError: plotly isn't installed, or there are no figures of such a thing.
    """
    match report:
        case EstimateReport():
            return estimate_plot(report)
        case ComparisonReport():
            return comparison_plot(report)
        case AccuracyReport():
            return accuracy_plot(report)
        case AccuracyCosts():
            return accuracy_plot(report.accuracy, report.costs)
        case BitsReport():
            return bits_plot(report)
        case ProjectionReport():
            return projection_plot(report)
        case ValidationReport():
            return validation_plot(report)
        case BacktestReport():
            return backtest_plot(report)
        case OptimizationReport():
            return optimization_plot(report)
        case SweepReport():
            return sweep_plot(report)
    raise FieldError("report", f"no figures are made of a {type(report).__name__}")
