"""What compiling a circuit takes of memory, known before it begins.

Concrete evaluates the traced function on each sentence of the inputset and keeps every value of one
until it has those of the next: two times eight bytes for each element of each value, far more than
what the compiler itself takes wherever values are millions. Both figures are those of
``hardware/concrete/memory.yaml``, measured by ``experiments/memory/compile.py``.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

from fhecost.hardware.limits import free_memory_bytes
from fhecost.hardware.run_memory import run_memory
from fhecost.units import amount


def warn_of_memory(function: Callable[[Any], Any], sample: Any) -> None:
    """Warn where compiling ``function`` takes more memory than this process may still have.

    Args:
        function: of one encrypted input, as ``fhe.Compiler`` takes it.
        sample: one input.
    """
    free = free_memory_bytes()
    if free is None:
        return
    # Fusing only ever drops values, and takes longer than tracing: done where it matters.
    for fused in (False, True):
        needed = run_memory().compile_bytes_of(value_elements(function, sample, fused=fused))
        if needed <= free:
            return
    warnings.warn(
        f"compiling this circuit takes about {amount(needed, 'B')} of memory, {amount(free, 'B')} "
        "are free: fewer tokens or heads take less",
        stacklevel=3,
    )


def value_elements(function: Callable[[Any], Any], sample: Any, *, fused: bool = True) -> int:
    """Elements of all values of the circuit that ``function`` is, of which none is kept.

    Tracing takes one operation after the other, on ones, and so far less than compiling.

    Args:
        function: of one encrypted input, as ``fhe.Compiler`` takes it.
        sample: one input.
        fused: as Concrete compiles it, else as the function says, which may be more.
    """
    from concrete.fhe.compilation.utils import fuse
    from concrete.fhe.tracing import Tracer
    from concrete.fhe.values import ValueDescription

    (name,) = inspect.signature(function).parameters
    graph = Tracer.trace(function, {name: ValueDescription.of(sample, is_encrypted=True)})
    if fused:
        fuse(graph)
    return sum(int(node.output.size) for node in graph.graph.nodes)
