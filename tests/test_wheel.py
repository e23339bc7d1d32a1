"""The wheel, installed elsewhere, is a whole fhecost."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT, SAVED_PROFILE


def test_the_wheel_carries_what_the_commands_need(tmp_path):
    pytest.importorskip("build")
    site = tmp_path / "site"
    for command in (
        ["build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(ROOT)],
        ["pip", "install", "--quiet", "--no-deps", "--target", str(site)],
    ):
        if command[0] == "pip":
            command += [str(path) for path in (tmp_path / "dist").glob("*.whl")]
        built = subprocess.run(
            [sys.executable, "-m", *command], capture_output=True, text=True, check=False
        )
        assert built.returncode == 0, built.stderr
    code = (
        "import fhecost, sys\n"
        f"assert fhecost.__file__.startswith({str(site)!r}), fhecost.__file__\n"
        "from fhecost.data import data_folder\n"
        f"assert str(data_folder('models/embedded')).startswith({str(site)!r})\n"
        "from fhecost.gpt2.model import calibration_sentences, find_model, model_shape\n"
        "assert model_shape(find_model('embedded')).layers >= 1 and calibration_sentences()\n"
        "from fhecost.schemas import SCHEMAS, schema_path\n"
        "assert all(schema_path(name).is_file() for name in SCHEMAS)\n"
        "from fhecost.projection.trend import fit_trend\n"
        "assert fit_trend('cpu').figures\n"
        "from fhecost.cli import main\n"
        "main(['estimate', '--no-compile', '--model', 'gpt2', '--bits', '3', "
        "'--hardware', 'flashtfhe'])\n"
        f"main(['estimate', '--profile', {str(SAVED_PROFILE)!r}])\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "strix" in ran.stdout
    assert "closed form" in ran.stdout
    assert (site / "fhecost" / "py.typed").is_file()
