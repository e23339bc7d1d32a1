"""Run circuits in FHE and write down what it took, beside what was predicted before."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fhecost.circuits.profile import CircuitProfile
from fhecost.concrete.reader import profile_circuit
from fhecost.errors import FieldError, ImpossibleError
from fhecost.files import AnyPath
from fhecost.gpt2.head_circuit import HeadCircuit, HeadRequest, compile_heads
from fhecost.hardware.here import is_machine
from fhecost.hardware.library import HardwareNames, load_hardware
from fhecost.hardware.names import HERE
from fhecost.hardware.profile import HardwareProfile
from fhecost.heads.operators import ClearOperators
from fhecost.measurement.machine import Machine, available_threads, now, this_machine
from fhecost.measurement.run_record import RunRecord, RunTimes, predict
from fhecost.processes import child_command, child_environment, removed_folder
from fhecost.progress import Expect, Progress, silent
from fhecost.version import VERSION


@dataclass(frozen=True)
class RunOptions:
    """How a circuit is run: on how many threads (all when None), and how often after the first."""

    threads: int | None = None
    warm_runs: int = 3


def measure_heads(
    request: HeadRequest,
    hardware: HardwareNames = HERE,
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
            hardware profiles, ``all`` or ``default``. ``here`` is this machine; its profile goes
            into the record.
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
    options = RunOptions(threads, warm_runs)
    return measure_compiled(compiled, profiles, options, progress=progress, expect=expect)


def measure_compiled(
    compiled: HeadCircuit,
    hardware: Sequence[HardwareProfile],
    options: RunOptions,
    *,
    progress: Progress = silent,
    expect: Expect = silent,
) -> RunRecord:
    """Run heads that are compiled, on the sentence that they were compiled for.

    As :func:`measure_heads`, with machines that are read already, or none.
    """
    judged = compiled.inputset[-1]
    expected = np.asarray(compiled.heads.run(judged, ClearOperators()))
    return measure_circuit(
        compiled.circuit,
        [judged],
        expected,
        hardware=hardware,
        options=options,
        profile=compiled.profile(),
        progress=progress,
        expect=expect,
    )


def measure_circuit(
    circuit: Any,
    inputs: Sequence[Any],
    expected: Any,
    *,
    hardware: Sequence[HardwareProfile] = (),
    options: RunOptions | None = None,
    profile: CircuitProfile | None = None,
    progress: Progress = silent,
    expect: Expect = silent,
) -> RunRecord:
    """Run any compiled Concrete circuit in FHE, in a process of its own.

    Args:
        circuit: a ``concrete.fhe.Circuit``, compiled for execution.
        inputs: its arguments in the clear.
        expected: what it must decrypt to.
        hardware: machines whose prediction is written down before the run starts; their figure
            ``threads``, where they have one, is set to that of the run.
        options: threads and number of runs.
        profile: the circuit's profile, where there is one with a better name and description.
        progress: called with the name of each step when it begins.
        expect: called before the first step with the seconds that the run will take, where one of
            ``hardware`` predicts them.

    Raises:
        UsageError: more threads than there are, or too few runs.
        ImpossibleError: the process failed; nothing is recorded.
    """
    options = options or RunOptions()
    threads = options.threads or available_threads()
    profile = profile or profile_circuit(circuit)
    machine = this_machine()
    started = now()
    # At the speed of the calibration: a probe now says little of a run that takes minutes.
    predictions = tuple(
        predict(profile, predicting, threads, machine=machine) for predicting in hardware
    )
    for made in predictions:
        if made.preparation is not None:
            keys_s = made.preparation.keygen_s + made.preparation.cold_s
            expect(keys_s + options.warm_runs * made.warm_s)
            break
    times, outputs = run_once(circuit, inputs, options, progress)
    return RunRecord(
        fhecost_version=VERSION,
        name=profile.name,
        started=started,
        machine=machine,
        versions={"concrete-python": importlib.metadata.version("concrete-python")},
        profile=profile,
        profile_hash=profile.hash,
        predictions=predictions,
        calibration=_of_this_machine(hardware, machine),
        times=times,
        load_after=os.getloadavg()[0],
        not_alone=times.not_alone,
        values=outputs.size,
        wrong_values=int(np.count_nonzero(outputs != np.asarray(expected))),
    )


def _of_this_machine(
    hardware: Sequence[HardwareProfile], machine: Machine
) -> HardwareProfile | None:
    """The first of ``hardware`` that was calibrated on this machine or made for it."""
    identity = machine.identity()
    for one in hardware:
        if one.name == HERE or is_machine(one, identity):
            return one
    return None


def run_once(
    circuit: Any, inputs: Sequence[Any], options: RunOptions, progress: Progress = silent
) -> tuple[RunTimes, Any]:
    """Make keys and run ``circuit``, cold and then warm, in a process of its own.

    Args:
        circuit: a ``concrete.fhe.Circuit``, compiled for execution.
        inputs: its arguments in the clear.
        options: threads and number of runs.
        progress: called with the name of each step when it begins.

    Returns:
        The raw times, and what the last run decrypted to.

    Raises:
        UsageError: more threads than there are, or too few runs.
        ImpossibleError: the process failed.
    """
    threads = options.threads or available_threads()
    if not 1 <= threads <= available_threads():
        raise FieldError("threads", f"must be from 1 to {available_threads()}", threads)
    if options.warm_runs < 1:
        raise FieldError("warm_runs", "must be at least 1", options.warm_runs)
    # The child, which has ended then, may have files of its own in it.
    with removed_folder("run-") as folder:
        circuit.server.save(folder / "server.zip")
        circuit.client.save(folder / "client.zip")
        np.savez(folder / "inputs.npz", *[np.asarray(values) for values in inputs])
        request = {"threads": threads, "warm_runs": options.warm_runs}
        (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        _run_process(folder, threads, progress)
        times = RunTimes.model_validate_json((folder / "times.json").read_text(encoding="utf-8"))
        with np.load(folder / "outputs.npz", allow_pickle=False) as content:
            return times, content[content.files[0]]


def _run_process(folder: Path, threads: int, progress: Progress) -> None:
    environment = child_environment(
        folder, OMP_NUM_THREADS=str(threads), RAYON_NUM_THREADS=str(threads)
    )
    with (folder / "errors.txt").open("w+", encoding="utf-8") as errors:
        with subprocess.Popen(
            child_command("fhecost.measurement.run_process", str(folder)),
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            text=True,
        ) as process:
            try:
                for line in process.stdout or ():
                    progress(line.strip())
            except BaseException:
                process.kill()
                raise
        status = process.returncode
        if status != 0:
            errors.seek(0)
            lines = errors.read().strip().splitlines()
            reason = lines[-1] if lines else "no message; out of memory?"
            raise ImpossibleError(f"the run ended with status {status}: {reason}")
