"""Read the profile of a compiled ``fhe.module``: each function is a circuit."""

from __future__ import annotations

from typing import Any

from fhecost.circuits.module import ModuleProfile
from fhecost.circuits.profile import CircuitProfile
from fhecost.concrete.given import is_module, wrong
from fhecost.concrete.reader import profile_circuit
from fhecost.errors import ImpossibleError, UsageError


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
        ImpossibleError: no function has a profile.
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
    return ModuleProfile(name=name, source=source, functions=functions, uncosted=uncosted)
