"""Write docs/cli.md from the help texts of the command line: python docs/make_cli.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from fhecost.cli import app

PAGE = Path(__file__).parent / "cli.md"
_HEAD = """\
# Every command and option

Written by `python docs/make_cli.py` from the help texts; a test holds both together. What the
commands are for, with examples, is in [commands.md](commands.md).

`fhecost --version` prints the version, `--debug` shows the traceback of what fails, and
`--install-completion` completes commands, options and names in your shell.
"""
_TYPES = {
    "str": "TEXT",
    "int": "NUMBER",
    "int range": "NUMBER",
    "float": "NUMBER",
    "float range": "NUMBER",
    "list[str]": "TEXT",
}


def page() -> str:
    """The text of docs/cli.md."""
    parts = [_HEAD]
    for path, command in commands():
        parts += [f"## `{path}`", command.help or "", _usage(path, command)]
        context = typer.Context(command, info_name=path)
        rows = [_row(each, context) for each in command.params if not getattr(each, "hidden", 0)]
        if rows:
            parts.append("| option | is |\n|---|---|\n" + "\n".join(rows))
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def commands() -> Iterator[tuple[str, Any]]:
    """Every command that does something, by what is typed for it."""
    waiting = [("fhecost", typer.main.get_command(app))]
    while waiting:
        path, command = waiting.pop(0)
        inside = getattr(command, "commands", None)
        if inside is None:
            yield path, command
        else:
            waiting = [(f"{path} {name}", each) for name, each in inside.items()] + waiting


def _usage(path: str, command: Any) -> str:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    names = [each.metavar or each.name.upper() for each in arguments]
    written = [
        name if each.required else f"[{name}]" for name, each in zip(names, arguments, strict=True)
    ]
    return "```text\n" + " ".join([path, *written, "[OPTION…]"]) + "\n```"


def _row(parameter: Any, context: typer.Context) -> str:
    name, about = parameter.get_help_record(context)
    if parameter.param_type_name == "argument":
        name = parameter.metavar or parameter.name.upper()
    for type_name, word in _TYPES.items():
        name = name.replace(f"<{type_name}>", word)
    # A bar would end the cell.
    name = name.replace("|", ", ").replace("<", "").replace(">", "")
    return f"| `{name}` | {' '.join(about.split())} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
