"""Write docs/extras.md: what each extra of fhecost installs and weighs, as it is installed here.

python release/extras.py, in an environment that has them all. What fhecost's core needs is counted
once, with the core; a package that several extras bring is counted with each.
"""

from __future__ import annotations

import platform
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from version import ROOT

PAGE = ROOT / "docs" / "extras.md"
_SHOWN = 4
_HEAD = """\
# What each extra installs

Written by `python release/extras.py`, which adds up the files of the packages as they are
installed. `pip install fhecost` brings the core; `pip install 'fhecost[gpt2,concrete]'` what
compiling a head of a model takes.
"""


def project() -> tuple[list[str], dict[str, list[str]]]:
    """The requirements of the core, and of each extra, as pyproject.toml has them."""
    said = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return said["dependencies"], said["optional-dependencies"]


def closure(requirements: Iterable[str], extras: dict[str, list[str]]) -> dict[str, Distribution]:
    """All packages that ``requirements`` bring, by name.

    Raises:
        PackageNotFoundError: one isn't installed here.
    """
    found: dict[str, Distribution] = {}
    left = [Requirement(text) for text in requirements]
    while left:
        one = left.pop()
        name = canonicalize_name(one.name)
        if name == "fhecost":
            left += [Requirement(text) for extra in one.extras for text in extras[extra]]
            continue
        known = name in found
        installed = found.setdefault(name, distribution(name))
        if known and not one.extras:
            continue
        for text in installed.requires or ():
            needed = Requirement(text)
            wanted = one.extras or {""}
            marker = needed.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in wanted):
                left.append(needed)
    return found


def weight(package: Distribution) -> int:
    """Bytes of the files that ``package`` installed."""
    paths = (Path(str(package.locate_file(file))) for file in package.files or ())
    return sum(path.stat().st_size for path in paths if path.is_file())


def rows() -> Iterator[tuple[str, int, int, str]]:
    """Of the core and each extra: how many packages, their bytes, and the heaviest of them."""
    needed, extras = project()
    core = closure(needed, extras)
    yield _row("the core", core)
    for extra, requirements in extras.items():
        brought = closure(requirements, extras)
        yield _row(f"`[{extra}]`", {name: brought[name] for name in brought.keys() - core.keys()})


def _row(title: str, packages: dict[str, Distribution]) -> tuple[str, int, int, str]:
    weights = {name: weight(package) for name, package in packages.items()}
    heaviest = sorted(weights, key=lambda name: -weights[name])[:_SHOWN]
    said = ", ".join(
        f"{name} {packages[name].version} ({_size(weights[name])})" for name in heaviest
    )
    return title, len(packages), sum(weights.values()), said


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count < 1e8 else f"{count / 1e6:,.0f} MB"


def page() -> str:
    """The page."""
    lines = [
        _HEAD,
        "| | packages | weight | the heaviest |",
        "| --- | ---: | ---: | --- |",
        *(f"| {title} | {count} | {_size(size)} | {said} |" for title, count, size, said in rows()),
        "",
        f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, the",
        "versions of `constraints.txt`, torch built for the CPU; its usual build carries CUDA and",
        "weighs several GB. The embedded model's weights come with fhecost itself.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    try:
        PAGE.write_text(page(), encoding="utf-8")
    except PackageNotFoundError as error:
        sys.exit(f"{error}: all extras must be installed to weigh them")
