"""Run the notebooks of ``examples`` and keep what they print: python docs/make_notebooks.py."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def executed(path: Path) -> str:
    """The text of a notebook with what its cells print now.

    Raises:
        CellExecutionError: a cell fails.
    """
    notebook: Any = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as sockets:
        # Sockets in a folder of ours: nobody else on the machine can listen.
        kernel = KernelManager(transport="ipc", ip=str(Path(sockets) / "kernel"))
        client = NotebookClient(
            *(notebook, kernel), timeout=120, record_timing=False, coalesce_streams=True
        )
        client.resources = {"metadata": {"path": str(path.parent)}}
        try:
            client.execute()
        finally:
            kernel.shutdown_kernel(now=True)
    for output in (each for cell in notebook.cells for each in cell.get("outputs", ())):
        if "text/html" in output.get("data", {}):
            # What is shown as a table isn't told again as one long line.
            output.data.pop("text/plain", None)
    # Which version of Python ran it says nothing of it.
    notebook.metadata["language_info"] = {"name": "python"}
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def main() -> None:
    """Write all notebooks anew; with ``--check`` only name those that would change."""
    changed = []
    for path in sorted(EXAMPLES.glob("*.ipynb")):
        text = executed(path)
        if text != path.read_text(encoding="utf-8"):
            changed.append(f"{path.name} has changed")
            if "--check" not in sys.argv:
                path.write_text(text, encoding="utf-8")
    if "--check" in sys.argv:
        sys.exit("\n".join(changed) or 0)


if __name__ == "__main__":
    main()
