"""How often a run holds its inputs and outputs: ``python experiments/memory/copies.py``.

Runs circuits without lookups, whose keys weigh nothing, and some with four lookups and large
bootstrap keys, each in a process of its own, and writes ``copies.json`` beside this file: the most
that the process held in each step, above what it held before it encrypted. Memory doesn't depend on
what else the machine does. Cases that the file has are left out. Some four minutes.
"""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from fhecost.concrete.compilation import import_concrete
from fhecost.concrete.reader import profile_circuit

FOLDER = Path(__file__).parent
KINDS: dict[str, Callable[[Any], Any]] = {
    "sum": lambda x: np.sum(x).reshape((1,)),
    "sum of transposed": lambda x: np.sum(np.transpose(x), axis=1),
    "sum of three values": lambda x: np.sum((3 * x + 1) - x).reshape((1,)),
    "added to": lambda x: x + 1,
    "four lookups": lambda x: (x[:1, :4] ** 2) // 128,
}
"""The input alone; a value as large beside it; several; an output as large; keys beside it."""
SIDES = (16, 32, 56, 64, 72, 96)
KEYS_SIDES = (8, 15, 24, 30)
"""Rows and columns of the input; fewer where its ciphertexts are those of wide lookups."""


def memory_bytes(field: str) -> int:
    """``VmRSS`` or ``VmHWM`` of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {field}")


def measured(kind: str, side: int) -> dict[str, Any]:
    """One circuit in this process."""
    fhe = import_concrete()
    generator, largest = np.random.default_rng(5), _largest(kind)
    inputset = [generator.integers(0, largest + 1, (side, side)) for _ in range(3)]
    inputset.append(np.full((side, side), largest))
    circuit = fhe.Compiler(KINDS[kind], {"x": "encrypted"}).compile(inputset)
    folder = FOLDER / f".{kind}-{side}"
    circuit.server.save(folder.with_suffix(".server.zip"))
    circuit.client.save(folder.with_suffix(".client.zip"))
    profile = profile_circuit(circuit, name=kind)
    fields = ("bsk_bytes", "ksk_bytes", "input_bytes", "output_bytes")
    return {field: getattr(profile, field) for field in fields}


def _largest(kind: str) -> int:
    return 127 if kind == "four lookups" else 7


def ran(kind: str, side: int) -> dict[str, Any]:
    """The saved circuit, run in this process as ``fhecost.measurement.run_process`` does."""
    fhe = import_concrete()
    folder = FOLDER / f".{kind}-{side}"
    server = fhe.Server.load(folder.with_suffix(".server.zip"))
    client = fhe.Client.load(folder.with_suffix(".client.zip"))
    values = np.full((side, side), 3)
    client.keys.generate()
    start, found = memory_bytes("VmRSS"), {}

    def note(step: str) -> None:
        found[step] = {
            "held_bytes": memory_bytes("VmRSS") - start,
            "most_bytes": memory_bytes("VmHWM") - start,
        }

    encrypted = client.encrypt(values)
    note("encrypt")
    for run in range(3):
        result = server.run(encrypted, evaluation_keys=client.evaluation_keys)
        note(f"run {run}")
    client.decrypt(result)
    note("decrypt")
    return {"start_bytes": start, "steps": found}


def main() -> None:
    """Measure every case that isn't there, and write them down."""
    path = FOLDER / "copies.json"
    cases = json.loads(path.read_text())["cases"] if path.is_file() else []
    done = {(case["kind"], case["shape"][0]) for case in cases}
    for kind in KINDS:
        for side in KEYS_SIDES if kind == "four lookups" else SIDES:
            if (kind, side) in done:
                continue
            parts: dict[str, Any] = {"kind": kind, "shape": [side, side]}
            for step in ("compile", "run"):
                command = [sys.executable, __file__, step, kind, str(side)]
                told = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE)
                parts |= json.loads(told.stdout.splitlines()[-1])
            for left in FOLDER.glob(".*.zip"):
                left.unlink()
            cases.append(parts)
            last = parts["steps"]["decrypt"]["most_bytes"]
            print(
                f"{kind:20} {parts['input_bytes'] / 1e6:7.1f} {parts['output_bytes'] / 1e6:7.1f} "
                + " ".join(f"{one['most_bytes'] / 1e6:6.0f}" for one in parts["steps"].values())
                + f"  {last / parts['input_bytes']:.2f}",
                flush=True,
            )
            versions = {
                name: importlib.metadata.version(name) for name in ("concrete-python", "numpy")
            }
            now = datetime.now(UTC).isoformat(timespec="seconds")
            content = {"finished": now, "versions": versions, "cases": cases}
            path.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        step, kind, side = sys.argv[1:]
        print(json.dumps({"compile": measured, "run": ran}[step](kind, int(side))))
    else:
        main()
