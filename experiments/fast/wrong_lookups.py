"""How often simulated lookups go wrong, and by how much: ``python wrong_lookups.py``, 20 s.

A circuit of one lookup a value, which its parameters are chosen for: as noisy as they allow.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import binomtest

from fhecost.concrete.compilation import compile_circuit
from fhecost.heads.operators import Operators
from fhecost.heads.parameter_rules import ParameterRules

BITS, VALUES, RUNS = 5, 5000, 200


def table(values: Any) -> Any:
    """Multiples of 3 modulo 32: neighbours can be told apart."""
    return (values * 3) % 2**BITS


def run(values: Any, operators: Operators) -> Any:
    """One lookup of each value."""
    return operators.lookup(values, table)


def main() -> None:
    """Print the share that went wrong, with its 95 % interval, and the share off by one step."""
    draw = np.random.default_rng(0)
    for p_error in (1e-2, 1e-3):
        inputs = [draw.integers(0, 2**BITS, VALUES) for _ in range(5)]
        circuit = compile_circuit(run, inputs, ParameterRules(p_error), simulation_only=True)
        wrong = near = 0
        for _ in range(RUNS):
            values = draw.integers(0, 2**BITS, VALUES)
            found = circuit.simulate(values)
            bad = found != table(values)
            wrong += int(bad.sum())
            by_one = (found == table(values + 1)) | (found == table(values - 1))
            near += int((bad & by_one).sum())
        low, high = binomtest(wrong, VALUES * RUNS).proportion_ci(0.95)
        print(
            f"asked {p_error:g}, the circuit's own {circuit.p_error:.3e}: {wrong:,} of "
            f"{VALUES * RUNS:,} wrong, {low:.3e} to {high:.3e}; {near / wrong:.1%} off by one step"
        )


if __name__ == "__main__":
    main()
