"""The control groups of this process: where Linux keeps what a container may use.

Both versions are read. In the second each group has all its files in one folder; in the first each
controller has a tree of its own. A limit of any group holds for those below it, so all folders from
the process's own up to the root are looked at. Inside a container the root of the tree is often the
container's own group, while ``/proc/self/cgroup`` still names the path on the host: the root is
looked at in any case.
"""

from __future__ import annotations

from pathlib import Path

PROCESS = Path("/proc/self/cgroup")
ROOT = Path("/sys/fs/cgroup")


def cgroup_folders(process: Path = PROCESS, root: Path = ROOT) -> list[Path]:
    """The folders of all groups that this process is in, innermost first, each once.

    Args:
        process: as ``/proc/self/cgroup``; it need not be there.
        root: as ``/sys/fs/cgroup``; it need not be there.
    """
    found: dict[Path, None] = {}
    for line in read_words(process).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        names = ("", "unified") if not controllers else (controllers, *controllers.split(","))
        for tree in dict.fromkeys(root / name for name in names):
            inner = tree / group.lstrip("/")
            for folder in (inner, *inner.parents):
                if folder.is_relative_to(tree) and folder.is_dir() and ".." not in folder.parts:
                    found[folder] = None
    return list(found)


def read_words(path: Path) -> str:
    """What the file at ``path`` says; nothing where it can't be read."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
