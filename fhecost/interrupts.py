"""Ctrl-C at any moment: one line and exit status 130, within two seconds.

Compiled code (Concrete, its compiler, torch) runs for minutes without looking at signals, and some
of it puts handlers of its own in place, which print where it was. So a command runs in a child that
never gets the signal: the process that was started waits for it, asks it to stop and, where it
doesn't, ends it. Processes of the child end with it, see :mod:`fhecost.processes`.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from mmap import mmap
from typing import Any, NoReturn

INTERRUPTED = 130
"""The exit status of what Ctrl-C ended."""

_GRACE_S = 1.2
"""For the child to stop by itself; Python's own code does within some milliseconds."""
_LOOK_EVERY_S = 0.01
_NOTE_BYTES = 4096
_CLEAN = "\r\x1b[2K\x1b[?25h"
"""Takes a progress bar that nobody ends off a terminal, and shows its cursor again."""

_note = mmap(-1, _NOTE_BYTES)
"""What is kept of a command that is interrupted: written by the child, read by its parent."""
_stopping = False
_supervised = False


def say_kept(what: str) -> None:
    """Have the line of an interrupt say ``what`` is kept of the results so far."""
    said = what.encode()[: _NOTE_BYTES - 1].ljust(_NOTE_BYTES, b"\0")
    _note[:] = said


def interrupted_line() -> str:
    """The one line that an interrupt leaves."""
    kept = bytes(_note).rstrip(b"\0").decode("utf-8", "ignore")
    return f"fhecost: interrupted; {kept}" if kept else "fhecost: interrupted"


def said_by_parent() -> bool:
    """Whether this process was asked to stop by one that says so, and must be silent."""
    return _supervised and _stopping


def supervised(run: Callable[[], None]) -> None:
    """Call ``run`` in a child, as if it were here; Ctrl-C ends it, whatever it is at.

    Raises:
        SystemExit: with the status of the child; 130 after an interrupt.
    """
    if not hasattr(os, "fork"):
        run()
        return
    sys.stdout.flush()
    sys.stderr.flush()
    # An interrupt between the fork and the wait is for the parent, and comes after it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    parent = os.getpid()
    child = os.fork()
    if child != 0:
        _wait_for(child)
    _begin_child(parent)
    try:
        run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    finally:
        # What is left to do takes no time, and nothing is to be heard of it.
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def _begin_child(parent: int) -> None:
    global _supervised
    from fhecost.processes import end_with

    _supervised = True
    # SIGINT stays blocked, here and in all threads and processes that begin here.
    signal.signal(signal.SIGUSR1, _stop_here)
    end_with(parent)


def _stop_here(*_: Any) -> NoReturn:
    global _stopping
    _stopping = True
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    # The parent has the last word: whatever breaks here in mid-work is not to be shown.
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    raise KeyboardInterrupt


def _wait_for(child: int) -> NoReturn:
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        _, status = os.waitpid(child, 0)
    except KeyboardInterrupt:
        if _ended(child):
            sys.exit(0)
        if sys.stderr.isatty():
            sys.stderr.write(_CLEAN)
        print(interrupted_line(), file=sys.stderr)
        sys.exit(INTERRUPTED)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        print(f"fhecost: {_killed_by(-code)}", file=sys.stderr)
        code = 128 - code
    sys.exit(code)


def _ended(child: int) -> bool:
    """Have the child end; whether it had done all its work by then."""
    # A second interrupt leaves it no more time.
    with suppress(KeyboardInterrupt):
        os.kill(child, signal.SIGUSR1)
        end = time.monotonic() + _GRACE_S
        while time.monotonic() < end:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return status == 0
            time.sleep(_LOOK_EVERY_S)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def _killed_by(number: int) -> str:
    """What ended the child, in words."""
    if number == signal.SIGKILL:
        return "the process was killed, perhaps for its memory"
    return f"the process was ended by {signal.Signals(number).name}"
