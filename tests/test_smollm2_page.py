"""docs/smollm2.md: its tables are what the committed results say, and these say how they came."""

import re
import runpy

import pytest

from tests.conftest import ROOT

RESULTS = ROOT / "experiments" / "accuracy" / "smollm2"
FILES = sorted(path.stem for path in RESULTS.glob("*.json"))


@pytest.fixture(scope="module")
def made():
    return runpy.run_path(str(ROOT / "docs" / "make_smollm2.py"))


def test_the_tables_are_made_of_the_results(made):
    text = made["PAGE"].read_text()
    assert made["page"](text) == text, "run docs/make_smollm2.py"
    assert set(re.findall(r"<!-- (\w+) -->", text)) == set(made["PARTS"])


@pytest.mark.parametrize("name", FILES)
def test_results_are_of_one_model_and_their_command_is_told(made, name):
    report = made["results"](name)
    assert report.model == "smollm2"
    assert report.model_sha256 == made["results"]("heads").model_sha256
    assert f"| `{name}.json` |" in (RESULTS / "README.md").read_text()
    # Few sentences are an interval as wide as they make it.
    for row in report.rows:
        assert row.perplexity_ratio_low < row.perplexity_ratio < row.perplexity_ratio_high
        assert row.positions == row.sentences * row.seq_len


def test_single_heads_are_those_that_were_asked_for(made):
    rows = made["results"]("heads").rows
    assert {(row.layer, row.heads) for row in rows} == {
        (layer, str(head)) for layer in (0, 10, 20, 29) for head in range(9)
    }
    assert {(row.bits, row.seq_len, row.sentences) for row in rows} == {(4, 32, 100)}


def test_the_map_has_every_head(made):
    rows = made["results"]("map").rows
    assert len({(row.layer, row.heads) for row in rows}) == len(rows) == 30 * 9
