"""Time circuits without lookups: what a run costs beside the operations that it makes.

A run takes its inputs in and hands its outputs out, and has a cost of its own; a circuit that only
adds shows little else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fhecost.circuits.work import linear_elements
from fhecost.concrete.compilation import import_concrete
from fhecost.concrete.reader import profile_circuit
from fhecost.measurement.cases import TRANSFERS, TransferCase
from fhecost.measurement.records import TransferSample
from fhecost.measurement.run_record import RunTimes
from fhecost.measurement.timed_run import RunOptions, run_once
from fhecost.progress import Progress, silent
from fhecost.quantization import IntArray

WARM_RUNS = 9
_LARGEST = 7
"""Inputs are from 0 to this; how long a run takes doesn't depend on them."""


def time_transfers(progress: Progress = silent) -> tuple[TransferSample, ...]:
    """Warm runs of each of ``TRANSFERS``, in a process of its own as measured runs are.

    A run there takes a millisecond longer than one in a process that has compiled circuits before.

    Args:
        progress: called once for each circuit with what was done; some 3 seconds each.
    """
    samples = []
    for case in TRANSFERS:
        circuit, values = transfer_circuit(case)
        times, _ = run_once(circuit, [values], RunOptions(warm_runs=WARM_RUNS))
        # The first two probes are from before the keys and after the cold run.
        samples.append(transfer_sample(circuit, times, times.probe_s[2:]))
        progress(f"a run with {case.inputs} inputs and {case.outputs} outputs")
    return tuple(samples)


def step_count() -> int:
    """Steps that :func:`time_transfers` reports to its progress function."""
    return len(TRANSFERS)


def transfer_circuit(case: TransferCase) -> tuple[Any, IntArray]:
    """The circuit of ``case``, and an input for it."""
    fhe = import_concrete()
    values = np.arange(case.inputs) % (_LARGEST + 1)
    compiler = fhe.Compiler(_function(case), {"values": "encrypted"})
    return compiler.compile([values, np.full(case.inputs, _LARGEST)]), values


def _function(case: TransferCase) -> Callable[[Any], Any]:
    added: IntArray = np.arange(case.outputs) % _LARGEST
    if case.outputs == 1:
        return lambda values: np.sum(values).reshape((1,))
    return lambda values: values + added


def transfer_sample(circuit: Any, times: RunTimes, probes_s: Sequence[float]) -> TransferSample:
    """The record of a circuit's warm runs, with a probe of each."""
    profile = profile_circuit(circuit)
    return TransferSample(
        threads=times.threads,
        seconds=times.warm_s,
        probes_s=tuple(probes_s),
        input_bytes=profile.input_bytes,
        output_bytes=profile.output_bytes,
        elements=sum(map(linear_elements, profile.stages)),
    )
