"""Columns as JSON on standard input, a Parquet file on standard output; without NumPy."""

from __future__ import annotations

import io
import json
import sys


def write() -> None:
    """Write the table; see the module."""
    # As if it weren't installed: pyarrow takes none rather than an old one.
    sys.modules["numpy"] = None  # type: ignore[assignment]
    import pyarrow
    from pyarrow import parquet

    stream = io.BytesIO()
    parquet.write_table(pyarrow.table(json.load(sys.stdin)), stream)
    sys.stdout.buffer.write(stream.getvalue())


if __name__ == "__main__":
    write()
