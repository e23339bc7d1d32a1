"""Circuit profiles of compiled circuits, kept in the user's cache folder.

A profile is all that an estimate needs of a circuit, so a cached one saves the compilation. The key
is a hash of everything that the circuit depends on: the caller names weights, sentence and options;
the versions of Concrete and the source of fhecost's own circuit code are added here.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

from fhecost.caches import cache_named
from fhecost.circuits.profile import CircuitProfile
from fhecost.data import data_folder

_PACKAGES_THAT_SHAPE_A_CIRCUIT = (
    "quantization", "models", "heads", "circuits", "concrete", "gpt2", "closed_form",
)  # fmt: skip


@cache
def code_fingerprint(others: tuple[str, ...] = ()) -> str:
    """SHA-256 of the source that shapes circuits, and of ``others`` of fhecost's packages."""
    digest = hashlib.sha256()
    for package in (*_PACKAGES_THAT_SHAPE_A_CIRCUIT, *others):
        folder = Path(str(files("fhecost"))) / package
        for path in sorted([*folder.glob("*.py"), *folder.glob("*.txt")]):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    for name in ("circuits.json.gz", "errors.json"):
        digest.update((data_folder("experiments/closed_form") / name).read_bytes())
    return digest.hexdigest()


def key_of(parts: Mapping[str, str | int], packages: Iterable[str]) -> str:
    """The key of what ``parts`` say, as fhecost's code and the installed ``packages`` make it."""
    versions = {"code": code_fingerprint()}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "absent"
    canonical = json.dumps({"parts": dict(parts), "versions": versions}, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def through_cache(
    parts: Mapping[str, str | int], make: Callable[[], CircuitProfile]
) -> CircuitProfile:
    """The profile of what ``parts`` say from the cache, or what ``make`` gives, which is kept.

    An entry that doesn't verify, and a folder that can't be written, are warnings.
    """
    key = key_of(parts, ("concrete-python", "numpy", "torch", "transformers"))
    cache = cache_named("circuits")
    kept = cache.get(key, CircuitProfile)
    if kept is not None:
        return kept
    profile = make()
    cache.put(key, profile)
    return profile
