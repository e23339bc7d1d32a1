"""Run circuits in processes that are as good as new, without loading Concrete for each."""

from __future__ import annotations

import json
import selectors
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fhecost.errors import ImpossibleError
from fhecost.files import read_model
from fhecost.frozen import Frozen
from fhecost.measurement.cpu_use import CpuUse
from fhecost.measurement.run_record import RunTimes, Seconds
from fhecost.processes import child_command, child_environment, removed_folder
from fhecost.units import duration

_KILLED = -9
_ERRORS = "errors.txt"
_LOADED_S = 300.0
"""Loading Concrete takes one or two."""


class OutOfMemoryError(ImpossibleError):
    """The process of a step was killed, as the system does where memory ends."""


@dataclass(frozen=True)
class Repeats:
    """How often a circuit is run after the first time: on all threads, and then on one."""

    together: int
    alone: int = 0


class StepTimes(Frozen):
    """What one process measured: ``times`` on all threads, and ``alone_s``, warm runs on one.

    ``cpu`` is what all of it had of the processors.
    """

    times: RunTimes
    cpu: CpuUse
    alone_s: tuple[Seconds, ...] = ()

    @property
    def probe_s(self) -> float:
        """Median of the probes around the runs."""
        return statistics.median(self.times.probe_s)


class Forks:
    """Runs each circuit in a fork of one process that has loaded Concrete."""

    def __init__(self, process: subprocess.Popen[str], folder: Path, threads: int) -> None:
        self._process, self._folder, self._threads = process, folder, threads
        self._steps = 0

    def run(
        self, circuit: Any, inputs: Sequence[Any], repeats: Repeats, most_s: float
    ) -> StepTimes:
        """Make keys and run ``circuit``.

        Args:
            circuit: a ``concrete.fhe.Circuit``, compiled for execution.
            inputs: its arguments in the clear.
            repeats: how often it is run.
            most_s: seconds after which it is given up.

        Raises:
            OutOfMemoryError: its process was killed.
            ImpossibleError: it failed otherwise, or took too long.
        """
        self._steps += 1
        folder = self._folder / f"step-{self._steps}"
        folder.mkdir()
        circuit.server.save(folder / "server.zip")
        circuit.client.save(folder / "client.zip")
        np.savez(folder / "inputs.npz", *[np.asarray(values) for values in inputs])
        request = {"threads": self._threads, "together": repeats.together, "alone": repeats.alone}
        (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        status = self._status_of(folder, most_s)
        if status == _KILLED:
            raise OutOfMemoryError("the process was killed; out of memory?")
        if status != 0:
            reason = _last_line(folder / "output.txt")
            raise ImpossibleError(f"a run ended with status {status}: {reason}")
        return read_model(folder / "times.json", StepTimes)

    def _status_of(self, folder: Path, most_s: float) -> int:
        given = self._process.stdin
        assert given is not None
        try:
            given.write(f"{folder}\n")
            given.flush()
        except BrokenPipeError as error:
            raise self._ended() from error
        return int(self.answer(most_s))

    def answer(self, most_s: float) -> str:
        """The next line that the process prints.

        Raises:
            ImpossibleError: it has ended, or there is none within ``most_s`` seconds.
        """
        answers = self._process.stdout
        assert answers is not None
        with selectors.DefaultSelector() as selector:
            selector.register(answers, selectors.EVENT_READ)
            if not selector.select(most_s):
                raise ImpossibleError(f"a run took longer than {duration(most_s)}; it is given up")
        line = answers.readline()
        if not line:
            raise self._ended()
        return line.strip()

    def _ended(self) -> ImpossibleError:
        why = _last_line(self._folder / _ERRORS)
        return ImpossibleError(f"the process that runs circuits has ended: {why}")


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.is_file() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "no message")


@contextmanager
def forks(threads: int) -> Iterator[Forks]:
    """What runs circuits on ``threads`` threads, each in a process as good as new.

    Raises:
        ImpossibleError: there is no such process.
    """
    with removed_folder("forks-") as folder:
        environment = child_environment(
            folder, OMP_NUM_THREADS=str(threads), RAYON_NUM_THREADS=str(threads)
        )
        with (
            (folder / _ERRORS).open("wb") as errors,
            subprocess.Popen(
                child_command("fhecost.measurement.forked_process"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                text=True,
            ) as process,
        ):
            try:
                made = Forks(process, folder, threads)
                made.answer(_LOADED_S)
                yield made
            finally:
                # A step that is at work ends with it.
                process.kill()
