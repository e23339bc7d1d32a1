"""Latency models that plug-ins bring: found by entry point, and harmless when broken."""

import csv
import io
import math
import os
import re
import subprocess
import sys

import pytest
import yaml

from tests.conftest import ROOT, SAVED_PROFILE

MODEL = """
from fhecost.hardware.estimate import Bottleneck
from fhecost.hardware.latency_model import Cost, Figures, LatencyModel
from fhecost.provenance import Figure


class AbacusFigures(Figures, extra="ignore"):
    pbs_s: Figure


class AbacusLatencyModel(LatencyModel[AbacusFigures]):
    figures_type = AbacusFigures
    assumptions = ("one PBS after the other",)

    def refusal(self, circuit, figures):
        return None

    def costs(self, circuit, figures, case):
        pbs_s, source = case.cost(figures.pbs_s), figures.pbs_s.source
        return [
            Cost(stage.name, "pbs", stage.pbs_count * pbs_s, Bottleneck.COMPUTE, source)
            for stage in circuit.stages
            if stage.pbs_count
        ]
"""


def assumed(value):
    return {"value": value, "source": "assumed", "rationale": "made up for the test"}


MACHINE = {
    "schema_version": 1,
    "title": "An abacus",
    "kind": "cpu",
    "latency_model": "abacus",
    "pbs_kind": "classic",
    "figures": {"pbs_s": assumed(2.0)},
    "references": ["made up for the test"],
}


def install(folder, name, source, entry_point):
    """What pip leaves behind of a package: its module, and the metadata that names the plug-in."""
    (folder / f"{name}.py").write_text(source)
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[fhecost.latency_models]\n{entry_point}\n")


@pytest.fixture
def estimate(run_fhecost, tmp_path):
    """Run an estimate with the plug-ins in ``packages`` and the machines in ``machines``."""
    packages, machines = tmp_path / "packages", tmp_path / "machines"
    packages.mkdir()
    machines.mkdir()
    (machines / "abacus-1.yaml").write_text(yaml.safe_dump(MACHINE))

    def run(*arguments):
        path = os.pathsep.join(map(str, (packages, ROOT)))
        return run_fhecost(
            "estimate", "--profile", SAVED_PROFILE, "--hardware-path", machines,
            "--format", "csv", *arguments, environment={"PYTHONPATH": path},
        )  # fmt: skip

    return packages, run


def rows_of(finished):
    assert finished.returncode == 0, finished.stderr
    return {row["hardware"]: row for row in csv.DictReader(io.StringIO(finished.stdout))}


def test_a_plug_in_costs_its_machine(estimate, saved_profile):
    packages, run = estimate
    install(packages, "abacus", MODEL, "abacus = abacus:AbacusLatencyModel")
    finished = run()
    rows = rows_of(finished)
    assert finished.stderr == ""
    assert float(rows["abacus-1"]["latency_s"]) == pytest.approx(2 * saved_profile.pbs_count)
    assert {"epyc-zen4-2", "h100", "strix"} < set(rows)


def test_a_broken_plug_in_is_one_warning_and_all_else_works(estimate):
    packages, run = estimate
    install(packages, "abacus", MODEL, "abacus = abacus:AbacusLatencyModel")
    install(packages, "sundial", "raise RuntimeError('no sun')", "sundial = sundial:Model")
    finished = run()
    assert {"abacus-1", "epyc-zen4-2", "h100", "strix"} <= set(rows_of(finished))
    assert finished.stderr == "warning: latency model 'sundial' can't be loaded: no sun\n"


def test_what_is_no_latency_model_is_a_warning_too(estimate):
    packages, run = estimate
    install(packages, "abacus", MODEL, "abacus = abacus:AbacusLatencyModel")
    install(packages, "sundial", "class Model: pass", "sundial = sundial:Model")
    finished = run("--hardware", "abacus-1")
    assert set(rows_of(finished)) == {"abacus-1"}
    assert finished.stderr == (
        "warning: latency model 'sundial' can't be loaded: sundial:Model is no LatencyModel\n"
    )


def test_a_plug_in_cant_take_the_place_of_a_shipped_model(estimate):
    packages, run = estimate
    install(packages, "abacus", MODEL, "cpu = abacus:AbacusLatencyModel")
    before = run("--hardware", "epyc-zen4-2")
    assert float(rows_of(before)["epyc-zen4-2"]["key_switch_s"]) > 0


def test_a_machine_of_a_missing_model_is_left_out_or_refused_by_name(estimate):
    _, run = estimate
    finished = run()
    assert set(rows_of(finished)) == {"here", "epyc-zen4-2", "h100", "hpu-v80", "strix"}
    assert finished.stderr.startswith("warning: ")
    assert "latency_model: 'abacus' is unknown; there is cpu, gpu, pipelined" in finished.stderr
    named = run("--hardware", "abacus-1")
    assert (named.returncode, named.stdout) == (2, "")
    assert len(named.stderr.splitlines()) == 1


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)


def test_the_docs_example_is_installed_and_costs_its_machine(run_fhecost, saved_profile, tmp_path):
    """A package made of what docs/machines.md shows, built and installed by pip."""
    page = (ROOT / "docs" / "machines.md").read_text(encoding="utf-8")
    package, installed = tmp_path / "package", tmp_path / "installed"
    package.mkdir()
    (package / "pyproject.toml").write_text(blocks(page, "toml")[0])
    (package / "processor_row.py").write_text(blocks(page, "python")[0])
    (package / "row-of-64.yaml").write_text(blocks(page, "yaml")[0])
    subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index",
            "--no-build-isolation", "--target", installed, package,
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    finished = run_fhecost(
        "estimate", "--profile", SAVED_PROFILE, "--hardware-path", package,
        "--hardware", "row-of-64", "--format", "csv", environment={"PYTHONPATH": str(installed)},
    )  # fmt: skip
    row = rows_of(finished)["row-of-64"]
    waves = sum(s.depth * math.ceil(s.parallel_width / 64) for s in saved_profile.stages if s.pbs)
    assert float(row["latency_s"]) == pytest.approx(0.001 * waves)
    assert float(row["high_s"]) == pytest.approx(0.002 * waves)
