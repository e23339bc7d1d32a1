"""Processes that end with the one that began them, and temporary folders that go with it.

A process that is killed can't clean up. A child therefore asks the kernel, or looks, whether its
parent is there; and a small process of its own waits for the end of the one that has temporary
folders and removes what that one has left.

Run as ``python -m fhecost.processes PARENT MODULE ARGUMENTS…`` it is a child that runs a module.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # from <linux/prctl.h>
_LOOK_EVERY_S = 0.5
_IS_CHILD = "FHECOST_CHILD"

_SWEEPER = """
import os, shutil, sys, time
sys.stdin.read()
for _ in range(200):
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    if not os.path.lexists(sys.argv[1]):
        break
    time.sleep(0.1)
"""
"""Waits for the end of its standard input, which only its parent can write to. A linker or browser
may go on for a while and put files into the folder."""


def child_command(module: str, *arguments: str) -> list[str]:
    """The command that runs ``module`` in a process which ends when this one does."""
    return [sys.executable, "-m", __name__, str(os.getpid()), module, *arguments]


def child_environment(folder: Path, **variables: str) -> dict[str, str]:
    """The environment of a child whose temporary files are all within ``folder``."""
    return {**os.environ, "TMPDIR": str(folder), _IS_CHILD: "1", **variables}


def end_with(parent: int) -> None:
    """End this process, whatever it does, as soon as its parent has ended.

    Args:
        parent: the parent's process ID. One that has ended by now ends this process too.
    """
    if sys.platform.startswith("linux"):
        # The kernel kills it; a thread of Python's may wait long while compiled code runs.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=_look_for, args=(parent,), daemon=True).start()
    _end_without(parent)


def _look_for(parent: int) -> None:
    while True:
        time.sleep(_LOOK_EVERY_S)
        _end_without(parent)


def _end_without(parent: int) -> None:
    if os.getppid() != parent:
        os._exit(1)


@contextmanager
def removed_folder(prefix: str) -> Iterator[Path]:
    """A :func:`temporary_folder` that goes with the block, whatever else is in it by then."""
    folder = temporary_folder(prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def temporary_folder(prefix: str = "") -> Path:
    """A new folder that is gone once this process has ended, however it ends."""
    return Path(tempfile.mkdtemp(prefix=prefix, dir=_SESSION.folder()))


@contextmanager
def folders_within(prefix: str) -> Iterator[None]:
    """Remove, after the block, all :func:`temporary_folder` that were made in it.

    A process of many tasks would else keep those of each to its end. One thread at a time.
    """
    with removed_folder(prefix) as folder, _SESSION.at(folder):
        yield


@contextmanager
def temporary_files_within(folder: Path) -> Iterator[None]:
    """Have others' code, and the processes that it starts, make temporary files in ``folder``."""
    before, variable = tempfile.tempdir, os.environ.get("TMPDIR")
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before
        if variable is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = variable


class _Session:
    """The one folder of this process that holds all its temporary ones."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._lock = threading.Lock()
        self._sweeper: subprocess.Popen[bytes] | None = None
        os.register_at_fork(after_in_child=self._let_go)

    def folder(self) -> Path:
        """The folder, which is made when it is first asked for."""
        with self._lock:
            if self._folder is None or not self._folder.is_dir():
                self._folder = Path(tempfile.mkdtemp(prefix="fhecost-"))
                # What a child leaves is in its parent's folder, and goes with that.
                if _IS_CHILD not in os.environ:
                    self._watch(self._folder)
                atexit.register(_remove, self._folder, os.getpid())
            return self._folder

    @contextmanager
    def at(self, folder: Path) -> Iterator[None]:
        """Have ``folder`` hold all temporary ones for a while."""
        before, self._folder = self._folder, folder
        try:
            yield
        finally:
            self._folder = before

    def _watch(self, folder: Path) -> None:
        # Without it, the folder goes at the end of a process that isn't killed.
        with suppress(OSError):
            self._sweeper = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _SWEEPER, str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                # Ctrl-C, or a signal to all processes of a terminal, isn't for it.
                start_new_session=True,
            )

    def _let_go(self) -> None:
        """In a forked process: the sweeper waits for the parent alone."""
        self._lock = threading.Lock()
        if self._sweeper is not None and self._sweeper.stdin is not None:
            self._sweeper.stdin.close()
            # Nobody's child here: it is neither waited for nor warned of.
            self._sweeper.returncode = 0


def _remove(folder: Path, owner: int) -> None:
    # A forked process has its parent's list of what to do at the end.
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


_SESSION = _Session()


if __name__ == "__main__":
    end_with(int(sys.argv[1]))
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
