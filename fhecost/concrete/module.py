"""Read the profile of a compiled ``fhe.module``: each function is a circuit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhecost.circuits.module import ModuleProfile
from fhecost.circuits.profile import CircuitProfile
from fhecost.circuits.work import stage_units
from fhecost.concrete.given import is_module, wrong
from fhecost.concrete.reader import profile_circuit
from fhecost.errors import ImpossibleError, UsageError

_TOLERANCE = 1e-3
"""How far work and complexity may be apart, relatively."""


def profile_module(
    module: Any, *, name: str = "module", source: str = "compiled Concrete module"
) -> ModuleProfile:
    """The profile of a compiled ``concrete.fhe.Module``.

    Concrete solves the parameters of all functions together, with every way in which they may be
    composed; so a function costs more here than compiled alone, and its keys are the module's.
    A function without an operation on encrypted data (a refresh of state that only passes it on)
    is named, and left out.

    Args:
        module: what the ``compile`` of a class under ``@fhe.module()`` returned.
        name: a short name for reports; functions are called ``name.function``.
        source: what the profile was read from, in words.

    Raises:
        ImpossibleError: no function has a profile, or Concrete's counts miss operations.
        UsageError: ``module`` is something else.
    """
    if not is_module(module):
        raise UsageError(f"module: {wrong(module, 'a compiled fhe.module')}")
    functions: dict[str, CircuitProfile] = {}
    uncosted: dict[str, str] = {}
    for function_name, function in module.functions().items():
        try:
            functions[function_name] = profile_circuit(
                function, name=f"{name}.{function_name}", source=source
            )
        except ImpossibleError as error:
            uncosted[function_name] = str(error)
    if not functions:
        reasons = "; ".join(uncosted.values())
        raise ImpossibleError(f"no function of module {name!r} has a cost: {reasons}")
    _check_work(module, functions)
    return ModuleProfile(name=name, source=source, functions=functions, uncosted=uncosted)


def _check_work(module: Any, functions: Mapping[str, CircuitProfile]) -> None:
    """Hold the work of all functions, each called once, to the complexity of the module.

    Where a function with lookups has no profile, or with the strategy V0, whose complexity is that
    of one lookup, there is nothing to hold it to.

    Raises:
        ImpossibleError: they differ.
    """
    strategy = module.configuration.parameter_selection_strategy.name
    work = sum(stage_units(stage) for one in functions.values() for stage in one.stages)
    others = (one for name, one in module.functions().items() if name not in functions)
    # Without any lookup Concrete's complexity is that of linear operations.
    if work == 0 or strategy == "V0" or any(one.programmable_bootstrap_count for one in others):
        return
    if abs(work / module.complexity - 1) > _TOLERANCE:
        raise ImpossibleError(
            f"the PBS and KS that Concrete counts in the module's functions are {work:.4g} units "
            f"of work, its complexity is {module.complexity:.4g}: operations are missing"
        )
