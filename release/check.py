"""Build the wheel and the source distribution, and try them in an empty environment: make release.

The wheel is made from the source distribution, and installed with fhecost's core dependencies alone
into an environment of its own; there every command works or names its extra. Nothing is uploaded.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from core_commands import COMMANDS, faults
from version import ROOT, __version__

DIST = ROOT / "dist"
_RELEASED = re.compile(r"\d+\.\d+\.\d+")


def main() -> int:
    """The exit status: 1 where something is wrong."""
    found = list(unready())
    for path in DIST.glob("fhecost-*"):
        path.unlink()
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(DIST), str(ROOT))
    wheel = DIST / f"fhecost-{__version__}-py3-none-any.whl"
    source = DIST / f"fhecost-{__version__}.tar.gz"
    found += [f"{path}: wasn't built" for path in (wheel, source) if not path.is_file()]
    if not found:
        with tempfile.TemporaryDirectory() as folder:
            found += tried(wheel, Path(folder))
    for line in found:
        print(line, file=sys.stderr)
    if found:
        return 1
    for path in (wheel, source):
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e6:.1f} MB")
    released = _RELEASED.fullmatch(__version__)
    print(f"{__version__}: {'a release' if released else 'no release: HEAD has no tag of its own'}")
    return 0


def unready() -> list[str]:
    """What the files about a release don't say of it yet."""
    if not _RELEASED.fullmatch(__version__):
        return []
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    found = []
    if not re.search(rf"^## {re.escape(__version__)} \(\d{{4}}-\d\d-\d\d\)$", changelog, re.M):
        found.append(f"CHANGELOG.md: has no heading: ## {__version__} (its date)")
    if f"version: {__version__}\n" not in citation:
        found.append(f"CITATION.cff: version: must be {__version__}")
    return found


def tried(wheel: Path, folder: Path) -> list[str]:
    """What is wrong with ``wheel`` in an environment made in ``folder``."""
    environment = folder / "environment"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    run(
        *(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--constraint", str(ROOT / "constraints.txt"), str(wheel)),
    )
    place = folder / "place"
    place.mkdir()
    # Nothing of this checkout, and nothing of the user's.
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    found = list(faults(python, place, kept))
    print(f"{len(COMMANDS)} commands tried with the core dependencies alone")
    return found


def run(*command: str) -> None:
    """Run ``command``; what it says is seen only where it fails."""
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{ran.stdout}{ran.stderr}")


if __name__ == "__main__":
    sys.exit(main())
