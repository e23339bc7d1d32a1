"""Profile what a user's own Python script compiles: ``my_script.py:circuit``."""

from __future__ import annotations

import contextlib
import linecache
import sys
import traceback
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fhecost.circuits.module import ModuleProfile
from fhecost.circuits.profile import CircuitProfile
from fhecost.concrete.compilation import import_concrete, reason_of
from fhecost.concrete.given import is_circuit, is_module, wrong
from fhecost.concrete.module import profile_module
from fhecost.concrete.reader import profile_circuit
from fhecost.errors import FhecostError, UsageError
from fhecost.files import AnyPath, read_text
from fhecost.progress import Progress, silent

_MODULE = "__fhecost_script__"
"""What the script is called while it runs: not ``__main__``, so that it is as if imported."""


def profile_script(
    script: AnyPath, circuit: str | None = None, progress: Progress = silent
) -> CircuitProfile | ModuleProfile:
    """Run a Python script, as importing it would, and profile the circuit that it compiles.

    The script's code is run, whole, with all that it does; what stands under
    ``if __name__ == "__main__"`` isn't. What it prints goes to stderr.

    Args:
        script: a Python file.
        circuit: what the script calls the compiled circuit, module, or function of a module; with
            dots for what an object holds, as in ``database.module.insert``. When None, the only
            one that there is.
        progress: called with the name of each step when it begins.

    Returns:
        The profile of a circuit, or of a module with all its functions.

    Raises:
        UsageError: the script isn't there, fails, or has no such circuit.
        ImpossibleError: the circuit has no cost that is known here.
    """
    path = Path(script)
    source = read_text(path)
    if path.suffix == ".ipynb":
        raise UsageError(f"{path}: a notebook; export it as a Python script")
    progress(f"running {path.name}")
    # For the temporary folders of what it compiles; without Concrete it can compile nothing.
    import_concrete()
    names = _run(path, source)
    progress("reading the circuit")
    name, found = _find(path, names, circuit)
    try:
        if is_module(found):
            return profile_module(found, name=name, source=f"compiled Concrete module, {path.name}")
        return profile_circuit(found, name=name, source=f"compiled Concrete circuit, {path.name}")
    except FhecostError as error:
        raise type(error)(f"{path}: {error}") from error


def _run(path: Path, source: str) -> Mapping[str, Any]:
    """The global names of the script once it has run.

    Raises:
        UsageError: it can't be read as Python, raises, or ends the process; says in which line.
    """
    module = types.ModuleType(_MODULE)
    module.__file__ = str(path)
    try:
        code = compile(source, str(path), "exec")
        with _as_started(path, module), contextlib.redirect_stdout(sys.stderr):
            exec(code, module.__dict__)
    except SyntaxError as error:
        where = path if error.filename is None else error.filename
        raise UsageError(f"{where}:{error.lineno}: SyntaxError: {error.msg}") from error
    except SystemExit as error:
        raise UsageError(
            f"{path}:{_line(path, error)}: the script ends itself; put what is to run only as a "
            'program under: if __name__ == "__main__"'
        ) from error
    except Exception as error:
        said = reason_of(error)
        where = f"{path}:{_line(path, error)}"
        raise UsageError(f"{where}: {type(error).__name__}{': ' if said else ''}{said}") from error
    return module.__dict__


@contextlib.contextmanager
def _as_started(path: Path, module: types.ModuleType) -> Iterator[None]:
    """Imports from the script's own folder, and no arguments, as when Python runs it."""
    arguments, folder = sys.argv, str(path.parent.resolve())
    sys.path.insert(0, folder)
    sys.argv = [str(path)]
    # Classes of the script are looked up by the name of their module.
    sys.modules[_MODULE] = module
    linecache.checkcache(str(path))
    try:
        yield
    finally:
        sys.argv = arguments
        sys.path.remove(folder)


def _line(path: Path, error: BaseException) -> int:
    """The line of the script in which it came to ``error``."""
    lines = [
        line
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename == str(path)
    ]
    return lines[-1] if lines else 1


def _find(path: Path, names: Mapping[str, Any], asked: str | None) -> tuple[str, Any]:
    """What the script calls ``asked``, or all that it has when None; by its name."""
    found = {
        name: value
        for name, value in names.items()
        if not name.startswith("_") and (is_circuit(value) or is_module(value))
    }
    there = f"it has {', '.join(found)}" if found else "it has none at its top level"
    if asked is None:
        # Two names of one object are one circuit.
        if len({id(value) for value in found.values()}) == 1:
            return next(iter(found.items()))
        raise UsageError(f"{path}: say which compiled circuit, as in {path}:NAME; {there}")
    first, *inner = asked.split(".")
    if first not in names:
        raise UsageError(f"{path}: no {first!r} in it; of compiled circuits, {there}")
    value = names[first]
    for index, part in enumerate(inner):
        try:
            value = getattr(value, part)
        except AttributeError as error:
            before = ".".join([first, *inner[:index]])
            functions = list(value.graphs) if is_module(value) else []
            what = f"; it has {', '.join(functions)}" if functions else ""
            raise UsageError(f"{path}: {before} has no {part!r}{what}") from error
    if not (is_circuit(value) or is_module(value)):
        raise UsageError(f"{path}: {asked} {wrong(value)}; of compiled circuits, {there}")
    return asked, value
