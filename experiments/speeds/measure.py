"""Time every command, cold and warm, in CPU seconds, and write docs/speeds.md.

python experiments/speeds/measure.py, some minutes. Seconds are user and system time of the process
and its children, so that other programs bear little on them. Cold is with empty folders of cache
and settings, warm the same command once more; short commands are timed several times, and the
median is told. What takes as long as it is told to (calibrate, measure, optimize, sweep) isn't
timed.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

from fhecost.hardware.processor import this_processor

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).with_name("speeds.json")
PAGE = ROOT / "docs" / "speeds.md"
_HEAD = """\
# How long commands take

Written by `python experiments/speeds/measure.py`: CPU seconds, user and system time of a command
and of all that it starts, on {machine}.
Cold is with an empty cache, warm the same command once more; in brackets what is promised. What
takes as long as it is told to (`calibrate`, `measure`, `optimize`, `sweep`) isn't here.

| command | cold | warm |
| --- | ---: | ---: |
"""
_FOOT = """

`--no-compile` loads a model once for each layer, group of heads and length; what calibration takes
from it is kept, and other widths and variants need no torch. `generate --mode simulate` compiles
one circuit, for the longest sequence.
"""
_SHORT_S = 2.0
_SAVED = "fhecost estimate --no-compile --widths stated --save-profile head.json"
_TIMES = 3


class Timed(NamedTuple):
    """A command; ``before`` runs first and isn't timed; seconds that are promised, if any.

    One that keeps nothing for the next time is timed ``once``.
    """

    command: str
    before: str | None = None
    cold_within_s: float | None = None
    warm_within_s: float | None = None
    once: bool = False


COMMANDS = (
    Timed("fhecost --help", None, 0.5, 0.5),
    Timed("fhecost estimate --help", None, 0.5, 0.5),
    Timed("fhecost estimate", None, 15.0),
    Timed("fhecost estimate --no-compile", None, None, 1.5),
    Timed("fhecost estimate --no-compile --bits 4", "fhecost estimate --no-compile", 1.5, 1.5),
    Timed("fhecost estimate --no-compile --variant compact", "fhecost estimate --no-compile", 1.5),
    Timed("fhecost estimate --no-compile --widths stated", None, 1.5, 1.5),
    Timed("fhecost estimate --no-compile --model gpt2 --scope cached-token --seq-len 1024"),
    Timed("fhecost estimate --profile head.json", _SAVED),
    Timed("fhecost compare"),
    Timed("fhecost compare --profile head.json", _SAVED),
    Timed("fhecost project"),
    Timed("fhecost project --scope layer --years 2023..2035"),
    Timed("fhecost report", None, None, 4.0),
    Timed("fhecost report --profile head.json", _SAVED),
    Timed("fhecost diff head.json other.json", f"{_SAVED} && cp head.json other.json"),
    Timed("fhecost profile examples/my_script.py:circuit"),
    Timed("fhecost accuracy --bits 3 --heads 0 --seq-len 16"),
    Timed('fhecost generate "Cryptography is a" --tokens 8', once=True),
    Timed(
        'fhecost generate "Cryptography is a" --tokens 8 --mode simulate', None, 120.0, once=True
    ),
    Timed("fhecost validate"),
    Timed("fhecost backtest"),
    Timed("fhecost hardware list"),
    Timed("fhecost hardware show h100"),
    Timed("fhecost models list"),
    Timed("fhecost cache verify"),
)


@dataclass(frozen=True)
class Speed:
    """CPU seconds of a command, cold and warm; None where that is no other."""

    command: str
    cold_s: float
    warm_s: float | None


def cpu_seconds(command: str, folder: Path, environment: dict[str, str]) -> float:
    """CPU seconds of ``command`` and all that it starts.

    Raises:
        SystemExit: it fails.
    """
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            ["bash", "-c", command], cwd=folder, env=environment, stdout=said, stderr=said
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            said.seek(0)
            sys.exit(f"{command}\n{said.read().decode()}")
    return used.ru_utime + used.ru_stime


def speed(timed: Timed) -> Speed:
    """Both speeds of a command; ``before`` comes before each of its runs."""
    cold: list[float] = []
    warm: list[float] = []
    while not cold or (sum(cold) + sum(warm) < _SHORT_S * len(cold) and len(cold) < _TIMES):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for shared in ("examples", "experiments"):
                (folder / shared).symlink_to(ROOT / shared)
            (folder / "bin").mkdir()
            launcher = folder / "bin" / "fhecost"
            launcher.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m fhecost "$@"\n')
            launcher.chmod(0o755)
            environment = {
                **os.environ,
                "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
                "PYTHONPATH": str(ROOT),
                "FHECOST_CACHE": str(folder / "cache"),
                "FHECOST_CONFIG": str(folder / "config"),
            }
            for found in (cold,) if timed.once else (cold, warm):
                if timed.before is not None:
                    cpu_seconds(timed.before, folder, environment)
                found.append(cpu_seconds(timed.command, folder, environment))
    return Speed(timed.command, round(median(cold), 2), round(median(warm), 2) if warm else None)


def page(speeds: Sequence[Speed], machine: str) -> str:
    """The page, with what is promised beside what was measured."""
    promised = {timed.command: timed for timed in COMMANDS}

    def cell(seconds: float | None, within_s: float | None) -> str:
        if seconds is None:
            return "the same"
        said = f"{seconds:.2f}" if seconds < 10 else f"{seconds:.0f}"
        return said if within_s is None else f"{said} (within {within_s:g})"

    rows = [
        f"| `{one.command}` | {cell(one.cold_s, promised[one.command].cold_within_s)} "
        f"| {cell(one.warm_s, promised[one.command].warm_within_s)} |"
        for one in speeds
    ]
    return _HEAD.format(machine=machine) + "\n".join(rows) + _FOOT


def main() -> None:
    """Time what is asked for, keep it, and write the page of all that is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="commands that hold this text; others stay as they are kept")
    parser.add_argument("--missing", action="store_true", help="those alone that aren't kept yet")
    asked = parser.parse_args()
    if shutil.which("bash") is None:
        sys.exit("needs bash")
    kept = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {"speeds": []}
    known = {one["command"]: Speed(**one) for one in kept["speeds"]}
    machine = str(this_processor())
    for timed in COMMANDS:
        wanted = asked.only is None or asked.only in timed.command
        if wanted and not (asked.missing and timed.command in known):
            known[timed.command] = speed(timed)
            print(known[timed.command], flush=True)
            speeds = [known[one.command] for one in COMMANDS if one.command in known]
            content = {"machine": machine, "speeds": [asdict(one) for one in speeds]}
            RESULTS.write_text(json.dumps(content, indent=1) + "\n")
            PAGE.write_text(page(speeds, machine), encoding="utf-8")


if __name__ == "__main__":
    main()
