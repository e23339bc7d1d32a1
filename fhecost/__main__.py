"""``python -m fhecost``, and the command ``fhecost``."""

from __future__ import annotations

from fhecost.interrupts import supervised


def _run() -> None:
    # In the child, so that an interrupt of the imports is one line too.
    from fhecost.cli import main as run

    run()


def main() -> None:
    """Run the command line in a process that Ctrl-C ends at any moment."""
    supervised(_run)


if __name__ == "__main__":
    main()
