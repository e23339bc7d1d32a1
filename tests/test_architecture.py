"""The house: which room may use which, and the half of it that stands without the other's tools."""

import ast
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT, SAVED_PROFILE

PACKAGE = "fhecost"

FLOORS = (
    ("version", "errors", "frozen", "progress", "data", "plain", "processes"),
    ("interrupts",),
    ("fields",),
    ("files", "units", "provenance", "quantization", PACKAGE),
    ("json_lines", "caches"),
    ("circuits", "models"),
    ("heads", "hardware"),
    ("concrete", "engine"),
    ("gpt2",),
    ("closed_form",),
    ("circuit_request", "generation", "measurement"),
    ("accuracy", "validation"),
    ("projection", "search", "sweep"),
    ("full_report",),
    ("schemas", "report"),
    ("pipeline",),
    ("explore",),
    ("cli",),
    ("__main__",),
)
"""The rooms (packages and modules right below fhecost) from the ground up.

A room uses what lies below its floor: nothing above, and nothing beside it. ``fhecost`` itself is
its ``__init__``, whose public names are loaded when they are asked for.
"""

LATENCY_HALF = (
    *("version", "errors", "frozen", "fields", "progress", "data", "plain", "files", "units"),
    *("provenance", PACKAGE, "caches", "circuits", "hardware"),
)
"""What times a circuit profile; the renderers of an estimate and a comparison belong to it too."""

LATENCY_HALF_NEEDS = frozenset({"numpy", "pydantic", "pydantic_core", "yaml"})

RENDERING = """
from fhecost.report.comparison_document import comparison_document
from fhecost.report.estimate_document import estimate_document
from fhecost.report.render import RENDERERS

rendered = [
    render(document)
    for document in (estimate_document(estimates), comparison_document(comparison))
    for render in RENDERERS.values()
]
"""
"""How ``estimates`` and ``comparison`` become texts."""

TIMING = """
import sys
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, sys.argv[1])
for absent in ("scipy", "typer", "rich", "torch", "concrete"):
    assert find_spec(absent) is None, absent
from fhecost.circuits.profile import load_profile
from fhecost.hardware.comparison import compare
from fhecost.hardware.estimator import estimate_all
from fhecost.hardware.library import load_hardware

machines = load_hardware("all")
estimates = estimate_all(load_profile(Path(sys.argv[2])), machines, skip_impossible=True)
comparison = compare(estimates, machines)
"""

LONGEST_MODULE = 400


@dataclass(frozen=True)
class Import:
    """One module uses another; ``late`` is inside a function, when the function is called."""

    of: str
    target: str
    late: bool


def modules_of(folder: Path) -> dict[str, Path]:
    """The modules of the package in ``folder`` by their dotted names."""
    paths = sorted((folder / PACKAGE).rglob("*.py"))
    names = (".".join(path.relative_to(folder).with_suffix("").parts) for path in paths)
    return {name.removesuffix(".__init__"): path for name, path in zip(names, paths, strict=True)}


