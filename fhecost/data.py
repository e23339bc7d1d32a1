"""Where the data that the package needs lies: in the wheel, or beside the package in a checkout."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def data_folder(name: str) -> Path:
    """The folder ``hardware`` or ``models/embedded`` that fhecost was installed with.

    A wheel carries it under ``fhecost/data``; an editable install uses the checkout's own.

    Raises:
        FileNotFoundError: neither place has it: the installation is broken.
    """
    package = Path(str(files("fhecost")))
    for candidate in (package / "data" / name, package.parent / name):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(f"fhecost was installed without its data folder {name!r}")
