"""What users hand over as a circuit: a circuit, a function of a module, or something else.

A function of an ``fhe.module`` is a circuit that shares the program, and so the keys and the
parameter sets, with the module's other functions. :class:`FunctionCircuit` gives it the attributes
of a ``concrete.fhe.Circuit`` that a profile is read from.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

from fhecost.circuits.any_error import error_of_any
from fhecost.concrete.compilation import import_concrete
from fhecost.errors import UsageError

RIGHT = "a compiled concrete.fhe.Circuit, or a function of a compiled module"


@dataclass(frozen=True)
class FunctionCircuit:
    """One function of a compiled module, as if it were a circuit.

    Its keys are those of the whole module: that is what a run is handed, and what the machine must
    hold. Concrete states ``complexity`` and the error of a whole run for the module alone, each
    function called once; so both are left to be counted here.
    """

    function: Any

    @property
    def _name(self) -> str:
        return str(self.function.name)

    @property
    def _module(self) -> Any:
        """The module, which a function keeps only in the scope of what compiles it."""
        found = inspect.getclosurevars(self.function.execution_runtime._init)
        return found.nonlocals["self"]

    @property
    def graph(self) -> Any:
        """The function's computation graph."""
        return self.function.graph

    @property
    def server(self) -> Any:
        """The server of the module."""
        return self.function.execution_runtime.val.server

    @property
    def mlir_module(self) -> Any:
        """The MLIR of the whole module; the function has its own name there."""
        return self._module.mlir_module

    @property
    def mlir(self) -> str:
        """The text of :attr:`mlir_module`."""
        return str(self._module.mlir)

    @property
    def configuration(self) -> Any:
        """What the module was compiled with."""
        return self.function.configuration

    @property
    def size_of_inputs(self) -> int:
        """Bytes of the function's inputs."""
        return int(self.function.size_of_inputs)

    @property
    def size_of_outputs(self) -> int:
        """Bytes of the function's outputs."""
        return int(self.function.size_of_outputs)

    @property
    def complexity(self) -> float | None:
        """That of the program; None where it has other functions too."""
        return None if self._shares_program else float(self.server.complexity)

    @property
    def p_error(self) -> float:
        """The error of the module's worst lookup."""
        return float(self.server.p_error)

    @property
    def statistics(self) -> dict[str, Any]:
        """Concrete's statistics of the function, with the error of one whole call.

        That of one call is at most what it were if each lookup erred as often as the module's
        worst, and no more than that of the module, which holds the function.
        """
        whole = float(self.server.global_p_error)
        if self._shares_program:
            lookups = self.function.programmable_bootstrap_count
            whole = min(whole, error_of_any([(self.p_error, lookups)]))
        return {**self.function.statistics, "global_p_error": whole}

    @property
    def _shares_program(self) -> bool:
        return len(self.server.program_info.get_circuits()) > 1


def as_circuit(given: Any) -> Any:
    """``given`` as what a profile is read from.

    Args:
        given: a ``concrete.fhe.Circuit``, a function of a compiled module, or a module that has
            one function.

    Raises:
        UsageError: it is something else; says what it is and what would be right.
    """
    fhe = import_concrete()
    if isinstance(given, fhe.Circuit | FunctionCircuit):
        return given
    if isinstance(given, fhe.Function):
        return FunctionCircuit(given)
    if isinstance(given, fhe.Module):
        names = list(given.graphs)
        if len(names) > 1:
            raise UsageError(
                f"circuit: a module of the functions {', '.join(names)}: give one of them, such as "
                f"module.{names[0]}, or the whole to fhecost.profile_module"
            )
        return FunctionCircuit(getattr(given, names[0]))
    raise UsageError(f"circuit: {wrong(given)}")


def is_module(given: Any) -> bool:
    """Whether ``given`` is a compiled module."""
    return isinstance(given, import_concrete().Module)


def is_circuit(given: Any) -> bool:
    """Whether ``given`` is a compiled circuit or a function of a compiled module."""
    fhe = import_concrete()
    return isinstance(given, fhe.Circuit | fhe.Function)


def wrong(given: Any, right: str = RIGHT) -> str:
    """What must be ``right``, and what ``given`` is instead, and its mend where there is one."""
    fhe = import_concrete()
    from concrete.fhe.compilation.decorators import Compilable
    from concrete.fhe.compilation.module_compiler import FunctionDef, ModuleCompiler

    kind = "None" if given is None else type(given).__name__
    mend = ""
    if isinstance(given, fhe.Compiler | Compilable | ModuleCompiler):
        mend = "isn't compiled: give what its compile() returns"
    elif isinstance(given, FunctionDef):
        mend = "isn't compiled: give the function of what the module's compile() returns"
    elif isinstance(given, fhe.Server | fhe.Client):
        mend = "has no graph: give the circuit that it was made from"
    elif hasattr(given, "fhe_circuit"):
        mend = "has one: give its fhe_circuit, once it is compiled"
    return f"must be {right}, not {kind}{', which ' if mend else ''}{mend}"
