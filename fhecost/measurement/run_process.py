"""The process that a measured run happens in, a child of :mod:`fhecost.processes`.

A process of its own starts without keys, with the thread count that its environment sets, and with
a memory that nothing else has used. It is given a folder, prints a line when a step begins, and
leaves ``times.json`` and ``outputs.npz`` in the folder.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from fhecost.concrete.compilation import import_concrete
from fhecost.measurement.cpu_use import Look, look
from fhecost.measurement.machine import peak_memory_bytes, settled_probe_seconds
from fhecost.measurement.probe_beside import ProbeBeside


def run(folder: Path) -> None:
    """Make keys, encrypt, run cold and warm, decrypt: what is in ``folder``, see the module."""
    fhe = import_concrete()
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    server, client = fhe.Server.load(folder / "server.zip"), fhe.Client.load(folder / "client.zip")
    with np.load(folder / "inputs.npz", allow_pickle=False) as content:
        inputs = [content[name] for name in content.files]
    start_memory = peak_memory_bytes()
    probes = [settled_probe_seconds()]
    keygen_s, keygen, _ = _timed("generating keys", client.keys.generate)
    keygen_memory = peak_memory_bytes()
    encrypt_s, _, encrypted = _timed("encrypting", client.encrypt, *inputs)
    arguments = encrypted if isinstance(encrypted, tuple) else (encrypted,)

    def evaluate() -> Any:
        return server.run(*arguments, evaluation_keys=client.evaluation_keys)

    seconds, uses, beside = [], [], []
    for number in range(request["warm_runs"] + 1):
        step = (
            "running cold" if number == 0 else f"running warm, {number} of {request['warm_runs']}"
        )
        with ProbeBeside() as probe:
            run_s, (before, after), result = _timed(step, evaluate)
        beside.append(probe.seconds)
        seconds.append(run_s)
        probes.append(settled_probe_seconds())
        uses.append(before.until(after, look()).model_dump())
    decrypt_s, _, outputs = _timed("decrypting", client.decrypt, result)
    np.savez(folder / "outputs.npz", np.asarray(outputs))
    times = {
        "threads": request["threads"],
        "keygen_s": keygen_s,
        "encrypt_s": encrypt_s,
        "cold_s": seconds[0],
        "warm_s": seconds[1:],
        "decrypt_s": decrypt_s,
        "probe_s": probes,
        "start_memory_bytes": start_memory,
        "keygen_peak_memory_bytes": keygen_memory,
        "peak_memory_bytes": peak_memory_bytes(),
        "keygen_cpu": keygen[0].until(keygen[1]).model_dump(),
        "cold_cpu": uses[0],
        "warm_cpu": uses[1:],
        "warm_probe_s": beside[1:],
    }
    (folder / "times.json").write_text(json.dumps(times), encoding="utf-8")


def _timed(step: str, work: Any, *arguments: Any) -> tuple[float, tuple[Look, Look], Any]:
    print(step, flush=True)
    before = look()
    start = time.perf_counter()
    result = work(*arguments)
    seconds = time.perf_counter() - start
    return seconds, (before, look()), result


if __name__ == "__main__":
    run(Path(sys.argv[1]))
