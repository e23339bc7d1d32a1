"""Run the notebooks of ``examples`` and keep what they print: python docs/make_notebooks.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def executed(path: Path) -> str:
    """The text of a notebook with what its cells print now.

    Raises:
        CellExecutionError: a cell fails.
    """
    notebook: Any = nbformat.read(path, as_version=4)
    folder = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=120, record_timing=False, resources=folder).execute()
    # Which version of Python ran it says nothing of it.
    notebook.metadata["language_info"] = {"name": "python"}
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    for each in sorted(EXAMPLES.glob("*.ipynb")):
        each.write_text(executed(each), encoding="utf-8")
