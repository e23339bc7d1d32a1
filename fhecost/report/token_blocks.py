"""What a token costs, and a thousand of them, where a circuit makes tokens or reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fhecost.circuits.description import CircuitDescription
from fhecost.hardware.comparison import ComparisonRow
from fhecost.hardware.estimate import MANY_TOKENS, Estimate
from fhecost.report.columns import Table, names, numbers
from fhecost.report.document import Block, Heading, Note
from fhecost.units import duration, energy, price, span


def token_blocks(
    said: CircuitDescription, machines: Sequence[Estimate] | Sequence[ComparisonRow]
) -> Iterator[Block]:
    """Time, money and energy of a token and of a thousand, by machine; nothing for other scopes."""
    tokens = said.tokens_of_run
    if tokens is None or not machines:
        return
    yield Heading("Per token")
    yield _costs("a token:", machines, 1 / tokens)
    yield _costs(f"{MANY_TOKENS:,} tokens:", machines, MANY_TOKENS / tokens)
    what = "makes one token" if tokens == 1 else f"reads {tokens:,} tokens in one go"
    yield Note(
        f"a run {what}; one run after the other, each as long as this one; energy: at full power "
        "all the time; -: unknown"
    )


def _costs(of: str, machines: Sequence[Estimate] | Sequence[ComparisonRow], runs: float) -> Table:
    """Of so many runs: how long they take, what they cost, and what energy they need."""
    prices, energies = [one.price_usd for one in machines], [one.energy_j for one in machines]
    return Table(
        names("machine", (one.hardware for one in machines)),
        numbers("time", (runs * one.latency_s for one in machines), duration),
        numbers("range", (span(runs * one.low_s, runs * one.high_s) for one in machines)),
        numbers("price", (None if one is None else runs * one for one in prices), price),
        numbers("energy", (None if one is None else runs * one for one in energies), energy),
        title=of,
    )
