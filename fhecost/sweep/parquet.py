"""Results as a Parquet file, by pyarrow, in a process of its own.

Recent versions of pyarrow refuse to load beside NumPy 1, which Concrete needs; without any NumPy
they do load, and what is written here needs none.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fhecost.errors import ImpossibleError, UsageError
from fhecost.files import AnyPath, write_result
from fhecost.processes import child_command
from fhecost.sweep.records import SweepResult
from fhecost.sweep.table import columns_of, rows_of


def check_pyarrow() -> None:
    """Raise a UsageError unless pyarrow is installed."""
    if importlib.util.find_spec("pyarrow") is None:
        raise UsageError("Parquet needs: pip install 'fhecost[parquet]'")


def write_parquet(results: Iterable[SweepResult], path: AnyPath) -> None:
    """Write ``results`` as a Parquet file: a row a point, columns as in CSV.

    Raises:
        UsageError: pyarrow isn't installed, or the file can't be written.
        ImpossibleError: pyarrow can't write them; says why.
    """
    check_pyarrow()
    rows = rows_of(results)
    columns = {name: _of_one_type([row.get(name) for row in rows]) for name in columns_of(rows)}
    ran = subprocess.run(
        child_command("fhecost.sweep.parquet_process"),
        input=json.dumps(columns).encode(),
        capture_output=True,
        check=False,
    )
    if ran.returncode != 0:
        lines = ran.stderr.decode(errors="replace").strip().splitlines()
        why = lines[-1] if lines else f"it ended with status {ran.returncode}"
        raise ImpossibleError(f"pyarrow can't write the table: {why}")
    write_result(Path(path), ran.stdout)


def _of_one_type(values: list[Any]) -> list[Any]:
    """A column whose whole numbers are floats where any number is one."""
    if any(isinstance(value, float) for value in values):
        return [float(value) if type(value) is int else value for value in values]
    return values
