"""Results as a Parquet file, by pyarrow, which is needed for nothing else."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fhecost.errors import UsageError
from fhecost.files import AnyPath, write_result
from fhecost.sweep.records import SweepResult
from fhecost.sweep.table import columns_of, rows_of


def import_pyarrow() -> Any:
    """The module ``pyarrow``.

    Raises:
        UsageError: it isn't installed.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise UsageError("Parquet needs: pip install 'fhecost[parquet]'") from error
    return pyarrow


def write_parquet(results: Iterable[SweepResult], path: AnyPath) -> None:
    """Write ``results`` as a Parquet file: a row a point, columns as in CSV.

    Raises:
        UsageError: pyarrow isn't installed, or the file can't be written.
    """
    pyarrow = import_pyarrow()
    from pyarrow import parquet

    rows = rows_of(results)
    columns = {name: _values([row.get(name) for row in rows]) for name in columns_of(rows)}
    stream = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), stream)
    write_result(Path(path), stream.getvalue())


def _values(values: list[Any]) -> list[Any]:
    """A column is of one type: where there are numbers with a point, all have one."""
    if any(isinstance(value, float) for value in values):
        return [float(value) if type(value) is int else value for value in values]
    return values
