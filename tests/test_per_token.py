"""What a token costs, and a thousand, for the scopes that make or read tokens."""

import re

import pytest

from fhecost.circuit_request import PredictedShape
from fhecost.closed_form.scopes import ShapeRequest
from fhecost.hardware.estimate import MANY_TOKENS as MANY
from fhecost.models.shape import SHAPES
from fhecost.pipeline import compare_circuit, estimate_circuit
from fhecost.report.comparison_document import comparison_document
from fhecost.report.estimate_document import estimate_document
from fhecost.report.render import as_table
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
    compared = as_table(comparison_document(compare_circuit(asked(scope), MACHINES)))
    assert "PER TOKEN" in compared


@pytest.mark.parametrize("scope", ["head", "block", "layer"])
def test_parts_of_a_model_make_no_token(scope):
    report = estimate_circuit(asked(scope), ["epyc-zen4-2"])
    assert report.circuit.description.tokens_of_run is None
    assert "PER TOKEN" not in as_table(estimate_document(report))
