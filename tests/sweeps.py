"""What tests of sweeps share: a small experiment, its results, and tasks in this process."""

from contextlib import nullcontext

import pytest
import yaml

from fhecost.engine.here import Here
from fhecost.sweep import run
from fhecost.sweep.run import run_sweep

SMALL = {
    "title": "small",
    "steps": ["count", "estimate"],
    "grid": {
        "model": "gpt2",
        "variant": "compact",
        "seq_len": [2, 3],
        "bits": [2, 3],
        "hardware": ["h100", "strix"],
    },
}
"""Eight points of four circuits, in closed form."""


@pytest.fixture
def write(tmp_path):
    """Write an experiment's file."""

    def written(content, name="small.yaml"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    return written


@pytest.fixture
def small(write):
    return write(SMALL)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The file of results of the small experiment, in bytes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(SMALL))
    run_sweep(path, folder / "r.jsonl", processes=2)
    return (folder / "r.jsonl").read_bytes()


@pytest.fixture
def here(monkeypatch):
    """Tasks in this process, where a test can see and change what they do."""
    monkeypatch.setattr(run, "runner", lambda *_, **__: nullcontext(Here()))
