"""Concrete's temporary folders, which it makes for each circuit and never removes.

Its ``Server.cleanup`` does nothing (concrete-python 2.11), and a circuit reads its folder as long
as it lives. They are made where all goes at the end of the process.
"""

from __future__ import annotations

import tempfile
from importlib import import_module
from typing import Any

from fhecost.processes import temporary_folder


class _OwnFolders:
    """What Concrete takes for the module ``tempfile``."""

    def mkdtemp(self) -> str:
        """A folder, as ``tempfile.mkdtemp`` makes one."""
        return str(temporary_folder("circuit-"))

    def __getattr__(self, name: str) -> Any:
        return getattr(tempfile, name)


def own_folders() -> None:
    """Have Concrete make the folders of circuits where they are removed."""
    server = import_module("concrete.fhe.compilation.server")
    if server.__dict__.get("tempfile") is tempfile:
        server.__dict__["tempfile"] = _OwnFolders()
