"""What a token costs on each machine, and a thousand.

One run follows the other, each as long as an estimate says; a run makes one token, or reads all
tokens of a text in one go. Parts of a model make none.
"""

from __future__ import annotations

from collections.abc import Iterable

from fhecost.circuits.description import CircuitDescription
from fhecost.hardware.estimate import MANY_TOKENS, Priced, TokenCost


def token_costs(said: CircuitDescription, machines: Iterable[Priced]) -> tuple[TokenCost, ...]:
    """What one token costs on each machine, then many; nothing for parts of a model."""
    tokens = said.tokens_of_run
    if tokens is None:
        return ()
    made = list(machines)
    return tuple(_cost(one, many, many / tokens) for many in (1, MANY_TOKENS) for one in made)


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