def imports_of(folder: Path) -> Iterator[Import]:
    """All imports of the package in ``folder``, without those that only a type checker makes."""
    modules = modules_of(folder)
    for name, path in modules.items():
        for node, late in _statements(ast.parse(path.read_text()), late=False):
            if isinstance(node, ast.Import):
                yield from (Import(name, alias.name, late) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.module, f"{path}: a relative import"
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    yield Import(name, inner if inner in modules else node.module, late)


def _statements(node: ast.AST, *, late: bool) -> Iterator[tuple[ast.AST, bool]]:
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return
    yield node, late
    late = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    for child in ast.iter_child_nodes(node):
        yield from _statements(child, late=late)


def room_of(module: str) -> str:
    """The room of a module of the package."""
    return module.split(".")[1] if "." in module else module


def inside(imports: Iterable[Import]) -> list[Import]:
    """Imports of the package's own modules."""
    return [one for one in imports if one.target.split(".")[0] == PACKAGE]


def cycle(imports: Iterable[Import]) -> list[str]:
    """Modules that need each other; empty when there are none."""
    needs: dict[str, set[str]] = {}
    for one in inside(imports):
        needs.setdefault(one.of, set()).add(one.target)
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def arrows_not_down(imports: Iterable[Import]) -> list[str]:
    """Imports from one room of another that doesn't lie below it."""
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    return [
        f"{one.of} -> {one.target}{' (late)' if one.late else ''}"
        for one in inside(imports)
        if room_of(one.of) != room_of(one.target)
        and floor[room_of(one.of)] <= floor[room_of(one.target)]
    ]


def test_every_room_has_its_floor():
    rooms = {room_of(name) for name in modules_of(ROOT)}
    assert sorted(room for floor in FLOORS for room in floor) == sorted(rooms)


# Imports inside functions count too: they are late for the sake of the start, not of the order.


def test_no_module_needs_one_that_needs_it():
    assert cycle(imports_of(ROOT)) == []


def test_no_arrow_goes_up():
    assert arrows_not_down(imports_of(ROOT)) == []


def test_the_latency_half_imports_nothing_else():
    allowed = {*LATENCY_HALF_NEEDS, *sys.stdlib_module_names}
    others = [
        f"{one.of} -> {one.target}"
        for one in imports_of(ROOT)
        if room_of(one.of) in LATENCY_HALF
        and one.target.split(".")[0] not in allowed
        and room_of(one.target) not in LATENCY_HALF
    ]
    assert others == []


def test_the_latency_half_runs_with_nothing_else_installed(tmp_path):
    """A folder with the three distributions, and what they need themselves, is all there is."""
    for name in (
        *("numpy", "pydantic", "pydantic_core", "annotated_types", "typing_extensions"),
        *("typing_inspection", "yaml", PACKAGE),
    ):
        origin = Path(importlib.util.find_spec(name).origin)
        place = origin.parent if origin.name == "__init__.py" else origin
        (tmp_path / place.name).symlink_to(place)
        # Wheels keep shared libraries beside the package.
        libraries = place.with_name(f"{name}.libs")
        if libraries.is_dir():
            (tmp_path / libraries.name).symlink_to(libraries)
    (tmp_path / "hardware").symlink_to(ROOT / "hardware")
    last = "print(len(rendered), *rendered, sep='\\n')"
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", TIMING + RENDERING + last, tmp_path, SAVED_PROFILE],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout.splitlines()[0]) == 8
    for machine in (path.stem for path in (ROOT / "hardware").glob("*.yaml")):
        assert machine in ran.stdout


def test_no_module_is_long():
    lengths = {name: len(path.read_text().splitlines()) for name, path in modules_of(ROOT).items()}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_MODULE} == {}


@pytest.mark.parametrize(
    ("sources", "found"),
    [
        ({"units": "import fhecost.hardware.gpu"}, ["fhecost.units -> fhecost.hardware.gpu"]),
        (
            {"units": "def late():\n    from fhecost.hardware import gpu"},
            ["fhecost.units -> fhecost.hardware.gpu (late)"],
        ),
        ({"units": "from fhecost.files import read_text"}, ["fhecost.units -> fhecost.files"]),
        ({"units": "if TYPE_CHECKING:\n    import fhecost.hardware.gpu"}, []),
        ({"cli": "import fhecost.hardware.gpu"}, []),
    ],
)
def test_an_arrow_that_goes_up_is_found(tmp_path, sources, found):
    package = tmp_path / PACKAGE
    (package / "hardware").mkdir(parents=True)
    for name, source in {"hardware/gpu": "", "files": "", **sources}.items():
        (package / f"{name}.py").write_text(source)
    assert arrows_not_down(imports_of(tmp_path)) == found


def test_a_cycle_is_found(tmp_path):
    (tmp_path / PACKAGE).mkdir()
    for name, other in (("a", "b"), ("b", "c"), ("c", "a")):
        (tmp_path / PACKAGE / f"{name}.py").write_text(f"from fhecost import {other}\n")
    assert len(cycle(imports_of(tmp_path))) == 4


FOLDERS = "docs|experiments|fhecost|hardware|models|tests"
CITED = re.compile(rf"(?<![\w./@:-])(?:{FOLDERS})/[\w./*-]*[\w*]")
"""A path of this repository in a text; one of another repository has its name in front."""
LINKED = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
PAGES = sorted(
    [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    + [path for folder in ("experiments", "models") for path in (ROOT / folder).rglob("*.md")]
)


def missing(folder: Path, cited: Iterable[str]) -> list[str]:
    """What is cited and isn't there."""
    return [path for path in cited if not any(folder.glob(path.rstrip("/")))]


def refs(content: object) -> Iterator[str]:
    """All texts in a hardware profile that may say where something is to be read."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict | list):
        for value in content.values() if isinstance(content, dict) else content:
            yield from refs(value)


@pytest.mark.parametrize("path", sorted((ROOT / "hardware").glob("*.yaml")), ids=lambda p: p.stem)
def test_what_a_machine_cites_is_there(path):
    cited = {
        found for text in refs(yaml.safe_load(path.read_text())) for found in CITED.findall(text)
    }
    assert missing(ROOT, cited) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_cites_is_there(page):
    text = page.read_text()
    linked = [link for link in LINKED.findall(text) if not (page.parent / link).exists()]
    quoted = [path for quote in re.findall(r"`([^`\n]+)`", text) for path in CITED.findall(quote)]
    assert linked + missing(ROOT, quoted) == []
