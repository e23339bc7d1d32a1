"""Fixtures: an isolated cache, the saved profile, and folders that may be absent."""

import importlib.util
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fhecost.circuits.profile import CircuitProfile, load_profile
from fhecost.files import cache_folder
from fhecost.heads.operators import ClearOperators
from fhecost.models.kept import is_kept, kept_folder
from tests.drawn import consistent

ROOT = Path(__file__).parent.parent
USERS_SMOLLM2 = kept_folder("smollm2")
"""Where ``fhecost models fetch smollm2`` keeps it, before tests have a cache of their own."""
SAVED_PROFILE = ROOT / "tests" / "data" / "reference_head_l6_b3.json"


@pytest.fixture(scope="session", autouse=True)
def _own_folders(tmp_path_factory):
    """The tests never see, and never fill, the user's cache and configuration."""
    folder = tmp_path_factory.mktemp("user")
    os.environ["FHECOST_CACHE"] = str(folder / "cache")
    os.environ["FHECOST_CONFIG"] = str(folder / "config")


@pytest.fixture(scope="session")
def saved_profile() -> CircuitProfile:
    """The embedded model's layer 0, head 2 at L=6 and 3 bits, compiled once and committed."""
    return load_profile(SAVED_PROFILE)


@pytest.fixture(scope="session")
def gpt2_124m() -> Path:
    """The real first-layer attention of GPT-2 124M, which lies beside the project or nowhere."""
    folder = ROOT.parent / "shared" / "gpt2-124m"
    if not folder.is_dir():
        pytest.skip(f"needs the real GPT-2 weights in {folder.parent.name}/{folder.name}")
    return folder


@pytest.fixture(scope="session")
def smollm2() -> str:
    """SmolLM2-135M under its own name, where it has been fetched."""
    if not is_kept(USERS_SMOLLM2):
        pytest.skip("needs SmolLM2's weights: fhecost models fetch smollm2")
    here = kept_folder("smollm2")
    assert here.is_relative_to(cache_folder())
    if not here.exists():
        here.parent.mkdir(parents=True, exist_ok=True)
        here.symlink_to(USERS_SMOLLM2)
    return "smollm2"


@pytest.fixture(scope="session")
def facts() -> Path:
    folder = ROOT.parent / "shared" / "facts"
    if not folder.is_dir():
        pytest.skip(f"needs the published figures in {folder.parent.name}/{folder.name}")
    return folder


@pytest.fixture
def run_fhecost(tmp_path):
    """Run the command line as a user does, in an empty folder; returns the finished process."""

    def run(*arguments, environment=None):
        return subprocess.run(
            [sys.executable, "-m", "fhecost", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "80", **(environment or {})},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run


@pytest.fixture
def edited_profile(tmp_path):
    """Write the saved profile with changes to its JSON, without the hash; returns the path.

    A ``whole`` one has the keys, the work and the errors of its changed stages.
    """

    def write(change, whole=False) -> Path:
        content = json.loads(SAVED_PROFILE.read_text())
        del content["hash"]
        change(content)
        if whole:
            content = consistent(content)
        path = tmp_path / "edited.json"
        path.write_text(json.dumps(content))
        return path

    return write


def load_script(path, name=None):
    """A script that lies in no package as a module, under ``name`` or its own."""
    name = name or path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    # Data classes look for their module while it is made.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def launcher(folder):
    """The environment in which a shell finds the tree's own ``fhecost``, put into ``folder``."""
    command = folder / "fhecost"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m fhecost "$@"\n')
    command.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}


def attend_quantized(heads, hidden, operators=None):
    """The values of quantized heads in the clear, (L, E) to (heads, L, d)."""
    integers = heads.run(heads.quantize_input(hidden), operators or ClearOperators())
    return heads.dequantize_output(integers)
