"""The command line: each command parses, calls the API and renders; nothing is computed here."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn, cast

import typer

from fhecost.cli import (
    cache,
    circuits,
    costs,
    explore,
    hardware,
    language,
    measure,
    models,
    search,
    sweep,
)
from fhecost.cli.encodings import checked_arguments, write_plainly
from fhecost.cli.options import TYPED, option_of
from fhecost.errors import FaultsError, FhecostError, FieldError, UsageError, did_you_mean
from fhecost.interrupts import INTERRUPTED, interrupted_line, said_by_parent
from fhecost.plain import bounded_line
from fhecost.version import VERSION

# Typer brings its own copy of click since 0.2x and uses click itself before; either way this is
# the base of what is raised for a bad command line.
_ClickUsageError = cast("type[Exception]", typer.BadParameter.__base__)

app = typer.Typer(
    name="fhecost",
    help="What an encrypted language model costs, on which machine, and how sure that is.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    *(costs.estimate, costs.compare, costs.project, costs.report, explore.explore),
    *(circuits.profile, circuits.diff),
    *(language.accuracy, language.generate, search.optimize, sweep.sweep),
    *(measure.calibrate, measure.validate, measure.backtest),
):
    app.command()(command)
app.add_typer(hardware.app, name="hardware")
app.add_typer(measure.app, name="measure")
app.add_typer(models.app, name="models")
app.add_typer(cache.app, name="cache")


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
    _say(f"warning: {message}")


def _say(line: str) -> None:
    """One line to whoever calls; what is in it of files and arguments stays in that line."""
    print(bounded_line(line), file=sys.stderr)


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
    write_plainly()
    try:
        given = checked_arguments(given)
        # Not standalone: its usage errors would be boxes of several lines.
        TYPED.set(given)
        status = app(args=given, prog_name="fhecost", standalone_mode=False)
    except KeyboardInterrupt:
        _interrupted()
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except Exception as error:
        # A group was called without a command; its help is printed by then.
        if type(error).__name__ == "NoArgsIsHelpError":
            sys.exit(UsageError.exit_code)
        if said_by_parent():
            # What an interrupted library makes of it is nobody's concern.
            sys.exit(INTERRUPTED)
        if debug:
            raise
        status, line = _failure(error)
        lines = error.faults if isinstance(error, FaultsError) else (line,)
        _say(f"fhecost: {lines[0]}")
        for each in lines[1:]:
            _say(each)
    if status:
        sys.exit(status)


def _interrupted() -> NoReturn:
    """One line, by whoever is there to say it."""
    if not said_by_parent():
        print(interrupted_line(), file=sys.stderr)
    sys.exit(INTERRUPTED)


def _failure(error: Exception) -> tuple[int, str]:
    """The exit status and the line of an error."""
    match error:
        case FieldError(field=field):
            return error.exit_code, error.called(option_of(field))
        case FhecostError():
            return error.exit_code, str(error)
        case _ClickUsageError():
            return UsageError.exit_code, _usage_line(error)
        case OSError(strerror=str(reason)):
            # A name that is too long, a folder that can't be looked into: no file to work with.
            where = "" if error.filename is None else f"{error.filename}: "
            return UsageError.exit_code, f"{where}{reason[:1].lower()}{reason[1:]}"
        case MemoryError():
            return 1, "there isn't enough memory for this"
    text = " ".join(str(error).split())
    return 1, f"unexpected {type(error).__name__}: {text}; --debug shows where"


def _usage_line(error: Any) -> str:
    """What is wrong, in which command, and what would be right."""
    message = " ".join(error.format_message().split()).rstrip(".")
    message = message.replace("Value error, ", "").replace("Input should", "input should")
    message = message[:1].lower() + message[1:]
    if error.ctx is None:
        return message
    path = error.ctx.command_path
    commands = sorted(getattr(error.ctx.command, "commands", {}))
    if commands and message.startswith("no such command"):
        # The whole list is short; click's guess at one of them stands at the end.
        message, _, _ = message.partition(". ")
        like = did_you_mean(message.split("'")[1], commands)
        message = f"{message}; there is {', '.join(commands)}{like}"
    within = path.partition(" ")[2]
    return f"{within + ': ' if within else ''}{message}; see {path} --help"
