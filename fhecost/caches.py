"""What is kept in the user's cache folder: entries that verify, or are made anew.

An entry is a file that holds its key and the SHA-256 of its key and content. One that was damaged,
changed, or is there under another's key is never used. Each cache is bounded: what was used longest
ago goes first.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, Field

from fhecost.errors import UsageError
from fhecost.files import cache_folder, checked, read_json, write_atomically
from fhecost.frozen import Frozen

_SUFFIXES = (".json", ".jsonl")
"""Of entries; JSON lines are what fhecost 0.1 kept."""

Kept = TypeVar("Kept", bound=BaseModel)


class _Entry(Frozen):
    """The file of an entry."""

    schema_version: Literal[1] = 1
    key: str
    sha256: str
    content: Any


class CacheUse(Frozen):
    """How much one cache holds, and the most that it may; ``damaged`` entries don't verify.

    ``damaged`` is None where that wasn't looked at.
    """

    name: str
    folder: str
    entries: int
    size_bytes: int
    most_bytes: int
    damaged: tuple[str, ...] | None = None


class CacheReport(Frozen):
    """What ``fhecost cache`` prints: all caches as they are, or were before they were emptied."""

    schema_version: Literal[1] = 1
    folder: str = Field(description="the user's cache folder")
    caches: tuple[CacheUse, ...]

    @property
    def damaged(self) -> list[str]:
        """The files of all entries that don't verify."""
        return [path for one in self.caches for path in one.damaged or ()]


@dataclass(frozen=True)
class Cache:
    """One folder of entries in the user's cache folder, of ``most_bytes`` together."""

    name: str
    most_bytes: int

    @property
    def folder(self) -> Path:
        """Where the entries are."""
        return cache_folder() / self.name

    def get(self, key: str, kind: type[Kept]) -> Kept | None:
        """What is kept under ``key``; None for nothing. What doesn't verify is warned of.

        Args:
            key: says all that the entry depends on, as a SHA-256.
            kind: what the entry holds.
        """
        path = self._path(key)
        try:
            if not path.is_file():
                return None
            kept = checked(kind, _verified(path), f"{path}: ")
        except (OSError, UsageError) as error:
            warnings.warn(f"cache entry not used, made anew: {error}", stacklevel=3)
            return None
        # Used now: others are older.
        with suppress(OSError):
            os.utime(path)
        return kept

    def put(self, key: str, kept: BaseModel) -> None:
        """Keep ``kept`` under ``key``; a folder that can't be written is a warning."""
        content = kept.model_dump(mode="json")
        entry = _Entry(key=key, sha256=_digest(key, content), content=content)
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, entry.model_dump_json() + "\n")
            self._trim(path)
        except (OSError, UsageError) as error:
            warnings.warn(f"not kept in the cache: {error}", stacklevel=3)

    def use(self, *, verify: bool = False) -> CacheUse:
        """How much there is, and with ``verify`` which entries are damaged."""
        paths = sorted(self._files())
        entries = [path for path in paths if path.suffix in _SUFFIXES]
        return CacheUse(
            name=self.name,
            folder=str(self.folder),
            entries=len(entries),
            size_bytes=sum(map(_size, paths)),
            most_bytes=self.most_bytes,
            damaged=tuple(str(path) for path in entries if _fault(path)) if verify else None,
        )

    def clear(self) -> None:
        """Remove all entries, and nothing else.

        Raises:
            UsageError: one can't be removed.
        """
        for path in self._files():
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise UsageError(f"{path}: can't be removed: {error.strerror}") from error

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    def _files(self) -> Iterator[Path]:
        """The files of entries, and those that a write broke off has left."""
        try:
            found = list(self.folder.iterdir()) if self.folder.is_dir() else []
        except OSError as error:
            raise UsageError(f"{self.folder}: can't be read: {error.strerror}") from error
        for path in found:
            if path.suffix in _SUFFIXES or any(f"{one}." in path.name for one in _SUFFIXES):
                yield path

    def _trim(self, newest: Path) -> None:
        """Remove what was used longest ago until the rest, ``newest`` with it, is small enough."""
        others = [path for path in self._files() if path != newest]
        left = _size(newest) + sum(map(_size, others))
        for path in sorted(others, key=_used):
            if left <= self.most_bytes:
                break
            left -= _size(path)
            with suppress(OSError):
                path.unlink()


CACHES = (
    Cache("circuits", 250_000_000),
    Cache("accuracy", 30_000_000),
    Cache("calibration", 100_000_000),
)
"""All caches: circuit profiles, rows of accuracy, and what heads are quantized from."""


def cache_named(name: str) -> Cache:
    """The cache that is called ``name``."""
    return next(one for one in CACHES if one.name == name)


def cache_info() -> CacheReport:
    """What ``fhecost cache info`` does: how much is kept, where, and how much it may become.

    Raises:
        UsageError: a cache can't be read.
    """
    return CacheReport(folder=str(cache_folder()), caches=tuple(one.use() for one in CACHES))


def verify_cache() -> CacheReport:
    """What ``fhecost cache verify`` does: hold every entry to its key and its hash.

    Raises:
        UsageError: a cache can't be read.
    """
    uses = tuple(one.use(verify=True) for one in CACHES)
    return CacheReport(folder=str(cache_folder()), caches=uses)


def clear_cache() -> CacheReport:
    """What ``fhecost cache clear`` does: remove all entries of all caches.

    Returns:
        What there was.

    Raises:
        UsageError: an entry can't be removed.
    """
    report = cache_info()
    for one in CACHES:
        one.clear()
    return report


def _verified(path: Path) -> Any:
    """The content of the entry in ``path``.

    Raises:
        UsageError: it can't be read, or is not what was kept under the key that its name says.
    """
    entry = checked(_Entry, read_json(path), f"{path}: ")
    if entry.key != path.stem:
        raise UsageError(f"{path}: key: that of another entry")
    if entry.sha256 != _digest(entry.key, entry.content):
        raise UsageError(f"{path}: sha256: not that of its content")
    return entry.content


def _fault(path: Path) -> str:
    """What is wrong with the entry in ``path``; empty for nothing."""
    try:
        _verified(path)
    except UsageError as error:
        return str(error)
    return ""


def _digest(key: str, content: Any) -> str:
    canonical = json.dumps([key, content], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0


def _used(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0
