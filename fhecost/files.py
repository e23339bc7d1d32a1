"""Files and folders: reading JSON and YAML with one clear error, writing whole or not at all."""

from __future__ import annotations

import errno
import glob
import json
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from fhecost.errors import UsageError, all_validation_errors, first_of

AnyPath = str | os.PathLike[str]
"""A path as a caller writes it."""

LARGEST_BYTES = 16 * 2**20
"""The largest file of most kinds: hundreds of times what is ever written, and read in a second."""
_UNFINISHED = ".unfinished"
_ABANDONED_S = 600.0
_TRIED_BYTES = 1 << 16
"""Of a file that only tries whether there is room: a usual result has less."""

Model = TypeVar("Model", bound=BaseModel)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write ``content`` to ``path`` by a temporary file beside it, then a rename.

    Raises:
        UsageError: the folder doesn't exist or can't be written, or the disk is full.
    """
    # A link keeps pointing where it did; a device or a pipe has no content to keep whole.
    path = path.resolve()
    data = content.encode() if isinstance(content, str) else content
    temporary: str | None = None
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        remove_abandoned(path)
        handle, temporary = tempfile.mkstemp(_UNFINISHED, f".{path.name}.", path.parent)
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            # A rename may reach the disk before what it names does.
            os.fsync(stream.fileno())
        # mkstemp makes the file private; a result is as readable as any file that the user makes.
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(path)
        temporary = None
    except OSError as error:
        raise not_written(path, error) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def remove_abandoned(path: Path, older_than_s: float = _ABANDONED_S) -> None:
    """Remove what processes that were killed while they wrote ``path`` have left beside it."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*{_UNFINISHED}"):
        with suppress(OSError):
            # Another process may be writing at this moment, for no more than moments.
            if time.time() - left.stat().st_mtime > older_than_s:
                left.unlink()


def not_written(path: Path, error: OSError) -> UsageError:
    """What to raise where ``path`` can't be written."""
    return UsageError(f"{path}: can't be written: {error.strerror or error}")


def write_result(path: Path, content: str | bytes) -> None:
    """Write what took long to come by, as :func:`write_atomically`; elsewhere where that fails.

    Raises:
        UsageError: it isn't in ``path``; says where it is instead.
    """
    try:
        write_atomically(path, content)
    except UsageError as error:
        raise kept_elsewhere(path, content, error) from error


def kept_elsewhere(path: Path, content: str | bytes, why: UsageError) -> UsageError:
    """Keep what ``path`` can't take in another place; the error that says ``why``, and where."""
    for folder in (cache_folder() / "unsaved", Path(tempfile.gettempdir())):
        with suppress(OSError, UsageError):
            folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(f"-{path.name}", dir=folder)
            os.close(handle)
            write_atomically(Path(name), content)
            return UsageError(f"{why}; it is kept in {name}")
    return UsageError(f"{why}; nor is there another place for it")


def read_text(path: Path, largest_bytes: int = LARGEST_BYTES) -> str:
    """The text of ``path``, a regular file: a pipe may never end, and a device has no end.

    Raises:
        UsageError: the file is missing, unreadable, none, larger than ``largest_bytes``, or not
            UTF-8.
    """
    try:
        # Editors on Windows begin a file with a byte order mark, which is no part of its text.
        return read_bytes(path, largest_bytes).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text: byte {error.start}") from error


def read_bytes(path: Path, largest_bytes: int = LARGEST_BYTES) -> bytes:
    """What ``path`` holds, a regular file.

    Raises:
        UsageError: the file is missing, unreadable, none, or larger than ``largest_bytes``.
    """
    try:
        # Opened without waiting: opening a pipe to read waits for whoever writes to it.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise UsageError(f"{path}: can't be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{str(path)!r}: can't be read: {error}") from error
    try:
        with os.fdopen(handle, "rb") as stream:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise UsageError(f"{path}: can't be read: it is a pipe or a device, not a file")
            data = stream.read(largest_bytes + 1)
    except IsADirectoryError as error:
        os.close(handle)
        raise UsageError(f"{path}: can't be read: {error.strerror}") from error
    except OSError as error:
        raise UsageError(f"{path}: can't be read: {error.strerror}") from error
    if len(data) > largest_bytes:
        raise UsageError(
            f"{path}: can't be read: it is larger than {largest_bytes / 2**20:g} MiB, the most for "
            "such a file"
        )
    return data


def read_json(path: Path, largest_bytes: int = LARGEST_BYTES) -> Any:
    """The JSON value in ``path``.

    Raises:
        UsageError: the file can't be read, or as for :func:`parse_json`.
    """
    return parse_json(read_text(path, largest_bytes), f"{path}: ")


