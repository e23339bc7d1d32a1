"""Published figures of other ways: beside estimates, never in them."""

import json

import pytest

import fhecost
from fhecost.hardware.other_ways import nearest_first, read_other_ways
from fhecost.report.comparison_document import comparison_document
from fhecost.report.render import as_table


def test_every_figure_says_where_it_is_to_be_read():
    ways = read_other_ways()
    assert len(ways) >= 10
    assert all(len(way.source) > 20 for way in ways)
    assert {"CKKS", "TFHE", "2PC"} <= {way.scheme for way in ways}
    assert {"measured", "modelled"} == {way.basis for way in ways}


def test_those_of_the_same_model_come_first():
    ways = nearest_first(read_other_ways(), "llama-3-8b")
    same = [way.model == "llama-3-8b" for way in ways]
    assert same == sorted(same, reverse=True)
    assert any(same)


def test_they_change_no_estimate(saved_profile, tmp_path):
    fhecost.save_profile(saved_profile, tmp_path / "head.json")
    circuit = fhecost.SavedCircuit(tmp_path / "head.json")
    without = fhecost.compare_circuit(circuit, ["h100", "epyc-zen4-2"])
    beside = fhecost.compare_circuit(circuit, ["h100", "epyc-zen4-2"], with_published=True)
    assert without.published == ()
    assert beside.changed(published=()) == without
    shown = as_table(comparison_document(beside))
    assert "OTHER WAYS, AS PUBLISHED" in shown
    assert max(map(len, shown.splitlines())) <= 80
    for way in beside.published:
        assert way.name in shown


def test_a_figure_without_its_source_is_refused(tmp_path):
    file = tmp_path / "ways.json"
    whole = json.loads(read_other_ways()[0].model_dump_json())
    file.write_text(json.dumps([{**whole, "source": ""}]))
    with pytest.raises(fhecost.UsageError, match=r"record 0: source"):
        read_other_ways(file)
    file.write_text("{}")
    with pytest.raises(fhecost.UsageError, match="must be a list"):
        read_other_ways(file)
