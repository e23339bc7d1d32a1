"""What every command does with fhecost's core dependencies alone: it works, or names its extra."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

COMMANDS: Mapping[str, str | None] = {
    "--version": None,
    "--help": None,
    "estimate": "gpt2",
    "estimate --no-compile": "gpt2",
    "estimate --no-compile --widths stated --save-profile head.json": None,
    "estimate --no-compile --model gpt2 --scope cached-token --seq-len 64": None,
    "estimate --profile head.json --format json": None,
    "compare --profile head.json --kind fpga,asic": None,
    "compare --profile head.json --what-if cores=64": None,
    "compare --profile head.json --plot machines.html": "plot",
    "diff head.json head.json": None,
    "project --seq-len 2..64 --years 2023..2030": None,
    "project --seq-len 2..64 -o projection.html": "plot",
    "report --profile head.json": "plot",
    "profile script.py:circuit": "concrete",
    "accuracy --bits 4": "gpt2",
    "generate Hello": "gpt2",
    "optimize --budget 5s": "search",
    "sweep sweep.yaml": None,
    "sweep sweep.yaml -o other.jsonl --dask 1": "sweep",
    "sweep sweep.yaml --resume --format parquet": "parquet",
    "calibrate": "concrete",
    "measure head": "gpt2",
    "measure pbs --quick": "concrete",
    "measure ks --quick": "concrete",
    "measure linear --quick": "concrete",
    "measure keygen --quick": "concrete",
    "validate": None,
    "validate --plot runs.html": "plot",
    "backtest": None,
    "hardware list": None,
    "hardware show h100": None,
    "hardware new my-machine.yaml --from h100": None,
    "hardware check my-machine.yaml": None,
    "estimate --profile head.json --hardware-path . --hardware my-machine": None,
    "models list": None,
    "models fetch smollm2": "gpt2",
    "cache info": None,
    "cache verify": None,
    "cache clear": None,
}
"""In their order, in one folder, and the extra that each names; None for those that work."""

FILES = {
    "script.py": "from concrete import fhe\n",
    "sweep.yaml": "steps: [count, estimate]\n"
    "grid: {model: gpt2, seq_len: [2, 4], hardware: [h100, strix]}\n",
}
"""What stands in the folder."""


def faults(python: Path, folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with the commands of the fhecost that ``python`` has, a line each.

    Args:
        python: an interpreter without any extra.
        folder: an empty one to work in.
        environment: of the processes, which keep what they keep in ``folder``.
    """
    for name, text in FILES.items():
        (folder / name).write_text(text)
    own = {"FHECOST_CACHE": str(folder / "cache"), "FHECOST_CONFIG": str(folder / "config")}
    for command, extra in COMMANDS.items():
        ran = subprocess.run(
            [str(python), "-m", "fhecost", *shlex.split(command)],
            cwd=folder,
            env={**environment, **own},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        said = ran.stderr.strip()
        if extra is None and ran.returncode != 0:
            yield f"fhecost {command}: exit status {ran.returncode}: {said}"
        elif extra is not None and (ran.returncode == 0 or not _names(extra, said)):
            yield f"fhecost {command}: must name the extra {extra}: {said or 'it works'}"


def _names(extra: str, said: str) -> bool:
    """Whether the last line says how to install ``extra``, and nothing else is there."""
    lines = [line for line in said.splitlines() if not line.startswith(("warning: ", "NOTE: "))]
    if len(lines) != 1 or "pip install 'fhecost[" not in lines[0]:
        return False
    return extra in lines[0].partition("fhecost[")[2].partition("]")[0].split(",")


if __name__ == "__main__":
    sys.exit("is used by release/check.py")
