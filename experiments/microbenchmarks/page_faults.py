"""What memory the system gives a run anew, by inputs and outputs: ``python page_faults.py``.

Circuits without lookups; ``given`` is a run's page faults, in bytes, beside the bytes of its inputs
and outputs. What is given anew is what the CPU model's ``fresh_byte_s`` pays for.
"""

from __future__ import annotations

import resource
import statistics
import time

import numpy as np
from concrete import fhe

RUNS = 12
SIZES = (
    *((many, many) for many in (256, 1024, 2048, 4096)),
    *((many, 1) for many in (1024, 2048, 4096)),
    *((1, many) for many in (1024, 2048, 4096)),
)


def added(inputs: int, outputs: int) -> fhe.Circuit:
    """A circuit of so many inputs and outputs that only adds."""
    values = np.arange(inputs) % 8
    if outputs == 1:
        compiler = fhe.Compiler(lambda x: np.sum(x).reshape((1,)), {"x": "encrypted"})
    else:
        compiler = fhe.Compiler(lambda x: x + np.arange(outputs) % 7, {"x": "encrypted"})
    return compiler.compile([values, np.full(inputs, 7)])


def main() -> None:
    """Print a line for each size."""
    print("   in, MB  out, MB       ms  given, MB  by larger   ms sys")
    for inputs, outputs in SIZES:
        circuit = added(inputs, outputs)
        encrypted = circuit.encrypt(np.arange(inputs) % 8)
        seconds, given, system = [], [], []
        for _ in range(RUNS):
            before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
            result = circuit.run(encrypted)
            seconds.append(time.perf_counter() - start)
            after = resource.getrusage(resource.RUSAGE_SELF)
            given.append((after.ru_minflt - before.ru_minflt) * resource.getpagesize() / 1e6)
            system.append(after.ru_stime - before.ru_stime)
            del result
        taken, returned = circuit.size_of_inputs / 1e6, circuit.size_of_outputs / 1e6
        new = statistics.median(given)
        print(
            f"{taken:9.2f} {returned:8.2f} {statistics.median(seconds) * 1e3:8.2f} {new:10.1f} "
            f"{new / max(taken, returned):10.1f} {statistics.median(system) * 1e3:8.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
