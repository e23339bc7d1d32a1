"""Many requests at once, in words: when all are answered, and what a machine keeps up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fhecost.hardware.estimate import Throughput
from fhecost.hardware.throughput import FULL
from fhecost.report.columns import Table, names, numbers
from fhecost.report.document import Block, Heading, Note
from fhecost.units import duration, energy, price, share, span


def throughput_blocks(rows: Sequence[Throughput]) -> Iterator[Block]:
    """A table of the machines; nothing where no requests were asked for."""
    if not rows:
        return
    yield Heading(f"{rows[0].requests:,} requests at once")
    yield Table(
        names("machine", (row.hardware for row in rows)),
        numbers("all done", (row.latency_s for row in rows), duration),
        numbers("range", (span(row.low_s, row.high_s) for row in rows)),
        numbers("a second", (row.per_second for row in rows), "{:.3g}".format),
        numbers("full at", (row.full_at for row in rows)),
        numbers("energy", (row.energy_j for row in rows), energy),
        numbers("1,000 cost", (row.price_of(1000) for row in rows), price),
        fixed=1,
    )
    yield Note(
        "independent inputs under one key, in batches that each run as one wider circuit; full at: "
        f"the batch that reaches {share(FULL)} of what larger ones do; energy: of each; -: unknown"
    )
