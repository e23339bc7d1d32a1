"""The process that the steps of a calibration are forked from, a child of :mod:`fhecost.processes`.

Loading Concrete takes longer than many a step; a fork of a process that has just loaded it, and
done nothing else, begins as a new one does. It prints a line when it is ready, reads the folder of
a step from each line of its standard input, and answers with a line when that step has ended: its
exit status. A step finds
``server.zip``, ``client.zip``, ``inputs.npz`` and ``request.json`` in its folder, and leaves
``times.json``, the fields of :class:`fhecost.measurement.forked.StepTimes`; what goes wrong is in
``output.txt``.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from fhecost.concrete.compilation import import_concrete
from fhecost.measurement.cpu_use import look
from fhecost.measurement.machine import file_memory_bytes, peak_memory_bytes, probe_seconds
from fhecost.processes import end_with

_SPINNING_S = 0.25
"""Threads of OpenMP that wait for work keep their processors busy for 0.2 s."""
_PROBES = 3


def main() -> None:
    """Take one step after the other, each in a fork, until standard input ends."""
    fhe = import_concrete()
    new_process_bytes = peak_memory_bytes()
    print("ready", flush=True)
    for line in sys.stdin:
        folder = Path(line.rstrip("\n"))
        served_by = os.getpid()
        process = os.fork()
        if process == 0:
            _end_with_step(folder, fhe, new_process_bytes, served_by)
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _end_with_step(folder: Path, fhe: Any, new_process_bytes: int, served_by: int) -> None:
    """Take the step in ``folder`` and end this process, whatever happens."""
    status = 1
    try:
        # A fork isn't told of its parent's end, as its parent is.
        end_with(served_by)
        # Answers go to standard output, from the parent alone.
        with (folder / "output.txt").open("wb") as output:
            for stream in (sys.stdout, sys.stderr):
                os.dup2(output.fileno(), stream.fileno())
        content = json.dumps(_times(folder, fhe, new_process_bytes))
        (folder / "times.json").write_text(content, encoding="utf-8")
        status = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        # Nothing that the parent has to do at its end is to be done here.
        os._exit(status)


def _times(folder: Path, fhe: Any, new_process_bytes: int) -> dict[str, Any]:
    """Make keys, run cold, warm on all threads and on one: what is in ``folder``, see the module.

    A fork shares the memory of what its parent has loaded; ``new_process_bytes``, what that held
    then, is what a process of its own begins with. What a fork reads of the same files again is
    among that already.
    """
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    server, client = fhe.Server.load(folder / "server.zip"), fhe.Client.load(folder / "client.zip")
    with np.load(folder / "inputs.npz", allow_pickle=False) as content:
        inputs = [content[name] for name in content.files]
    at_start = peak_memory_bytes() - file_memory_bytes()

    def memory_bytes() -> int:
        grown = peak_memory_bytes() - file_memory_bytes() - at_start
        return new_process_bytes + max(0, grown)

    before, probes = look(), [_probe()]
    keygen_s, _ = _timed(client.keys.generate)
    keygen_memory = memory_bytes()
    encrypt_s, encrypted = _timed(client.encrypt, *inputs)
    arguments = encrypted if isinstance(encrypted, tuple) else (encrypted,)

    def run_s() -> float:
        return _timed(lambda: server.run(*arguments, evaluation_keys=client.evaluation_keys))[0]

    cold_s = run_s()
    together_s = [run_s() for _ in range(request["together"])]
    time.sleep(_SPINNING_S)
    probes.append(_probe())
    with threadpool_limits(limits=1, user_api="openmp"):
        alone_s = [run_s() for _ in range(request["alone"])]
    probes.append(_probe())
    result = server.run(*arguments, evaluation_keys=client.evaluation_keys)
    decrypt_s, _ = _timed(client.decrypt, result)
    times = {
        "threads": request["threads"],
        "keygen_s": keygen_s,
        "encrypt_s": encrypt_s,
        "cold_s": cold_s,
        "warm_s": together_s,
        "decrypt_s": decrypt_s,
        "probe_s": probes,
        "start_memory_bytes": new_process_bytes,
        "keygen_peak_memory_bytes": keygen_memory,
        "peak_memory_bytes": memory_bytes(),
    }
    return {"times": times, "alone_s": alone_s, "cpu": before.until(look()).model_dump()}


def _probe() -> float:
    return statistics.median(probe_seconds() for _ in range(_PROBES))


def _timed(work: Any, *arguments: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work(*arguments)
    return time.perf_counter() - start, result


if __name__ == "__main__":
    main()
