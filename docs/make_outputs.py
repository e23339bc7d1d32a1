"""Run what the pages show, and write down what it prints: python docs/make_outputs.py [PAGE…].

In order, in an empty folder with the files of ``examples``:

- a ``console`` block holds commands after ``$`` and what they print, which is written anew;
- the commands of a ``bash`` block are run where that takes about a second (``QUICK``) and the files
  are there that they read; a test holds the others to the commands and options that there are;
- a ``python`` block is run, all of a page in one namespace, with the circuits of ``my_script.py``;
- a block of any language that begins with ``# NAME.EXTENSION`` is that file.

A comment above a block says what is else:

- ``<!-- slow: why -->``: only with ``--slow``;
- ``<!-- not run: why -->``: never;
- ``<!-- as: COMMAND -->``: this command's output is that of the one shown, which takes longer;
- ``<!-- show: PREFIX | PREFIX -->``: of what is printed, the paragraphs that begin so, or the
  sections under headings that do (with a full stop, their first paragraph); ``[…]`` stands for
  the others.

Several of these go with semicolons between them.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
GENERATED = {"api.md", "cli.md", "formulas.md"}
"""Pages whose blocks are signatures and formulas."""
_BLOCK = re.compile(
    r"^(?:<!-- (?P<marks>[^\n]*?) -->\n\n?)?```(?P<language>\w*)[^\n]*\n(?P<body>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_FILE = re.compile(r"# ([\w-]+\.\w+)\b")
QUICK = re.compile(
    r"sed |fhecost (?:project|hardware|validate|backtest|diff|cache info|models list)\b"
    r"(?!.* (?:-o|--plot) )|fhecost .*--profile\b(?!.* --plot )"
)
"""Commands that take less than a second: not those that compile, load weights or draw."""
_HEADING = re.compile(r"[A-Z]{4,}, .*|[^a-z\n]*[A-Z][^a-z\n]*")
"""Capitals alone, or a first word of them."""
_LEFT_OUT = "[…]"


@dataclass(frozen=True)
class Block:
    """A block of code of a page."""

    language: str
    body: str
    marks: str

    @property
    def file_name(self) -> str | None:
        """The file that it is, where it is one."""
        found = _FILE.match(self.body)
        return found[1] if found else None

    def mark(self, key: str) -> str:
        """What the comment above says after ``key`` and a colon; nothing where it doesn't."""
        found = re.search(rf"(?:^|; ){key}: ([^;]*)", self.marks)
        return found[1].strip() if found else ""

    def may_run(self, slow: bool) -> bool:
        """Whether it is run, in a slow or a quick pass."""
        return not self.mark("not run") and (slow or not self.mark("slow"))

    def commands(self) -> Iterator[str]:
        """The commands of a ``bash`` or ``console`` block."""
        joined = self.body.replace("\\\n", " ")
        for line in joined.splitlines():
            if self.language == "console":
                if line.startswith("$ "):
                    yield line[2:]
            elif line.strip() and not line.startswith("#"):
                yield re.sub(r"\s+# .*", "", line)


def blocks(text: str) -> list[Block]:
    """The blocks of code of a page."""
    found = _BLOCK.finditer(text)
    return [Block(each["language"], each["body"], each["marks"] or "") for each in found]


def page(path: Path, slow: bool = False) -> str:
    """The text of a page with what its commands print now.

    Raises:
        RuntimeError: a command of it fails that isn't shown to fail.
    """
    namespace: dict[str, Any] = {"__name__": "page"}
    known: dict[str, tuple[str, bool]] = {}
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        for example in EXAMPLES.glob("*"):
            if example.is_file():
                shutil.copy(example, name)
        shutil.copy(ROOT / "experiments" / "runs" / "gpt2-124m.jsonl", "runs.jsonl")

        def written(found: re.Match[str]) -> str:
            block = Block(found["language"], found["body"], found["marks"] or "")
            if block.file_name:
                Path(block.file_name).write_text(block.body, encoding="utf-8")
            if not block.may_run(slow):
                return found[0]
            if block.language == "console":
                return found[0].replace(found["body"], _console(block, slow, known))
            if block.language == "bash":
                for command in block.commands():
                    if block.mark("slow") or (QUICK.match(command) and _at_hand(command)):
                        _checked(command, slow)
            elif block.language == "python":
                code = compile(block.body, str(path), "exec")
                if slow and re.search(r"\b(?:circuit|counter)\b", block.body):
                    namespace.update(runpy.run_path("my_script.py"))
                if not block.file_name:
                    _in_folder(code, namespace)
            return found[0]

        return _BLOCK.sub(written, path.read_text(encoding="utf-8"))


