"""Whatever a command asks for, no circuit is estimated twice on one machine."""

from collections import Counter

import pytest

from fhecost.circuit_request import PredictedShape, SavedCircuit
from fhecost.closed_form.scopes import ShapeRequest
from fhecost.full_report import make_report
from fhecost.hardware.latency_model import LatencyModel
from fhecost.models.shape import SHAPES
from fhecost.pipeline import compare_circuit
from fhecost.projection.projection import project
from tests.conftest import SAVED_PROFILE

YEARS = (2024, 2026)


@pytest.fixture
def estimated(monkeypatch):
    """How often each pair of a circuit and a hardware profile has been estimated."""
    counts = Counter()
    estimate = LatencyModel.estimate

    def counted(self, circuit, hardware, figures, hardware_hash):
        made = estimate(self, circuit, hardware, figures, hardware_hash)
        # A machine that can't hold the circuit is seen to before there is anything to estimate.
        counts[circuit.hash, hardware_hash] += 1
        return made

    monkeypatch.setattr(LatencyModel, "estimate", counted)
    return counts


@pytest.mark.parametrize(
    ("asked", "pairs"),
    [
        ({"hardware": ["h100", "strix"]}, 2),
        ({"hardware": ["h100", "strix", "epyc-zen4-2"], "base": "epyc-zen4-2"}, 3),
        ({"hardware": ["h100", "strix"], "base": "epyc-zen4-2"}, 3),
        # The base keeps its own figures, so with others it is another machine.
        ({"hardware": "epyc-zen4-2", "base": "epyc-zen4-2", "what_if": {"cores": 64}}, 2),
    ],
)
def test_a_comparison(estimated, asked, pairs):
    compare_circuit(SavedCircuit(SAVED_PROFILE), **asked)
    assert len(estimated) == pairs
    assert set(estimated.values()) == {1}


def test_a_report(estimated):
    # The runs' circuits are others: each of them is judged by itself.
    shape = ShapeRequest(SHAPES["gpt2"], "layer", 16, 4)
    made = make_report(PredictedShape(shape), lengths=[8, 16], years=YEARS)
    assert made.projection is not None
    assert made.projection.years is not None
    hashes = {made.estimates.circuit.hash}
    hashes |= {point.circuit_hash for point in made.projection.lengths.points}
    assert len(hashes) == 2
    again = {pair: count for pair, count in estimated.items() if pair[0] in hashes and count > 1}
    assert again == {}


def test_a_projection(estimated):
    project(ShapeRequest(SHAPES["gpt2"], "layer", 16, 4), [8, 16], years=YEARS)
    assert set(estimated.values()) == {1}
