"""Compile a function on integers to a Concrete circuit."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from fhecost.concrete.operators import TracedOperators
from fhecost.errors import ImpossibleError, UsageError
from fhecost.heads.operators import Operators
from fhecost.heads.tolerance import USUAL, Tolerance
from fhecost.quantization import IntArray

GLOBAL_P_ERROR = 1e-5
"""Probability that any lookup of a circuit goes wrong: Concrete's default for a configuration, and
what the published example compiles with. Without a configuration Concrete takes 1e-5 a lookup."""


def import_concrete() -> Any:
    """The module ``concrete.fhe``.

    Raises:
        UsageError: concrete-python isn't installed.
    """
    try:
        with warnings.catch_warnings():
            # Its namespace package still uses pkg_resources, which warns at every import.
            warnings.simplefilter("ignore")
            from concrete import fhe
    except ImportError as error:
        raise UsageError("compiling a circuit needs: pip install 'fhecost[concrete]'") from error
    return fhe


def compile_circuit(
    run: Callable[[Any, Operators], Any],
    inputset: Sequence[IntArray],
    tolerance: Tolerance = USUAL,
    *,
    global_p_error: float = GLOBAL_P_ERROR,
    simulation_only: bool = False,
) -> Any:
    """Compile ``run`` with Concrete's default options but for how wrong it may be.

    Args:
        run: takes the encrypted input and Concrete's operators, returns the output.
        inputset: sample inputs; every intermediate value gets the bit width that they show.
        tolerance: how often a lookup may go wrong, and which ones share parameters.
        global_p_error: probability that any lookup of the circuit goes wrong, where ``tolerance``
            leaves it open.
        simulation_only: a circuit to simulate, with the noise but without the keys of a real one.

    Returns:
        a ``concrete.fhe.Circuit``.

    Raises:
        ImpossibleError: Concrete finds no parameters, or can't compile the circuit.
        UsageError: concrete-python isn't installed.
    """
    fhe = import_concrete()

    def circuit(values: Any) -> Any:
        return run(values, TracedOperators(fhe))

    # By default a failed compilation leaves a folder of artifacts where the user happens to be.
    configuration = fhe.Configuration(
        p_error=tolerance.p_error,
        global_p_error=global_p_error if tolerance.p_error is None else None,
        multi_parameter_strategy=fhe.MultiParameterStrategy.PRECISION_AND_NORM2
        if tolerance.by_noise
        else fhe.MultiParameterStrategy.PRECISION,
        fhe_simulation=simulation_only,
        fhe_execution=not simulation_only,
        dump_artifacts_on_unexpected_failures=False,
    )
    try:
        compiler = fhe.Compiler(circuit, {"values": "encrypted"})
        return compiler.compile(list(inputset), configuration=configuration)
    except RuntimeError as error:
        if "NoParametersFound" in str(error):
            raise ImpossibleError(
                "Concrete finds no parameters: some lookup is too wide; use fewer bits"
            ) from error
        raise ImpossibleError(f"Concrete can't compile the circuit: {_reason(error)}") from error
    except (IndexError, AssertionError) as error:
        # What Concrete's own code stumbles over, such as a rounding of what is always zero.
        raise ImpossibleError(f"Concrete can't compile the circuit: {error!r}") from error


def _reason(error: RuntimeError) -> str:
    """Concrete's reason in one line: what it writes under nodes of its graph, else its title."""
    lines = str(error).strip().splitlines()
    marked = [line.lstrip("^").strip() for line in lines if line.startswith("^^")]
    if marked:
        return " ".join(marked)
    # Its optimizer can fail without a word, as when an error probability is out of reach.
    return lines[0] if lines else "it gives no reason; a larger global_p_error may help"
