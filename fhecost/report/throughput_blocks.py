"""Many requests at once, in words: when all are answered, and what a machine keeps up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fhecost.hardware.estimate import MANY_TOKENS, Throughput
from fhecost.hardware.names import PbsChoice
from fhecost.hardware.throughput import FULL
from fhecost.report.columns import Table, names, numbers
from fhecost.report.document import Block, Heading, Note
from fhecost.report.pbs_words import pbs_columns
from fhecost.units import duration, energy, price, share, span


def throughput_blocks(
    rows: Sequence[Throughput], asked: PbsChoice | None = None, at: str = ""
) -> Iterator[Block]:
    """A table of the machines, and one of tokens; nothing where no requests were asked for.

    ``asked`` is the kind of PBS that was asked for, if any was, ``at`` says of what this is.
    """
    if not rows:
        return
    yield Heading(f"{rows[0].requests:,} requests at once{at}")
    yield Table(
        names("machine", (row.hardware for row in rows)),
        *pbs_columns(rows, asked),
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
    if rows[0].tokens is None:
        return
    tokens = rows[0].tokens
    yield Table(
        names("machine", (row.hardware for row in rows)),
        numbers("tokens a second", (tokens * row.per_second for row in rows), "{:.3g}".format),
        numbers(
            f"{MANY_TOKENS:,} tokens cost", (row.price_usd_of_1000_tokens for row in rows), price
        ),
        numbers("energy a token", (row.energy_j_of_token for row in rows), energy),
        title=f"a request {'makes one token' if tokens == 1 else f'reads {tokens:,} tokens'}:",
    )
