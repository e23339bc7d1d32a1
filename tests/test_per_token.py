"""What a token costs, and a thousand, for the scopes that make or read tokens."""

import csv
import io
import json
import re

import pytest

from fhecost.circuit_request import PredictedShape
from fhecost.closed_form.scopes import ShapeRequest
from fhecost.hardware.estimate import MANY_TOKENS as MANY
from fhecost.hardware.library import find_hardware
from fhecost.models.shape import SHAPES
from fhecost.pipeline import compare_circuit, estimate_circuit
from fhecost.report.comparison_document import comparison_document
from fhecost.report.estimate_document import estimate_document
from fhecost.report.render import as_csv, as_json, as_markdown, as_table
from fhecost.units import amount, duration, price

MACHINES = ["h100", "strix"]


def asked(scope):
    return PredictedShape(ShapeRequest(SHAPES["gpt2"], scope, 4, 3))


@pytest.mark.parametrize(("scope", "tokens"), [("cached-token", 1), ("token", 1), ("model", 4)])
def test_a_thousand_cost_a_thousand_times_one(scope, tokens):
    report = estimate_circuit(asked(scope), MACHINES)
    assert report.circuit.description.tokens_of_run == tokens
    text = as_table(estimate_document(report))
    _, _, below = text.partition("PER TOKEN")
    one, thousand = below.split(f"{MANY:,} tokens:")[:2]
    for made in report.estimates:
        for said, runs in ((one, 1 / tokens), (thousand, MANY / tokens)):
            (row,) = re.findall(rf"^{made.hardware} .*", said, re.M)[:1]
            cells = re.split(r" {2,}", row)
            assert cells[1] == duration(runs * made.latency_s)
            known = made.price_usd, made.energy_j
            if None in known:
                # Strix has neither, and none is no price of zero.
                assert cells[3:] == ["-", "-"]
            else:
                assert cells[3] == price(runs * made.price_usd)
                assert cells[4] == amount(runs * made.energy_j, "J")
    comparison = compare_circuit(asked(scope), MACHINES)
    assert "PER TOKEN" in as_table(comparison_document(comparison))
    assert {one.hardware: one for one in comparison.token_costs if one.tokens == 1} == {
        one.hardware: one for one in report.token_costs if one.tokens == 1
    }


@pytest.mark.parametrize("scope", ["cached-token", "model", "layer"])
def test_tokens_are_in_json_and_csv(scope):
    """A token and a thousand of each machine; nothing for what makes none, and no zeros."""
    estimated, compared = (
        estimate_circuit(asked(scope), MACHINES),
        compare_circuit(asked(scope), MACHINES),
    )
    for document, report in (
        (estimate_document(estimated), estimated),
        (comparison_document(compared), compared),
    ):
        costs = json.loads(as_json(document))["token_costs"]
        rows = {row["hardware"]: row for row in csv.DictReader(io.StringIO(as_csv(document)))}
        for hardware, row in rows.items():
            said = {(one["hardware"], one["tokens"]): one for one in costs}
            if scope == "layer":
                assert costs == []
                assert row["token_latency_s"] == row["thousand_tokens_price_usd"] == ""
                continue
            one, many = said[hardware, 1], said[hardware, MANY]
            tokens = report.circuit.description.tokens_of_run
            assert many["latency_s"] == pytest.approx(MANY * one["latency_s"])
            assert float(row["latency_s"]) == pytest.approx(tokens * one["latency_s"])
            assert float(row["token_latency_s"]) == one["latency_s"]
            assert float(row["thousand_tokens_high_s"]) == many["high_s"]
            price = row["thousand_tokens_price_usd"]
            assert (float(price) if price else None) == many["price_usd"]


def test_rates_are_by_watt_and_area_where_a_machine_has_them():
    report = compare_circuit(asked("layer"), ["h100", "strix", "flashtfhe"])
    for row in report.rows:
        figures = find_hardware(row.hardware).figures
        assert row.pbs_per_s * row.latency_s == pytest.approx(report.circuit.pbs_count)
        for found, name in ((row.pbs_per_s_per_w, "power_w"), (row.pbs_per_s_per_mm2, "area_mm2")):
            if name in figures:
                assert found * figures[name].value == pytest.approx(row.pbs_per_s)
            else:
                assert found is None
    assert "PBS/s/W" in as_markdown(comparison_document(report))
    alone = compare_circuit(asked("layer"), ["epyc-zen4-2"])
    assert "PBS/s/W" not in as_markdown(comparison_document(alone))


@pytest.mark.parametrize("scope", ["head", "block", "layer"])
def test_parts_of_a_model_make_no_token(scope):
    report = estimate_circuit(asked(scope), ["epyc-zen4-2"])
    assert report.circuit.description.tokens_of_run is None
    assert "PER TOKEN" not in as_table(estimate_document(report))
