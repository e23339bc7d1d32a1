"""Circuit profiles of compiled circuits, kept in the user's cache folder.

A profile is all that an estimate needs of a circuit, so a cached one saves the compilation. The key
is a hash of everything that the circuit depends on: the caller names weights, sentence and options;
the versions of Concrete and the source of fhecost's own circuit code are added here.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import warnings
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

from fhecost.circuits.profile import CircuitProfile, load_profile, save_profile
from fhecost.errors import UsageError
from fhecost.files import cache_folder

_PACKAGES_THAT_SHAPE_A_CIRCUIT = (
    "quantization", "models", "heads", "circuits", "concrete", "gpt2", "closed_form",
)  # fmt: skip


@cache
def code_fingerprint() -> str:
    """SHA-256 of the source that shapes circuits."""
    digest = hashlib.sha256()
    for package in _PACKAGES_THAT_SHAPE_A_CIRCUIT:
        folder = Path(str(files("fhecost"))) / package
        for path in sorted([*folder.glob("*.py"), *folder.glob("*.txt")]):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def cache_key(parts: Mapping[str, str | int]) -> str:
    """The name of a circuit in the cache."""
    versions = {"code": code_fingerprint()}
    for package in ("concrete-python", "numpy", "torch", "transformers"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "absent"
    canonical = json.dumps({"parts": dict(parts), "versions": versions}, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _path(key: str) -> Path:
    return cache_folder() / "circuits" / f"{key}.json"


def cached_profile(key: str) -> CircuitProfile | None:
    """The profile under ``key``; None when there is none or when its file is damaged."""
    path = _path(key)
    if not path.is_file():
        return None
    try:
        return load_profile(path)
    except UsageError as error:
        warnings.warn(f"damaged cache entry, compiling again: {error}", stacklevel=2)
        return None


def keep_profile(key: str, profile: CircuitProfile) -> None:
    """Keep ``profile`` under ``key``; a cache folder that can't be written is a warning."""
    path = _path(key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_profile(profile, path)
    except (OSError, UsageError) as error:
        warnings.warn(f"the circuit profile can't be cached: {error}", stacklevel=2)
