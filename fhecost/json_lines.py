"""Files of JSON lines: added to line by line, and read past what a crash has torn.

A line ends with a line feed and nothing else: JSON may hold other characters that end lines in some
places, such as U+2028.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fhecost.errors import UsageError
from fhecost.files import (
    LARGEST_BYTES,
    AnyPath,
    StrictDecoder,
    has_half_characters,
    not_written,
    read_bytes,
)

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def append_line(path: AnyPath, line: str) -> None:
    """Add ``line`` to the file, whole or not at all, and wait until it is on the disk.

    What was in the file stays. A torn last line, which lacks its end, is ended first.

    Raises:
        UsageError: the file can't be written, or the disk is full; it is then as it was before.
    """
    path = Path(path)
    try:
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    except OSError as error:
        raise not_written(path, error) from error
    try:
        # Where a file system has no locks, two writers that meet are told apart by O_APPEND alone.
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        _append(handle, line.encode() + b"\n")
    except OSError as error:
        raise not_written(path, error) from error
    finally:
        os.close(handle)


class KeptLines:
    """A file of JSON lines that one process alone adds to; see :func:`kept_lines`."""

    def __init__(self, path: Path, handle: int) -> None:
        self._path, self._handle = path, handle

    def append(self, line: str) -> None:
        """Add ``line`` as :func:`append_line` does.

        Raises:
            UsageError: the disk is full; the file is then as it was before.
        """
        try:
            _append(self._handle, line.encode() + b"\n")
        except OSError as error:
            raise not_written(self._path, error) from error


@contextmanager
def kept_lines(path: AnyPath) -> Iterator[KeptLines]:
    """Keep the file, which is made where it isn't there, from others that would keep it too.

    Raises:
        UsageError: it can't be written, or another process keeps it.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise UsageError(f"{path}: can't be written: not a file that could be gone on with")
    handle = _locked(path)
    try:
        yield KeptLines(path, handle)
    finally:
        # A file that was made for nothing goes; whoever waits for it makes it anew.
        with suppress(OSError):
            own = os.fstat(handle)
            if own.st_size == 0 and os.path.samestat(own, path.stat()):
                path.unlink()
        os.close(handle)


_PATIENCE_S = 2.0
"""Children of a process that was killed hold its files for a moment longer."""


def _locked(path: Path) -> int:
    """The file, opened and locked; one that was put in its place meanwhile is opened instead."""
    end = time.monotonic() + _PATIENCE_S
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        except OSError as error:
            raise not_written(path, error) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            if time.monotonic() > end:
                fault = "another process is adding to it; wait for its end, or name another file"
                raise UsageError(f"{path}: can't be written: {fault}") from error
            time.sleep(_PATIENCE_S / 20)
            continue
        except OSError:
            # A file system without locks.
            return handle
        with suppress(OSError):
            if os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        os.close(handle)


def _append(handle: int, data: bytes) -> None:
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        _write(handle, data)
        return
    if status.st_size and os.pread(handle, 1, status.st_size - 1) != b"\n":
        data = b"\n" + data
    try:
        _write(handle, data)
        os.fsync(handle)
    except BaseException:
        # A part of a line would be in the way of all that come after it.
        with suppress(OSError):
            os.ftruncate(handle, status.st_size)
        raise


def _write(handle: int, data: bytes) -> None:
    """Write all of ``data``: one call may take only a part, as where the disk is nearly full."""
    left = memoryview(data)
    while left:
        left = left[os.write(handle, left) :]


def read_json_lines(path: AnyPath, largest_bytes: int = LARGEST_BYTES) -> list[tuple[int, Any]]:
    """The JSON values in the file, each with the number of its line.

    Two values that a missing line feed has joined are both there. A torn line, which is no JSON,
    is left out with a warning.

    Raises:
        UsageError: the file can't be read, or all its lines are torn.
    """
    found: list[tuple[int, Any]] = []
    torn: list[str] = []
    lines = read_bytes(Path(path), largest_bytes).removeprefix(_BYTE_ORDER_MARK).split(b"\n")
    for number, line in enumerate(lines, start=1):
        values, fault = _values(line)
        found += [(number, value) for value in values]
        if fault:
            torn.append(f"line {number}: not JSON: {fault}")
    if torn:
        others = f" (and {len(torn) - 1} more)" if len(torn) > 1 else ""
        if not found:
            raise UsageError(f"{path}: {torn[0]}{others}")
        warnings.warn(f"{path}: left out: {torn[0]}{others}", stacklevel=2)
    return found


def _values(line: bytes) -> tuple[list[Any], str]:
    """The JSON values that a line begins with, nothing between them, and what is wrong after."""
    values: list[Any] = []
    decoder = StrictDecoder()
    try:
        rest = line.decode().strip()
        while rest:
            value, end = decoder.raw_decode(rest)
            if has_half_characters(value):
                return values, "half a character (a lone surrogate)"
            values.append(value)
            rest = rest[end:].lstrip()
    except json.JSONDecodeError as error:
        return values, error.msg
    except RecursionError:
        return values, "it is nested too deeply"
    except ValueError as error:
        return values, str(error)
    return values, ""
