"""The command line: each command parses, calls the API and renders; nothing is computed here."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence

import typer

from fhecost.cli import accuracy as _accuracy
from fhecost.cli import backtest as _backtest
from fhecost.cli import calibrate as _calibrate
from fhecost.cli import compare as _compare
from fhecost.cli import estimate as _estimate
from fhecost.cli import generate as _generate
from fhecost.cli import hardware as _hardware
from fhecost.cli import measure as _measure
from fhecost.cli import project as _project
from fhecost.cli import report as _report
from fhecost.cli import validate as _validate
from fhecost.cli.options import option_of
from fhecost.cli.usage import ClickUsageError, is_request_for_help, usage_line
from fhecost.errors import FhecostError, FieldError, UsageError
from fhecost.version import VERSION

app = typer.Typer(
    name="fhecost",
    help="What an encrypted language model costs, on which machine, and how sure that is.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("estimate")(_estimate.estimate)
app.command("compare")(_compare.compare)
app.command("project")(_project.project)
app.command("report")(_report.report)
app.command("accuracy")(_accuracy.accuracy)
app.command("generate")(_generate.generate)
app.command("calibrate")(_calibrate.calibrate)
app.command("validate")(_validate.validate)
app.command("backtest")(_backtest.backtest)
app.add_typer(_hardware.app, name="hardware")
app.add_typer(_measure.app, name="measure")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fhecost {VERSION}")
        raise typer.Exit


@app.callback()
def _root(
    debug: bool = typer.Option(False, "--debug", help="Show a traceback when something fails."),
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    pass


def _show_warning(message: Warning | str, *_: object) -> None:
    print(f"warning: {message}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a foreseen failure is one line on stderr and an exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    # Accepted in any place, since it is added to a command that has just failed.
    debug = "--debug" in given
    given = [argument for argument in given if argument != "--debug"]
    if not debug:
        warnings.showwarning = _show_warning  # type: ignore[assignment]
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
    try:
        # Not standalone: its usage errors would be boxes of several lines.
        status = app(args=given, prog_name="fhecost", standalone_mode=False)
    except ClickUsageError as error:
        if not is_request_for_help(error):
            if debug:
                raise
            print(f"fhecost: {usage_line(error)}", file=sys.stderr)
        sys.exit(UsageError.exit_code)
    except FhecostError as error:
        if debug:
            raise
        line = error.called(option_of(error.field)) if isinstance(error, FieldError) else error
        print(f"fhecost: {line}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("fhecost: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except Exception as error:
        if debug:
            raise
        kind = type(error).__name__
        text = " ".join(str(error).split())
        print(f"fhecost: unexpected {kind}: {text}; --debug shows where", file=sys.stderr)
        sys.exit(1)
    if status:
        sys.exit(status)
