"""What a token costs on each machine, and a thousand: prices of language models are of so many.

One run follows the other, each as long as an estimate says; a run makes one token, or reads all
tokens of a text in one go. Parts of a model make none.
"""

from __future__ import annotations

from collections.abc import Iterable

from fhecost.circuits.description import CircuitDescription
from fhecost.hardware.estimate import Priced, TokenCost

MANY = 1000


def tokens_of_run(said: CircuitDescription) -> int | None:
    """How many tokens a run of the circuit makes, or reads in one go; None for parts of a model."""
    if said.scope in ("token", "cached-token"):
        return 1
    return said.seq_len if said.scope == "model" else None


def token_costs(said: CircuitDescription, machines: Iterable[Priced]) -> tuple[TokenCost, ...]:
    """Of each machine what one token costs, then what ``MANY`` do; nothing for parts of a model."""
    tokens = tokens_of_run(said)
    if tokens is None:
        return ()
    made = list(machines)
    return tuple(_cost(one, many, many / tokens) for many in (1, MANY) for one in made)


def _cost(machine: Priced, tokens: int, runs: float) -> TokenCost:
    return TokenCost(
        hardware=machine.hardware,
        tokens=tokens,
        latency_s=runs * machine.latency_s,
        low_s=runs * machine.low_s,
        high_s=runs * machine.high_s,
        energy_j=None if machine.energy_j is None else runs * machine.energy_j,
        price_usd=None if machine.price_usd is None else runs * machine.price_usd,
    )
