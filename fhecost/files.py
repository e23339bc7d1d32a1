"""Files and folders: reading JSON and YAML with one clear error, writing whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from fhecost.errors import UsageError, all_validation_errors, first_of

AnyPath = str | os.PathLike[str]
"""A path as a caller writes it."""

Model = TypeVar("Model", bound=BaseModel)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write ``content`` to ``path`` by a temporary file beside it, then a rename.

    Raises:
        UsageError: the folder doesn't exist or can't be written.
    """
    # A link keeps pointing where it did; a device or a pipe has no content to keep whole.
    path = path.resolve()
    data = content.encode() if isinstance(content, str) else content
    temporary: str | None = None
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        # mkstemp makes the file private; a result is as readable as any file that the user makes.
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise UsageError(f"{path}: can't be written: {error.strerror}") from error


def read_text(path: Path) -> str:
    """The text of ``path``.

    Raises:
        UsageError: the file is missing, unreadable or not UTF-8.
    """
    try:
        # Editors on Windows begin a file with a byte order mark, which is no part of its text.
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text: byte {error.start}") from error


def read_json(path: Path) -> Any:
    """The JSON value in ``path``.

    Raises:
        UsageError: the file is missing or not JSON, or holds an integer beyond what a float holds.
    """
    try:
        return json.loads(read_text(path), parse_int=_integer)
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}: not JSON: line {error.lineno}: {error.msg}") from error
    except (RecursionError, ValueError) as error:
        raise UsageError(f"{path}: not JSON that can be read: {error}") from error


def read_model(path: AnyPath, kind: type[Model]) -> Model:
    """What the JSON in ``path`` says, as one of ``kind``.

    Raises:
        UsageError: as for :func:`read_json`, or a field is missing, unknown or out of range.
    """
    return checked(kind, read_json(Path(path)), f"{path}: ")


def checked(kind: type[Model], content: Any, where: str) -> Model:
    """One of ``kind`` with this content.

    Raises:
        UsageError: a field is missing, unknown or out of range: ``where``, its path, what is wrong.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise UsageError(where + first_of(all_validation_errors(error.errors()))) from error


def _integer(digits: str) -> int:
    value = int(digits)
    try:
        float(value)
    except OverflowError as error:
        raise ValueError(
            f"the number {digits[:12]}… of {len(digits)} digits is too large"
        ) from error
    return value


def check_can_write(*paths: Path | None) -> None:
    """Fail before long work rather than after it: every path must be writable, and only once.

    Raises:
        UsageError: the folder of a path is missing or read-only, the path is a folder, or two
            paths are the same file.
    """
    seen: set[Path] = set()
    for path in paths:
        if path is None:
            continue
        if path.resolve() in seen:
            raise UsageError(f"{path}: named for two outputs; each needs a file of its own")
        seen.add(path.resolve())
        if not path.parent.is_dir():
            raise UsageError(f"{path}: can't be written: there is no folder {path.parent}")
        if path.is_dir() or not os.access(path.parent, os.W_OK):
            raise UsageError(f"{path}: can't be written")


def cache_folder() -> Path:
    """The user's cache folder: ``FHECOST_CACHE``, else in ``XDG_CACHE_HOME`` or ``~/.cache``."""
    return _user_folder("FHECOST_CACHE", "XDG_CACHE_HOME", ".cache")


def configuration_folder() -> Path:
    """The user's settings: ``FHECOST_CONFIG``, else in ``XDG_CONFIG_HOME`` or ``~/.config``."""
    return _user_folder("FHECOST_CONFIG", "XDG_CONFIG_HOME", ".config")


def _user_folder(own_variable: str, xdg_variable: str, below_home: str) -> Path:
    named = os.environ.get(own_variable)
    if named:
        return Path(named)
    base = os.environ.get(xdg_variable)
    return (Path(base) if base else Path.home() / below_home) / "fhecost"
