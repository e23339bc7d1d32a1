"""What is released: its version, what its extras weigh, and what its core does alone."""

import os
import sys
from pathlib import Path

import pytest
import typer

from fhecost.cli import app
from tests.conftest import ROOT, load_script

RELEASE = ROOT / "release"


@pytest.fixture
def script(monkeypatch):
    """A script of ``release/`` as a module."""
    monkeypatch.syspath_prepend(str(RELEASE))

    def load(name):
        return load_script(RELEASE / f"{name}.py", f"release_{name}")

    yield load
    for name in ("version", "core_commands"):
        sys.modules.pop(name, None)


UNRELEASED = "# Changelog\n\n## Unreleased\n\n## 0.4.0 (unreleased)\n\n## 0.3.0 (2026-01-01)\n"


@pytest.mark.parametrize(
    ("described", "version"),
    [
        ("v1.2.3-0-g0123abc", "1.2.3"),
        ("v1.2.3-0-g0123abc-dirty", "1.2.4.dev0+g0123abc.dirty"),
        ("v1.2.3-17-g0123abc", "1.2.4.dev17+g0123abc"),
        ("0123abc", "0.4.0.dev0+g0123abc"),
        ("0123abc-dirty", "0.4.0.dev0+g0123abc.dirty"),
        ("v1.2.3-rc1-4-g0123abc", "0.4.0.dev0+g0123abc"),
        (None, "0.4.0.dev0"),
    ],
)
def test_the_version_is_that_of_the_tag(script, described, version):
    from packaging.version import Version

    made = script("version").version_of(described, UNRELEASED)
    assert made == version
    assert str(Version(made)) == made


def test_without_a_tag_and_a_heading_there_is_no_version(script):
    with pytest.raises(ValueError, match=r"no heading such as: ## 1\.2\.3"):
        script("version").version_of(None, "# Changelog\n\n## Unreleased\n")


def test_the_versions_of_this_tree_are_in_order(script):
    from packaging.version import Version

    assert Version(script("version").__version__) >= Version("0.1.0.dev0")


def names_of(group, before=()):
    """All commands below ``group``, as words."""
    commands = getattr(group, "commands", None)
    if not commands:
        return {before}
    return set().union(*(names_of(one, (*before, name)) for name, one in commands.items()))


def test_every_command_is_tried_with_the_core_alone(script):
    tried = [tuple(command.split()) for command in script("core_commands").COMMANDS]
    for name in names_of(typer.main.get_command(app)):
        assert any(command[: len(name)] == name for command in tried), name


def test_the_bill_has_all_extras(script):
    extras = script("extras")
    text = extras.PAGE.read_text(encoding="utf-8")
    told = {line.split("`")[1].strip("[]") for line in text.splitlines() if line.startswith("| `[")}
    assert told == set(extras.project()[1]), "python release/extras.py writes it anew"


def test_a_package_is_with_what_it_needs(script):
    extras = script("extras")
    needed, others = extras.project()
    core = extras.closure(needed, others)
    assert {"numpy", "pydantic", "pydantic-core", "typer", "scipy"} <= core.keys()
    assert not core.keys() & {"torch", "plotly", "concrete-python", "optuna"}
    assert extras.weight(core["numpy"]) > 10e6


@pytest.mark.slow
def test_every_command_works_with_the_core_alone_or_names_its_extra(script, tmp_path):
    """As ``make release`` tries them, with links to the core's packages for an environment."""
    extras = script("extras")
    site = tmp_path / "site"
    site.mkdir()
    for package in extras.closure(*extras.project()).values():
        for file in package.files:
            top = file.parts[0]
            if top != ".." and not (site / top).exists():
                (site / top).symlink_to(Path(package.locate_file(top)).resolve())
    (site / "fhecost").symlink_to(ROOT / "fhecost")
    for data in ("hardware", "models", "experiments"):
        (site / data).symlink_to(ROOT / data)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    python.chmod(0o755)
    place = tmp_path / "place"
    place.mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(site)}
    assert list(script("core_commands").faults(python, place, environment)) == []
