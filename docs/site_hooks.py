"""What the site takes from outside ``docs``: files that pages link to, notebooks, forgotten pages.

mkdocs calls these functions (``hooks`` in ``mkdocs.yml``). Links are written for GitHub, relative
to the repository; here each one that leaves ``docs`` is led to a copy in the site.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
COPIES = "repository"
"""The folder of the site with what isn't in ``docs``, at its own path."""
_LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")
_SOURCES: dict[str, Path] = {}
"""Where each page that was brought in comes from, by its place in the site."""


def on_config(config: Any) -> None:
    """Pages that no line of ``nav`` names stand in a last section, so that none is lost."""
    named = set(_named(config.nav))
    pages = (path.relative_to(DOCS).as_posix() for path in sorted(DOCS.rglob("*.md")))
    left = [page for page in pages if page not in named]
    if left:
        config.nav.append({"More": left})


def _named(entries: Any) -> Iterator[str]:
    if isinstance(entries, str):
        yield entries
    elif entries:
        for entry in entries.values() if isinstance(entries, dict) else entries:
            yield from _named(entry)


def on_files(files: Files, config: Any) -> None:
    """Add every file that a page links to, and those that these link to in turn."""
    waiting = [path for page in DOCS.rglob("*.md") for path in _outside(page, page.read_text())]
    named = [PurePosixPath(entry) for entry in _named(config.nav)]
    waiting += [ROOT.joinpath(*entry.parts[1:]) for entry in named if entry.parts[0] == COPIES]
    waiting += sorted((ROOT / "examples").glob("*.ipynb"))
    while waiting:
        path = waiting.pop()
        place = _place(path)
        if files.get_file_from_path(place) is not None:
            continue
        text = _page_of(path)
        if text is None:
            made = File.generated(
                config, place, abs_src_path=str(path), inclusion=InclusionLevel.INCLUDED
            )
        else:
            made = File.generated(config, place, content=text, inclusion=InclusionLevel.INCLUDED)
            _SOURCES[place] = path / "index" if path.is_dir() else path
            waiting += _outside(_SOURCES[place], text)
        files.append(made)


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Lead links that leave ``docs`` to the copies."""
    here = page.file.src_uri
    source = _SOURCES.get(here, DOCS / here)

    def led(found: re.Match[str]) -> str:
        target = _target(source, found[2])
        if target is None or (here not in _SOURCES and _is_in_docs(target)):
            return found[0]
        way = os.path.relpath(_place(target), str(PurePosixPath(here).parent))
        return f"{found[1]}{way}{found[3] or ''}{found[4]}"

    return _LINK.sub(led, markdown)


def _target(source: Path, link: str) -> Path | None:
    """The file or folder of this repository that a link means."""
    if ":" in link:
        return None
    path = Path(os.path.normpath(source.parent / link))
    if (path / "README.md").is_file():
        path /= "README.md"
    return path if path.is_relative_to(ROOT) and path.exists() else None


def _outside(source: Path, text: str) -> list[Path]:
    targets = (_target(source, found[2]) for found in _LINK.finditer(text))
    return [path for path in targets if path is not None and not _is_in_docs(path)]


def _is_in_docs(path: Path) -> bool:
    """Whether mkdocs knows a file by itself; scripts that make pages it doesn't."""
    return path.is_relative_to(DOCS) and path.suffix != ".py"


def _place(path: Path) -> str:
    """Where a file of the repository is in the site."""
    if _is_in_docs(path):
        return path.relative_to(DOCS).as_posix()
    inside = path.relative_to(ROOT)
    if path.suffix == ".ipynb":
        return inside.with_suffix(".md").as_posix()
    return f"{COPIES}/{inside.as_posix()}{'/index.md' if path.is_dir() else ''}"


def _page_of(path: Path) -> str | None:
    """The Markdown of what becomes a page; None of what is copied."""
    if path.is_dir():
        inside = path.relative_to(ROOT).as_posix()
        names = sorted(each.name for each in path.iterdir() if each.is_file())
        return f"# {inside}\n\n" + "\n".join(f"- [{name}]({name})" for name in names) + "\n"
    if path.suffix == ".ipynb":
        return notebook_page(json.loads(path.read_text(encoding="utf-8")))
    return path.read_text(encoding="utf-8") if path.suffix == ".md" else None


def notebook_page(notebook: dict[str, Any]) -> str:
    """A notebook as Markdown: its texts, its code, and what the code printed."""
    parts: list[str] = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            data = output.get("data", {})
            text = "".join(output.get("text", data.get("text/plain", ""))).rstrip()
            page = "".join(data.get("text/html", ""))
            parts.append(f"<div>{page}</div>" if page else f"```text\n{text}\n```")
    return "\n\n".join(parts) + "\n"
