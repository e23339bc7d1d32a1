"""What ``fhecost cache`` says: how much is kept where, and what of it is damaged."""

from __future__ import annotations

import os
from functools import partial

from fhecost.caches import CacheReport
from fhecost.report.columns import Table, column, numbers, records
from fhecost.report.document import Document, Listing, Text
from fhecost.units import amount

_FIELDS = ("name", "folder", "entries", "size_bytes", "most_bytes", "damaged")


def cache_document(report: CacheReport) -> Document:
    """A line a cache."""
    caches, size = report.caches, partial(amount, unit="B")
    damaged = [None if one.damaged is None else len(one.damaged) for one in caches]
    table = Table(
        column("cache", (one.name for one in caches)),
        numbers("entries", (one.entries for one in caches)),
        numbers("size", (one.size_bytes for one in caches), size),
        numbers("at most", (one.most_bytes for one in caches), size),
        *([] if None in damaged else [numbers("damaged", damaged)]),
    )
    files = tuple(os.path.relpath(path, report.folder) for path in report.damaged)
    return Document(
        blocks=(
            Text(f"in {report.folder}"),
            table,
            *([Text(Listing("not what was kept", files))] if files else []),
        ),
        records=records(
            _FIELDS,
            ({**dict(one), "damaged": n} for one, n in zip(caches, damaged, strict=True)),
        ),
        report=report,
    )
