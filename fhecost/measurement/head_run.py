"""Run quantized heads in FHE and compare what they decrypt to with the clear ones."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from fhecost.files import AnyPath
from fhecost.gpt2.head_circuit import HeadRequest, compile_heads
from fhecost.hardware.library import MEASURED, HardwareNames, load_hardware
from fhecost.heads.operators import ClearOperators
from fhecost.measurement.run_record import RunRecord
from fhecost.measurement.timed_run import RunOptions, measure_circuit
from fhecost.progress import Expect, Progress, silent


def measure_heads(
    request: HeadRequest,
    hardware: HardwareNames = MEASURED,
    hardware_path: Iterable[AnyPath] = (),
    *,
    threads: int | None = None,
    warm_runs: int = 3,
    progress: Progress = silent,
    expect: Expect = silent,
) -> RunRecord:
    """What ``fhecost measure head`` does: run heads encrypted, beside what is predicted for them.

    Args:
        request: which heads, on which sentence. Keys and minutes grow fast with both bits and
            length.
        hardware: machines whose prediction is written down before the run starts: names or
            hardware profiles, ``all`` or ``default``.
        hardware_path: folders of further machines.
        threads: of the run; all that there are when None.
        warm_runs: how often it is run after the first time.
        progress: called with the name of each step when it begins.
        expect: called with the seconds that the run will take, once it is compiled.

    Raises:
        UsageError: the request doesn't fit the model, or the options the machine.
        ImpossibleError: the heads can't be compiled, predicted or run.
    """
    profiles = load_hardware(hardware, hardware_path)
    compiled = compile_heads(request, progress)
    judged = compiled.inputset[-1]
    expected = np.asarray(compiled.heads.run(judged, ClearOperators()))
    return measure_circuit(
        compiled.circuit,
        [judged],
        expected,
        hardware=profiles,
        options=RunOptions(threads, warm_runs),
        profile=compiled.profile(),
        progress=progress,
        expect=expect,
    )
