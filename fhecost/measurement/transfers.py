"""Time circuits without lookups: what a run costs beside the operations that it makes.

A run takes its inputs in and hands its outputs out, and has a cost of its own; a circuit that only
adds shows little else.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from fhecost.concrete.compilation import import_concrete
from fhecost.concrete.reader import profile_circuit
from fhecost.measurement.cases import TRANSFERS, TransferCase
from fhecost.measurement.machine import available_threads, probe_seconds
from fhecost.measurement.records import TransferSample
from fhecost.progress import Progress, silent
from fhecost.quantization import IntArray

ROUNDS = 9
_LARGEST = 7
"""Inputs are from 0 to this; how long a run takes doesn't depend on them."""


def time_transfers(progress: Progress = silent) -> tuple[TransferSample, ...]:
    """Warm runs of each of ``TRANSFERS`` in rounds that visit all of them, some 20 seconds.

    Args:
        progress: called once for each circuit with what was done, and once a round.
    """
    prepared = []
    for case in TRANSFERS:
        circuit = _compiled(case)
        circuit.keygen()
        prepared.append((circuit, circuit.encrypt(np.arange(case.inputs) % (_LARGEST + 1))))
        progress(f"a circuit of {case.inputs} inputs")
    seconds: list[list[float]] = [[] for _ in prepared]
    probes = []
    for _ in range(ROUNDS):
        probes.append(probe_seconds())
        for taken, (circuit, encrypted) in zip(seconds, prepared, strict=True):
            # The first one brings the inputs back into the caches.
            circuit.run(encrypted)
            start = time.perf_counter()
            circuit.run(encrypted)
            taken.append(time.perf_counter() - start)
        progress("timing inputs and outputs")
    return tuple(
        _sample(circuit, taken, probes)
        for taken, (circuit, _) in zip(seconds, prepared, strict=True)
    )


def step_count() -> int:
    """Steps that :func:`time_transfers` reports to its progress function."""
    return len(TRANSFERS) + ROUNDS


def _compiled(case: TransferCase) -> Any:
    fhe = import_concrete()
    values = np.arange(case.inputs) % (_LARGEST + 1)
    compiler = fhe.Compiler(_function(case), {"values": "encrypted"})
    return compiler.compile([values, np.full(case.inputs, _LARGEST)])


def _function(case: TransferCase) -> Callable[[Any], Any]:
    added: IntArray = np.arange(case.outputs) % _LARGEST
    if case.outputs == 1:
        return lambda values: np.sum(values).reshape((1,))
    return lambda values: values + added


def _sample(circuit: Any, seconds: list[float], probes_s: list[float]) -> TransferSample:
    profile = profile_circuit(circuit)
    return TransferSample(
        threads=available_threads(),
        seconds=tuple(seconds),
        probes_s=tuple(probes_s),
        input_bytes=profile.input_bytes,
        output_bytes=profile.output_bytes,
        elements=sum(
            use.count * (use.lwe_dimension + 1) for stage in profile.stages for use in stage.linear
        ),
    )
