"""Run quantized heads in FHE and compare what they decrypt to with the clear ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fhecost.gpt2.head_circuit import HeadRequest, compile_heads, profile_of
from fhecost.gpt2.model import find_model
from fhecost.hardware.profile import HardwareProfile
from fhecost.heads.operators import ClearOperators
from fhecost.measurement.run_record import RunRecord
from fhecost.measurement.timed_run import RunOptions, measure_circuit
from fhecost.progress import Expect, Progress, silent


def measure_heads(
    request: HeadRequest,
    hardware: Sequence[HardwareProfile] = (),
    options: RunOptions | None = None,
    progress: Progress = silent,
    expect: Expect = silent,
) -> RunRecord:
    """Compile the heads of ``request``, predict, run them encrypted, and check the result.

    Args:
        request: which heads, on which sentence.
        hardware: machines whose prediction is written down before the run starts.
        options: threads and number of runs.
        progress: called with the name of each step when it begins.
        expect: called with the seconds that the run will take, once it is compiled.

    Raises:
        UsageError: the request doesn't fit the model, or the options the machine.
        ImpossibleError: the heads can't be compiled, predicted or run.
    """
    folder = find_model(request.model)
    compiled = compile_heads(request, folder, progress)
    judged = compiled.inputset[-1]
    expected = np.asarray(compiled.heads.run(judged, ClearOperators()))
    return measure_circuit(
        compiled.circuit,
        [judged],
        expected,
        hardware=hardware,
        options=options,
        profile=profile_of(compiled, request, folder),
        progress=progress,
        expect=expect,
    )
