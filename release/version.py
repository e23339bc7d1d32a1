"""The version of what is built: that of the tag it stands on, else of what comes next.

Hatchling reads ``__version__`` here; a source distribution carries it in its own metadata. A tag
``v1.2.3`` gives 1.2.3, three commits later it is 1.2.4.dev3+g0123abc. Before the first tag, the
changelog says what comes next. Changes that aren't committed end the version in ``.dirty``.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_TAG = re.compile(r"v(\d+)\.(\d+)\.(\d+)")
_HEADING = re.compile(r"^## (\d+)\.(\d+)\.(\d+)", re.M)


def version_of(described: str | None, changelog: str) -> str:
    """The version of a tree.

    Args:
        described: what ``git describe --tags --long --dirty --always`` says of it; None where
            there is no repository.
        changelog: its text, for the number that comes next where no tag tells.

    Raises:
        ValueError: neither knows a number.
    """
    found = _HEADING.search(changelog)
    if found is None:
        raise ValueError("CHANGELOG.md has no heading such as: ## 1.2.3")
    upcoming = ".".join(found.groups())
    if described is None:
        return f"{upcoming}.dev0"
    dirty = ".dirty" if described.endswith("-dirty") else ""
    tag, *rest = described.removesuffix("-dirty").rsplit("-", 2)
    of_tag = _TAG.fullmatch(tag)
    if of_tag is None or len(rest) != 2:
        return f"{upcoming}.dev0+g{described.removesuffix('-dirty').rpartition('-g')[2]}{dirty}"
    major, minor, patch = map(int, of_tag.groups())
    commits, commit = rest
    if commits == "0" and not dirty:
        return f"{major}.{minor}.{patch}"
    return f"{major}.{minor}.{patch + 1}.dev{commits}+{commit}{dirty}"


def described() -> str | None:
    """What git says of this tree; None where it is in no repository of its own."""
    command = ["git", "describe", "--tags", "--match", "v[0-9]*", "--long", "--dirty", "--always"]
    if not (ROOT / ".git").exists():
        return None
    try:
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return said.stdout.strip()


__version__ = version_of(described(), (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))

if __name__ == "__main__":
    print(__version__)