def parse_json(text: str, where: str) -> Any:
    """The JSON value in ``text``, which stands at ``where``.

    Raises:
        UsageError: it is none, holds an integer beyond what a float holds or half a character,
            names a key twice, or is too deep.
    """
    try:
        value = json.loads(text, cls=StrictDecoder)
    except json.JSONDecodeError as error:
        raise UsageError(f"{where}not JSON: line {error.lineno}: {error.msg}") from error
    except RecursionError as error:
        raise UsageError(f"{where}not JSON that can be read: it is nested too deeply") from error
    except ValueError as error:
        raise UsageError(f"{where}not JSON that can be read: {error}") from error
    if _HALF_ESCAPE.search(text) and has_half_characters(value):
        raise UsageError(f"{where}not JSON that can be read: half a character (a lone surrogate)")
    return value


_HALF_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


def has_half_characters(value: Any) -> bool:
    """Whether a text in ``value``, of lists and mappings, can't be written as UTF-8."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            left += [*one, *one.values()]
        elif isinstance(one, list):
            left += one
        elif isinstance(one, str):
            try:
                one.encode()
            except UnicodeEncodeError:
                return True
    return False


class StrictDecoder(json.JSONDecoder):
    """JSON whose keys are there once each, and whose integers a float can hold."""

    def __init__(self) -> None:
        super().__init__(parse_int=_integer, object_pairs_hook=_each_once)


def _each_once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:40]!r} is there twice")
        found[key] = value
    return found


def read_model(path: AnyPath, kind: type[Model], largest_bytes: int = LARGEST_BYTES) -> Model:
    """What the JSON in ``path`` says, as one of ``kind``.

    Raises:
        UsageError: as for :func:`read_json`, or a field is missing, unknown or out of range.
    """
    return checked(kind, read_json(Path(path), largest_bytes), f"{path}: ")


def checked(kind: type[Model], content: Any, where: str) -> Model:
    """One of ``kind`` with this content.

    Raises:
        UsageError: a field is missing, unknown or out of range: ``where``, its path, what is wrong.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise UsageError(where + first_of(all_validation_errors(error.errors()))) from error


_MOST_DIGITS = 308
"""No integer of so many digits is beyond what a float holds."""


def _integer(digits: str) -> int:
    # Python's own limit of digits names a function to raise it.
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"the number {digits[:12]}… of {len(digits)} digits is too large")
    return int(digits)


def check_can_write(*paths: Path | None, appended: Sequence[Path | None] = ()) -> None:
    """Fail before long work rather than after it: every path must be writable, and only once.

    It is tried: permissions alone don't tell of a full disk or of one that is only read.

    Args:
        paths: files that will be written anew.
        appended: files that something will be added to.

    Raises:
        UsageError: the folder of a path is missing or read-only, the path is a folder, the disk is
            full, or two paths are the same file.
    """
    seen: set[Path] = set()
    for path in (*paths, *appended):
        if path is None:
            continue
        if path.resolve() in seen:
            raise UsageError(f"{path}: named for two outputs; each needs a file of its own")
        seen.add(path.resolve())
        if not path.parent.is_dir():
            raise UsageError(f"{path}: can't be written: there is no folder {path.parent}")
        if path.is_dir():
            raise UsageError(f"{path}: can't be written: it is a folder")
        try:
            _try_to_write(path.resolve(), adds=path in appended)
        except OSError as error:
            raise not_written(path, error) from error


def _try_to_write(path: Path, *, adds: bool) -> None:
    if path.exists() and not path.is_file():
        # Opening a pipe would wait for its reader.
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return
    if path.exists():
        # Not emptied, not changed.
        path.open("ab").close()
        if adds:
            return
    with tempfile.TemporaryFile(dir=path.parent) as stream:
        stream.write(bytes(_TRIED_BYTES))
        stream.flush()
        os.fsync(stream.fileno())


def cache_folder() -> Path:
    """The user's cache folder: ``FHECOST_CACHE``, else in ``XDG_CACHE_HOME`` or ``~/.cache``.

    Raises:
        UsageError: none of them is there.
    """
    return _user_folder("FHECOST_CACHE", "XDG_CACHE_HOME", ".cache")


def configuration_folder() -> Path:
    """The user's settings: ``FHECOST_CONFIG``, else in ``XDG_CONFIG_HOME`` or ``~/.config``.

    Raises:
        UsageError: none of them is there.
    """
    return _user_folder("FHECOST_CONFIG", "XDG_CONFIG_HOME", ".config")


def _user_folder(own_variable: str, xdg_variable: str, below_home: str) -> Path:
    named = os.environ.get(own_variable)
    if named:
        return Path(named)
    base = os.environ.get(xdg_variable)
    try:
        return (Path(base) if base else Path.home() / below_home) / "fhecost"
    except RuntimeError as error:
        raise UsageError(f"there is no home folder: set {own_variable} to a folder") from error
