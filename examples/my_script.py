"""Circuits as a user writes them: a small network, the same with rounding, and a counter."""

import numpy as np
from concrete import fhe

rng = np.random.default_rng(0)
FIRST = rng.integers(-3, 4, (16, 12))
SECOND = rng.integers(-3, 4, (12, 3))
FEATURES = [rng.integers(0, 8, 16) for _ in range(200)]


@fhe.compiler({"features": "encrypted"})
def network(features):
    """Scores of three classes from sixteen features of three bits."""
    with fhe.tag("hidden"):
        hidden = np.maximum(features @ FIRST, 0) // 16
    with fhe.tag("scores"):
        return hidden @ SECOND


@fhe.compiler({"features": "encrypted"})
def rounded_network(features):
    """The same, but the lookups read the top bits of their sums only."""
    with fhe.tag("hidden"):
        sums = fhe.truncate_bit_pattern(features @ FIRST, lsbs_to_remove=4)
        hidden = np.maximum(sums, 0) // 16
    with fhe.tag("scores"):
        return hidden @ SECOND


@fhe.module()
class Counter:
    """Two functions under one key."""

    @fhe.function({"count": "encrypted"})
    def inc(count):
        """One more, from 19 on to 0."""
        return (count + 1) % 20

    @fhe.function({"count": "encrypted"})
    def dec(count):
        """One less."""
        return (count - 1) % 20


circuit = network.compile(FEATURES)
rounded = rounded_network.compile(FEATURES)
counter = Counter.compile({"inc": range(20), "dec": range(20)})
