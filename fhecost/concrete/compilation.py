"""Compile a function on integers to a Concrete circuit."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from fhecost.concrete.compile_memory import warn_of_memory
from fhecost.concrete.folders import own_folders
from fhecost.concrete.operators import TracedOperators
from fhecost.concrete.trial import survives
from fhecost.errors import ImpossibleError, UsageError
from fhecost.heads.operators import Operators
from fhecost.heads.parameter_rules import UNRESTRICTED, USUAL, ParameterRules, Restriction
from fhecost.quantization import IntArray

GLOBAL_P_ERROR = 1e-5
"""Probability that any lookup of a circuit goes wrong: Concrete's default for a configuration, and
what the published example compiles with. Without a configuration Concrete takes 1e-5 a lookup."""

COMPILATION_BYTES = 1.5e9
"""Memory of a process that compiles heads, with torch and a small model in it: twice the 0.62 to
0.73 GB that heads of 6 to 24 tokens were seen to take, since others may be larger."""

_NO_PARAMETERS = "Concrete finds no parameters with {}"


def import_concrete() -> Any:
    """The module ``concrete.fhe``; the temporary folders of its circuits go with this process.

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
    own_folders()
    return fhe


def compile_circuit(
    run: Callable[[Any, Operators], Any],
    inputset: Sequence[IntArray],
    rules: ParameterRules = USUAL,
    *,
    global_p_error: float = GLOBAL_P_ERROR,
    simulation_only: bool = False,
) -> Any:
    """Compile ``run`` with Concrete's default options but for how wrong it may be.

    Args:
        run: takes the encrypted input and Concrete's operators, returns the output.
        inputset: sample inputs; every intermediate value gets the bit width that they show.
        rules: how often a lookup may go wrong, and which parameters there are to choose from.
        global_p_error: probability that any lookup of the circuit goes wrong, where ``rules``
            leaves it open.
        simulation_only: a circuit to simulate, with the noise but without the keys of a real one.

    Returns:
        a ``concrete.fhe.Circuit``. With a restriction of parameters it is compiled twice, first in
        another process: Concrete's optimizer aborts where a restriction leaves it half a solution.

    Raises:
        ImpossibleError: Concrete finds no parameters, or can't compile the circuit.
        UsageError: concrete-python isn't installed.
    """
    import_concrete()
    how = run, list(inputset), rules, global_p_error, simulation_only
    unrestricted = rules.restriction == UNRESTRICTED
    if not unrestricted and not survives(_compiled, *how):
        raise ImpossibleError(_NO_PARAMETERS.format(rules.restriction))
    compiled = _compiled(*how)
    # A restriction that leaves no parameters is dropped without a word.
    if not unrestricted and not all(
        rules.restriction.allows(key.glwe_dimension(), key.polynomial_size(), key.level())
        for key in compiled.server.program_info.get_keyset_info().bootstrap_keys()
    ):
        raise ImpossibleError(_NO_PARAMETERS.format(rules.restriction))
    return compiled


def _compiled(
    run: Callable[[Any, Operators], Any],
    inputset: list[IntArray],
    rules: ParameterRules,
    global_p_error: float,
    simulation_only: bool,
) -> Any:
    fhe = import_concrete()
    # By default a failed compilation leaves a folder of artifacts where the user happens to be.
    configuration = fhe.Configuration(
        p_error=rules.p_error,
        global_p_error=global_p_error if rules.p_error is None else None,
        multi_parameter_strategy=fhe.MultiParameterStrategy.PRECISION_AND_NORM2
        if rules.by_noise
        else fhe.MultiParameterStrategy.PRECISION,
        range_restriction=_range_restriction(rules.restriction),
        fhe_simulation=simulation_only,
        fhe_execution=not simulation_only,
        dump_artifacts_on_unexpected_failures=False,
    )
    try:
        warn_of_memory(_traceable(run), inputset[0])
        compiler = fhe.Compiler(_traceable(run), {"values": "encrypted"})
        return compiler.compile(inputset, configuration=configuration)
    except RuntimeError as error:
        if "NoParametersFound" in str(error):
            raise ImpossibleError(
                "Concrete finds no parameters: some lookup is too wide; use fewer bits"
            ) from error
        raise ImpossibleError(f"Concrete can't compile the circuit: {_reason(error)}") from error
    except MemoryError as error:
        raise ImpossibleError("compiling the circuit takes more memory than there is") from error
    except (IndexError, AssertionError) as error:
        # What Concrete's own code stumbles over, such as a rounding of what is always zero.
        raise ImpossibleError(f"Concrete can't compile the circuit: {error!r}") from error


def _traceable(run: Callable[[Any, Operators], Any]) -> Callable[[Any], Any]:
    """``run`` as a function of its input alone."""
    fhe = import_concrete()

    def circuit(values: Any) -> Any:
        return run(values, TracedOperators(fhe))

    return circuit


def _range_restriction(restriction: Restriction) -> Any:
    """``restriction`` as Concrete has it; None for one that leaves nothing out."""
    if restriction == UNRESTRICTED:
        return None
    from concrete.compiler import RangeRestriction

    found = RangeRestriction()
    for dimension in restriction.glwe_dimensions:
        found.add_available_glwe_dimension(dimension)
    for size in restriction.polynomial_sizes:
        found.add_available_glwe_log_polynomial_size(size.bit_length() - 1)
    for count in restriction.level_counts:
        found.add_available_pbs_level_count(count)
    return found


def _reason(error: RuntimeError) -> str:
    """Concrete's reason in one line."""
    # Its optimizer can fail without a word, as when an error probability is out of reach.
    return reason_of(error) or "it gives no reason; a larger global_p_error may help"


def reason_of(error: BaseException) -> str:
    """What an error says in one line; empty where it says nothing.

    Of Concrete's that is what it writes under nodes of its graph.
    """
    lines = str(error).strip().splitlines()
    marked = [line.lstrip("^").strip() for line in lines if line.startswith("^^")]
    if marked:
        return " ".join(marked)
    return lines[0] if lines else ""
