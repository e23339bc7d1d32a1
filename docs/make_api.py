"""Write docs/api.md from the docstrings of fhecost's public names: python docs/make_api.py."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import Any

from pydantic import BaseModel

import fhecost

PAGE = Path(__file__).parent / "api.md"
_WIDTH = 100
_HEAD = """\
# The Python API

Written by `python docs/make_api.py` from the docstrings; a test holds both together.

What a command does, one call does with the same result. Sentences, lists and mappings take the
place of what the command line writes with commas, and an error names the argument that is wrong.
`import fhecost` loads nothing of this until it is used; neither torch nor Concrete is needed for
what a saved circuit profile or a closed form tells.
"""
COMMANDS: Mapping[str, str] = {
    "estimate": "estimate_circuit",
    "estimate --calls": "estimate_calls",
    "compare": "compare_circuit",
    "project": "project",
    "report": "make_report, write_report",
    "profile": "profile_script, save_profile",
    "diff": "diff_circuits",
    "accuracy": "measure_accuracy",
    "accuracy --plot": "with_costs, write_plot",
    "any other --plot": "write_plot",
    "generate": "generate",
    "optimize": "optimize",
    "sweep": "run_sweep, load_experiment, load_results, write_parquet",
    "validate": "validate, check_tolerance",
    "backtest": "backtest",
    "measure pbs, ks, linear, keygen": "run_microbenchmark",
    "measure head": "measure_heads, append_record",
    "calibrate": "calibrate",
    "hardware list, show": "load_hardware, find_hardware",
    "hardware check": "hardware_faults",
    "hardware new": "hardware_template",
    "models list, fetch": "list_models, fetch_weights",
    "cache info, verify, clear": "cache_info, verify_cache, clear_cache",
}
"""The calls that do what a command does."""

_TYPES: Mapping[str, str] = {
    "AnyPath": "fhecost.files",
    "CircuitRequest": "fhecost.circuit_request",
    "Expect": "fhecost.progress",
    "HardwareNames": "fhecost.hardware.library",
    "Heads": "fhecost.models.shape",
    "PlottedReport": "fhecost.report.plots",
    "Progress": "fhecost.progress",
}


def page() -> str:
    """The text of docs/api.md."""
    rows = (f"| `{command}` | {_linked(calls)} |" for command, calls in COMMANDS.items())
    parts = [_HEAD, "| command | calls |\n|---|---|\n" + "\n".join(rows)]
    for room, modules in groupby(fhecost.PUBLIC.items(), lambda item: item[0].partition(".")[0]):
        parts.append(f"## {_first_line(import_module(f'fhecost.{room}'))}")
        for _, names in modules:
            parts += [_entry(name, getattr(fhecost, name)) for name in names.split()]
    parts.append("## Types of arguments")
    parts += [_alias(name, module) for name, module in _TYPES.items()]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _linked(names: str) -> str:
    return ", ".join(f"[`{name}`](#{name})" for name in names.split(", "))


def _first_line(module: Any) -> str:
    return _markdown((inspect.getdoc(module) or "").partition("\n")[0].rstrip("."))


def _entry(name: str, thing: Any) -> str:
    parts = [f"### `{name}`", _code(name, thing), _description(thing)]
    if inspect.isclass(thing) and not issubclass(thing, BaseModel | Exception):
        parts += [
            f"#### `{name}.{method}`\n\n{_code(method, member)}\n\n{_description(member)}"
            for method, member in _methods(thing)
        ]
    return "\n\n".join(part for part in parts if part)


def _methods(thing: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name in vars(thing):
        member = getattr(thing, name)
        if callable(member) and (name == "__call__" or not name.startswith("_")):
            yield name, member


def _code(name: str, thing: Any) -> str:
    """The signature; of a model its fields, which nobody passes."""
    if inspect.isclass(thing) and issubclass(thing, BaseModel):
        lines = [f"    {field}: {note}" for field, note in _annotations(thing)]
        return _python("\n".join([f"class {name}:", *lines]))
    if inspect.isclass(thing) and issubclass(thing, Exception) and "__init__" not in vars(thing):
        return ""
    signature = inspect.signature(thing)
    written = [
        _parameter(parameter)
        for parameter in signature.parameters.values()
        if parameter.name != "self"
    ]
    star = inspect.Parameter.KEYWORD_ONLY
    kinds = [p.kind for p in signature.parameters.values() if p.name != "self"]
    if star in kinds and inspect.Parameter.VAR_POSITIONAL not in kinds:
        written.insert(kinds.index(star), "*")
    end = "" if inspect.isclass(thing) else f" -> {_name(signature.return_annotation)}"
    line = f"{name}({', '.join(written)}){end}"
    if len(line) > _WIDTH:
        line = "\n".join([f"{name}(", *(f"    {part}," for part in written), f"){end}"])
    return _python(line)


def _python(code: str) -> str:
    """``code`` in a block, with the quotes that the source has."""
    return "```python\n" + code.replace("'", '"') + "\n```"


def _annotations(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    for base in reversed(model.__mro__):
        for field, note in vars(base).get("__annotations__", {}).items():
            if field in model.model_fields:
                yield field, _name(note)


def _parameter(parameter: inspect.Parameter) -> str:
    written = parameter.name
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        written = ("*" if parameter.kind is parameter.VAR_POSITIONAL else "**") + written
    if parameter.annotation is not parameter.empty:
        written += f": {_name(parameter.annotation)}"
    if parameter.default is parameter.empty:
        return written
    default = parameter.default
    return f"{written} = {default.__name__ if inspect.isfunction(default) else repr(default)}"


def _name(annotation: Any) -> str:
    """An annotation as it stands in the source, without the fields' checks."""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "…")
    return re.sub(r"Annotated\[(.+?), Field\(.*\)\]", r"\1", text)


def _description(thing: Any) -> str:
    """What the docstring says, its arguments as a list."""
    text, *sections = re.split(
        r"\n\n(?=(?:Args|Returns|Raises|Yields):\n)", inspect.getdoc(thing) or ""
    )
    parts = [_markdown(text)]
    for section in sections:
        title, _, body = section.partition(":\n")
        body = textwrap.dedent(body)
        if title in ("Args", "Raises"):
            items = re.findall(r"^(\S+?): ((?:.|\n(?= ))+)", body, re.MULTILINE)
            listed = (f"- `{name}`: {_markdown(_joined(about))}" for name, about in items)
            parts.append(f"{title}:\n\n" + "\n".join(listed))
        else:
            parts.append(f"{title} {_markdown(_joined(body))}")
    return "\n\n".join(parts)


def _joined(text: str) -> str:
    return " ".join(text.split())


def _markdown(text: str) -> str:
    """Python's marks for code as Markdown's."""
    return re.sub(r":\w+:`(?:fhecost\.)?([^`]+)`", r"`\1`", text).replace("``", "`")


def _alias(name: str, module: str) -> str:
    """A type's name, what it stands for, and the text beneath it in its module."""
    source = Path(str(import_module(module).__file__)).read_text(encoding="utf-8")
    body = ast.parse(source).body
    for index, node in enumerate(body):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            below = body[index + 1]
            assert isinstance(below, ast.Expr)
            assert isinstance(below.value, ast.Constant)
            line = f"{name} = {ast.unparse(node.value)}"
            if len(line) > _WIDTH:
                kinds = ast.unparse(node.value).split(" | ")
                line = "\n    | ".join([f"{name} = (\n    {kinds[0]}", *kinds[1:]]) + "\n)"
            return f"### `{name}`\n\n{_python(line)}\n\n{_markdown(str(below.value.value))}"
    raise LookupError(f"{module} has no {name}")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
