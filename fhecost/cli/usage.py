"""The usage errors of click, which parses the command line, in one line like all others."""

from __future__ import annotations

from typing import Any, cast

import typer

# Typer brings its own copy of click since 0.2x and uses click itself before; either way this is
# the base of what is raised for a bad command line.
ClickUsageError = cast("type[Exception]", typer.BadParameter.__base__)


def is_request_for_help(error: Any) -> bool:
    """Whether a group was called without a command; its help is printed by then."""
    return type(error).__name__ == "NoArgsIsHelpError"


def usage_line(error: Any) -> str:
    """What is wrong, in which command, and what would be right."""
    message = " ".join(error.format_message().split()).rstrip(".")
    message = message.replace("Value error, ", "").replace("Input should", "input should")
    message = message[:1].lower() + message[1:]
    if error.ctx is None:
        return message
    path = error.ctx.command_path
    commands = sorted(getattr(error.ctx.command, "commands", {}))
    if commands and message.startswith("no such command"):
        # The whole list is short, so click's guess at one of them is left out.
        message = f"{message.partition('. ')[0]}; there is {', '.join(commands)}"
    within = path.partition(" ")[2]
    return f"{within + ': ' if within else ''}{message}; see {path} --help"
