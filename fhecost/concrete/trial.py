"""A compilation in a process of its own, where Concrete may take the process with it.

Its optimizer aborts when a restriction of parameters leaves it with half a solution. Run as a
module it compiles what it reads from standard input, pickled, and ends as the compiler does.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from fhecost.processes import child_command, child_environment, removed_folder


def survives(compile_it: Callable[..., Any], *arguments: Any) -> bool:
    """Whether ``compile_it(*arguments)`` ends without ending its process."""
    content = pickle.dumps((compile_it, arguments))
    # An abort leaves what the compiler had written by then.
    with removed_folder("trial-") as folder:
        ran = subprocess.run(
            child_command(__name__),
            input=content,
            capture_output=True,
            check=False,
            env=child_environment(folder),
        )
    return ran.returncode >= 0


if __name__ == "__main__":
    compile_pickled, its_arguments = pickle.load(sys.stdin.buffer)
    compile_pickled(*its_arguments)
