"""What a token costs, and a thousand of them, where a circuit makes tokens or reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from fhecost.circuits.description import CircuitDescription
from fhecost.hardware.estimate import MANY_TOKENS, TokenCost
from fhecost.report.columns import Table, names, numbers
from fhecost.report.document import Block, Heading, Note
from fhecost.units import duration, energy, price, span

_NAMES = {1: "token", MANY_TOKENS: "thousand_tokens"}
_FIELDS = ("latency_s", "low_s", "high_s", "energy_j", "price_usd")
TOKEN_FIELDS = tuple(f"{name}_{field}" for name in _NAMES.values() for field in _FIELDS)
"""Fields of a machine's record; empty for what makes no token."""


def token_blocks(said: CircuitDescription, costs: Sequence[TokenCost]) -> Iterator[Block]:
    """Time, money and energy of a token and of a thousand, by machine; nothing for other scopes."""
    if not costs:
        return
    yield Heading("Per token")
    for tokens in _NAMES:
        title = "a token:" if tokens == 1 else f"{tokens:,} tokens:"
        yield _costs(title, [one for one in costs if one.tokens == tokens])
    read = said.tokens_of_run
    what = "makes one token" if read == 1 else f"reads {read:,} tokens in one go"
    yield Note(
        f"a run {what}; one run after the other, each as long as this one; energy: at full power "
        "all the time; -: unknown"
    )


def token_records(costs: Sequence[TokenCost]) -> Mapping[str, Mapping[str, float | None]]:
    """By machine, what stands in its ``TOKEN_FIELDS``."""
    found: dict[str, dict[str, float | None]] = {}
    for one in costs:
        of_machine, name = found.setdefault(one.hardware, {}), _NAMES[one.tokens]
        for field in _FIELDS:
            of_machine[f"{name}_{field}"] = getattr(one, field)
    return found


def _costs(title: str, costs: Sequence[TokenCost]) -> Table:
    return Table(
        names("machine", (one.hardware for one in costs)),
        numbers("time", (one.latency_s for one in costs), duration),
        numbers("range", (span(one.low_s, one.high_s) for one in costs)),
        numbers("price", (one.price_usd for one in costs), price),
        numbers("energy", (one.energy_j for one in costs), energy),
        title=title,
    )