def _at_hand(command: str) -> bool:
    """Whether the files are there that a command reads; what wasn't run may have to make them."""
    words = shlex.split(command)
    reads = [
        word
        for before, word in pairwise(words)
        if word.endswith((".json", ".jsonl")) and before not in ("-o", "--save-profile")
    ]
    return all(Path(word).exists() for word in reads)


def _in_folder(code: Any, namespace: dict[str, Any]) -> None:
    """Run code that may import files of the folder it is in."""
    before = list(sys.path)
    sys.path.insert(0, "")
    try:
        exec(code, namespace)
    finally:
        sys.path[:] = before


def _console(block: Block, slow: bool, known: dict[str, tuple[str, bool]]) -> str:
    """What stands in a ``console`` block; ``known`` is what the page's commands printed before."""
    prefixes = block.mark("show").split(" | ") if block.mark("show") else []
    parts = re.split(r"^(\$ (?:.*\\\n)*.*\n)", block.body, flags=re.MULTILINE)
    made = ""
    for command in parts[1::2]:
        meant = block.mark("as") or command[2:].replace("\\\n", " ").strip()
        if meant not in known:
            known[meant] = _run(meant, slow)
        printed, failed = known[meant]
        made += command + (printed if failed or not prefixes else part_of(printed, prefixes))
    return made


def part_of(printed: str, prefixes: list[str]) -> str:
    """The paragraphs and sections of ``printed`` that begin with one of ``prefixes``.

    Raises:
        LookupError: none begins with one of them.
    """
    kept: list[str] = []
    inside = 0
    for prefix in prefixes:
        if not re.search(rf"(?:\A|\n\n){re.escape(prefix.rstrip('.'))}", printed):
            raise LookupError(f"nothing begins with {prefix!r} in:\n{printed}")
    for paragraph in re.split(r"\n\n+", printed.strip("\n")):
        begins = [prefix for prefix in prefixes if paragraph.startswith(prefix.rstrip("."))]
        if _HEADING.fullmatch(paragraph):
            inside = 0 if not begins else 2 if begins[0].endswith(".") else len(printed)
        if begins or inside:
            kept.append(paragraph)
        elif kept[-1:] != [_LEFT_OUT]:
            kept.append(_LEFT_OUT)
        inside = max(0, inside - 1)
    return "\n\n".join(kept).replace(f"\n\n{_LEFT_OUT}", f"\n{_LEFT_OUT}") + "\n"


def _checked(command: str, slow: bool) -> None:
    printed, failed = _run(command, slow)
    if failed:
        raise RuntimeError(f"{command}: {printed}")


def _run(command: str, slow: bool) -> tuple[str, bool]:
    """What a command prints, and whether it fails; then it is what it says on stderr."""
    words = shlex.split(command)
    if words[0] == "fhecost" and not slow and not set(words) & {"|", ">"}:
        return _run_here(words[1:])
    environment = {**os.environ, "COLUMNS": "80"}
    bin_folder = str(Path(sys.executable).parent)
    environment["PATH"] = f"{bin_folder}:{environment['PATH']}"
    ran = subprocess.run(
        ["bash", "-c", command], env=environment, capture_output=True, text=True, check=False
    )
    return (ran.stderr, True) if ran.returncode else (ran.stdout, False)


def _run_here(arguments: list[str]) -> tuple[str, bool]:
    """The command line in this process, which saves starting one."""
    from fhecost.cli import main

    printed, said = io.StringIO(), io.StringIO()
    before, os.environ["COLUMNS"] = os.environ.get("COLUMNS"), "80"
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said):
            main(arguments)
    except SystemExit as end:
        if end.code:
            return said.getvalue(), True
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
    return printed.getvalue(), False


def main() -> None:
    """Write the pages named, or all, anew."""
    named = [Path(each).resolve() for each in sys.argv[1:] if each != "--slow"]
    with tempfile.TemporaryDirectory() as folder:
        # What the reader's own machines and files would change isn't for a page.
        os.environ["FHECOST_CONFIG"] = folder
        for path in named or PAGES:
            if path.name in GENERATED:
                continue
            made = page(path, slow="--slow" in sys.argv)
            if made != path.read_text(encoding="utf-8"):
                path.write_text(made, encoding="utf-8")
                print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
