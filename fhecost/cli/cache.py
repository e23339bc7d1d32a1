"""What is kept between runs: ``fhecost cache``."""

from __future__ import annotations

from collections.abc import Iterator

import typer

from fhecost.cli.options import prints
from fhecost.errors import ImpossibleError
from fhecost.report.document import Document

app = typer.Typer(help="What is kept of earlier runs: info, verify, clear.", no_args_is_help=True)


@app.command()
@prints()
def info() -> Iterator[Document]:
    """Show how much is kept, where, and how much it may become."""
    from fhecost.caches import cache_info
    from fhecost.report.cache_document import cache_document

    yield cache_document(cache_info())


@app.command()
@prints()
def verify() -> Iterator[Document]:
    """Hold every entry to its key and its hash; exit 1 where one isn't what was kept.

    Such an entry is never used: what it should hold is made anew when it is needed.
    """
    from fhecost.caches import verify_cache
    from fhecost.report.cache_document import cache_document

    report = verify_cache()
    yield cache_document(report)
    if len(report.damaged) == 1:
        raise ImpossibleError("1 entry doesn't verify; it is never used")
    if report.damaged:
        raise ImpossibleError(f"{len(report.damaged)} entries don't verify; they are never used")


@app.command()
@prints()
def clear() -> Iterator[Document]:
    """Remove all entries, and show what there was."""
    from fhecost.caches import clear_cache
    from fhecost.report.cache_document import cache_document

    yield cache_document(clear_cache())
